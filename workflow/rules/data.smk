# Gets the data set's IDX files, parses them into arrays, and describes the data set.

# The IDX files call the test set t10k.
RAW_IMAGES = {
    "train": "results/raw/train-images-idx3-ubyte.gz",
    "test": "results/raw/t10k-images-idx3-ubyte.gz",
}
RAW_LABELS = {
    "train": "results/raw/train-labels-idx1-ubyte.gz",
    "test": "results/raw/t10k-labels-idx1-ubyte.gz",
}
ARRAYS = [
    f"results/arrays/{part}-{kind}.npy"
    for part in ["train", "test"]
    for kind in ["images", "labels"]
]
DOWNLOADED = "files" in DATASET


include: "download.smk" if DOWNLOADED else "convert.smk"


PARSE_CODE = code_of("parse.py", "data.yaml")
PARSE_RECIPES = {part: recipe(checksums, PARSE_CODE) for part, checksums in SET_SHA256.items()}

# What pictures, metrics and registry show of the data set, and the checksums of its files.
DESCRIPTION = {
    "name": DATASET_NAME,
    "description": DATASET.get("description"),
    "license": DATASET.get("license"),
    "classes": [str(name) for name in DATASET.get("classes", [])],
    # For own images, conversion.json has the polarity.
    "polarity": DATASET.get("polarity", "as_is"),
    "prepare": DATASET["prepare"],
    # Own images have no checksums beforehand.
    "files": dict(sorted(DATASET.get("files", {}).items())),
}
DESCRIBE_CODE = code_of("describe.py", "data.yaml")
DESCRIBE_RECIPE = recipe(DESCRIPTION, DESCRIBE_CODE)


rule parse:
    input:
        images=lookup(dpath="{part}", within=RAW_IMAGES),
        labels=lookup(dpath="{part}", within=RAW_LABELS),
    output:
        images="results/arrays/{part}-images.npy",
        labels="results/arrays/{part}-labels.npy",
        record="results/records/parse_{part}.json",
    log:
        "results/logs/parse_{part}.log",
    benchmark:
        "results/benchmarks/parse_{part}.jsonl"
    wildcard_constraints:
        part="train|test",
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=600,
        disk_mb=by_size(100, 20),
        runtime=by_size(10, 0.02),
    params:
        checksums=lookup(dpath="{part}", within=SET_SHA256),
        python=PYTHON,
        program=SCRIPTS / "parse.py",
        code=PARSE_CODE,
        recipe=lookup(dpath="{part}", within=PARSE_RECIPES),
    message:
        "Parse the {wildcards.part} set into arrays"
    shell:
        "{params.python:q} {params.program:q} --images {input.images} --labels {input.labels}"
        " --images-out {output.images} --labels-out {output.labels}"
        " --sha256 {params.checksums} --record {output.record} {params.recipe} --log {log}"


rule describe:
    input:
        arrays=ARRAYS,
        conversion=CONVERSION,
    output:
        dataset="results/dataset.json",
        record="results/records/describe.json",
    log:
        "results/logs/describe.log",
    benchmark:
        "results/benchmarks/describe.jsonl"
    conda:
        "../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=by_size(600, 1.1),
        disk_mb=10,
        runtime=by_size(10, 0.01),
    params:
        settings=DESCRIPTION,
        # A UserDict: in a text, Snakemake would take {part} for a wildcard.
        entry=UserDict(json=json.dumps(DESCRIPTION)),
        orphans=CONVERSION_ORPHANS,
        python=PYTHON,
        program=SCRIPTS / "describe.py",
        code=DESCRIBE_CODE,
        recipe=DESCRIBE_RECIPE,
    message:
        "Describe the data set {params.settings[name]}"
    shell:
        "{params.python:q} {params.program:q} --data-folder results/arrays"
        " --entry {params.entry[json]:q} --conversion {input.conversion} --remove {params.orphans}"
        " --output {output.dataset}"
        " --record {output.record} {params.recipe} --log {log}"
