# Makes the report: one page with the pictures, the metrics, the receipt and the run times.

# Snakemake does not compare templates and captions, so their digests are settings.
REPORT = WORKFLOW / "report"
TABLE_DIGESTS = {path.name: sha256_of_file(path)[:16] for path in sorted(REPORT.glob("tables/*"))}
PAGE_DIGESTS = {
    path.name: sha256_of_file(path)[:16]
    for path in sorted([*REPORT.glob("*.*"), *REPORT.glob("captions/*")])
}

SUMMARIZE_CODE = code_of("summarize.py", "summary.yaml") | TABLE_DIGESTS
SUMMARIZE_RECIPE = recipe(SUMMARIZE_CODE)
REPORT_CODE = code_of("report.py") | PAGE_DIGESTS
REPORT_RECIPE = recipe(REPORT_CODE)
REPORT_RECORDS = ["results/records/summarize.json", "results/records/report.json"]

# The Snakemake that makes the page needs the values that this one was called with. A UserDict,
# because they are no reason to run again: the results change with them.
REPORT_CONFIG = UserDict(json=json.dumps(config))


report: "../report/workflow.rst"


rule summarize:
    input:
        metrics="results/metrics.json",
        # The receipt is the last result, so the run times of all jobs are known.
        receipt="results/registered.json",
        dataset="results/dataset.json",
    output:
        overview="results/summary/overview.html",
        metrics=report(
            "results/summary/metrics.html",
            caption="../report/captions/metrics.rst",
            category="Performance",
            labels={"result": "Metrics"},
        ),
        receipt=report(
            "results/summary/receipt.html",
            caption="../report/captions/receipt.rst",
            category="Provenance",
            labels={"result": "Receipt"},
        ),
        run_times=report(
            "results/summary/run_times.html",
            caption="../report/captions/run_times.rst",
            category="Provenance",
            labels={"result": "Run times"},
        ),
        record="results/records/summarize.json",
    log:
        "results/logs/summarize.log",
    benchmark:
        "results/benchmarks/summarize.jsonl"
    conda:
        "../envs/summary.yaml"
    threads: 1
    resources:
        mem_mb=500,
        disk_mb=10,
        runtime=10,
    params:
        python=PYTHON,
        program=SCRIPTS / "summarize.py",
        templates=REPORT / "tables",
        benchmarks=benchmark_files,
        code=SUMMARIZE_CODE,
        recipe=SUMMARIZE_RECIPE,
    message:
        "Write the metrics, the receipt and the run times as tables"
    shell:
        "{params.python:q} {params.program:q} --metrics {input.metrics} --receipt {input.receipt}"
        " --dataset-file {input.dataset} --benchmarks {params.benchmarks}"
        " --templates {params.templates:q} --output results/summary"
        " --record {output.record} {params.recipe} --log {log}"


# handover, because the job starts another Snakemake: it runs alone, and on this machine.
rule report:
    input:
        rules.summarize.output.overview,
        rules.summarize.output.metrics,
        rules.summarize.output.receipt,
        rules.summarize.output.run_times,
        rules.register.input.pictures,
    output:
        page="results/report.html",
        record="results/records/report.json",
    log:
        "results/logs/report.log",
    handover: True
    container:
        None
    params:
        configuration=REPORT_CONFIG,
        # The Snakemake that runs, whatever environments the other rules have.
        python=sys.executable,
        program=SCRIPTS / "report.py",
        snakefile=WORKFLOW.parent / "Snakefile",
        stylesheet=REPORT / "report.css",
        code=REPORT_CODE,
        recipe=REPORT_RECIPE,
    message:
        "Make {output.page}"
    shell:
        "{params.python:q} {params.program:q} --snakefile {params.snakefile:q}"
        " --configuration {params.configuration[json]:q} --stylesheet {params.stylesheet:q}"
        " --results {input} --output {output.page}"
        " --record {output.record} {params.recipe} --log {log}"
