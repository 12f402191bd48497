# Downloads IDX files with known checksums.

# The checksums that download and parse compare files with.
# Sorted, because Snakemake compares texts, and the order of the files has no meaning.
FILES = dict(sorted(DATASET["files"].items()))
RAW_SHA256 = {
    part: {name: sha256 for name, sha256 in FILES.items() if name.startswith(part)}
    for part in ["train", "t10k"]
}
SET_SHA256 = {
    part: [FILES[Path(raw[part]).stem] for raw in (RAW_IMAGES, RAW_LABELS)]
    for part in ["train", "test"]
}
DOWNLOAD_CODE = code_of("download.py", "data.yaml")
DOWNLOAD_RECIPES = {
    part: recipe(DATASET_NAME, checksums, DOWNLOAD_CODE) for part, checksums in RAW_SHA256.items()
}

# The description of a conversion, which an earlier configuration may have left.
CONVERSION, CONVERSION_ORPHANS = [], ["results/raw/conversion.json"]


rule download:
    input:
        # ancient, because a new source of the same content is no reason to download again.
        datasets=ancient(request_repeats),
    output:
        images="results/raw/{part}-images-idx3-ubyte.gz",
        labels="results/raw/{part}-labels-idx1-ubyte.gz",
        record="results/records/download_{part}.json",
    log:
        "results/logs/download_{part}.log",
    benchmark:
        "results/benchmarks/download_{part}.jsonl"
    wildcard_constraints:
        part="train|t10k",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=600,
        disk_mb=2000,
        runtime=60,
    params:
        checksums=lookup(dpath="{part}", within=RAW_SHA256),
        dataset=DATASET_NAME,
        # A UserDict, because Snakemake must not compare the sources.
        entry=UserDict(json=json.dumps({key: DATASET[key] for key in ("files", "sources")})),
        # A Path, which Snakemake does not compare: where the files are kept changes no result.
        cache=SHARED / "downloads",
        python=PYTHON,
        program=SCRIPTS / "download.py",
        code=DOWNLOAD_CODE,
        recipe=lookup(dpath="{part}", within=DOWNLOAD_RECIPES),
    message:
        "Download the {wildcards.part} files of {params.dataset}"
    shell:
        "{params.python:q} {params.program:q} --entry {params.entry[json]:q} --cache {params.cache:q}"
        " {output.images} {output.labels}"
        " --record {output.record} {params.recipe} --log {log}"
