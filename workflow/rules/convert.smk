# Converts the user's own images into IDX files.

# The files have no checksums beforehand. Their content is compared with that of the last conversion.
SET_SHA256 = {"train": [], "test": []}
CONVERSION, CONVERSION_ORPHANS = "results/raw/conversion.json", []

try:
    IMAGES_DIGEST = content_digest(
        {key: expanded(DATASET[key]) for key in FILE_KEYS if key in DATASET},
        index=Path(f".snakemake/images/{DATASET_NAME}.json"),
    )
except FileNotFoundError as error:
    raise WorkflowError(
        f"the data set {DATASET_NAME} needs {error.filename}, which does not exist. Correct the path, "
        "or connect the disk."
    )
except OSError as error:
    raise WorkflowError(
        f"the data set {DATASET_NAME} needs {error.filename}, which cannot be read: {error.strerror}."
    )

# One number is the number of rows and of columns.
if isinstance(DATASET.get("size"), int):
    DATASET["size"] = [DATASET["size"]] * 2
CONVERSION_SETTINGS = {
    key: value
    for key, value in sorted(DATASET.items())
    if key not in (*FILE_KEYS, "description", "license", "prepare")
}
CONVERT_CODE = code_of("convert.py", "convert.yaml")
CONVERT_RECIPE = recipe(CONVERSION_SETTINGS, IMAGES_DIGEST, CONVERT_CODE)


rule convert:
    input:
        datasets=ancient(request_repeats),
    output:
        raw=[*RAW_IMAGES.values(), *RAW_LABELS.values()],
        conversion=CONVERSION,
        record="results/records/convert.json",
    log:
        "results/logs/convert.log",
    benchmark:
        "results/benchmarks/convert.jsonl"
    conda:
        "../envs/convert.yaml"
    # The result does not depend on it.
    threads: 8
    resources:
        mem_mb=8000,
        disk_mb=8000,
        runtime=240,
    params:
        settings=CONVERSION_SETTINGS,
        content=IMAGES_DIGEST,
        dataset=DATASET_NAME,
        # A UserDict, because Snakemake must not compare the paths: moved files have the same content.
        entry=UserDict(json=json.dumps(DATASET)),
        python=PYTHON,
        program=SCRIPTS / "convert.py",
        code=CONVERT_CODE,
        recipe=CONVERT_RECIPE,
    message:
        "Convert the images of {params.dataset}"
    shell:
        "{params.python:q} {params.program:q} --entry {params.entry[json]:q} --threads {threads}"
        " --output-folder results/raw --conversion {output.conversion}"
        " --record {output.record} {params.recipe} --log {log}"
