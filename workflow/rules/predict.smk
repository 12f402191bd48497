# Predicts the classes of the pictures that the key `predict` names. It is made on demand.

PREDICTIONS = ["results/predictions.csv", "results/predictions.png"]
PREDICT_RECORD = "results/records/predict.json"

try:
    TO_PREDICT = expanded(config["predict"]) if config["predict"] else None
    TO_PREDICT_DIGEST = TO_PREDICT and content_digest(
        {"pictures": TO_PREDICT}, index=Path(".snakemake/images/predict.json")
    )
except UserError as error:
    raise WorkflowError(str(error))
except OSError as error:
    raise WorkflowError(
        f"the key predict names {error.filename}, which cannot be read: {error.strerror}. Correct "
        "the path, or leave the key empty."
    )

PREDICT_CODE = code_of("predict.py", "predict.yaml") | ESTIMATOR_CODE
# The table has the names of the files, which begin with the path.
PREDICT_RECIPE = recipe(str(TO_PREDICT), TO_PREDICT_DIGEST, PREDICT_CODE)
PREDICT_INPUTS = ["results/model.pkl", "results/training.json", "results/dataset.json"]


rule predict:
    input:
        files_to_predict_with,
    output:
        table=PREDICTIONS[0],
        picture=PREDICTIONS[1],
        record=PREDICT_RECORD,
    log:
        "results/logs/predict.log",
    benchmark:
        "results/benchmarks/predict.jsonl"
    conda:
        MERGED.get("predict.yaml", "../envs/predict.yaml")
    # The result does not depend on it.
    threads: 8
    resources:
        mem_mb=2000,
        disk_mb=100,
        runtime=60,
    params:
        # A UserDict: in a text, Snakemake would take {part} for a wildcard.
        pictures=UserDict(path=str(TO_PREDICT)),
        estimator=ESTIMATOR_OPTIONS,
        python=PYTHON,
        program=SCRIPTS / "predict.py",
        code=PREDICT_CODE,
        recipe=PREDICT_RECIPE,
    message:
        "Predict the classes of {params.pictures[path]}"
    shell:
        "{params.python:q} {params.program:q} --model results {params.estimator[folder]:q}"
        " --threads {threads} --output {output.table} --picture {output.picture}"
        " --record {output.record} {params.recipe} --log {log} -- {params.pictures[path]:q}"
