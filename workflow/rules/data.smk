# Downloads the data set's IDX files and parses them into arrays.

DATASET = DATASETS[config["dataset"]]

# The IDX files call the test set t10k.
RAW_IMAGES = {
    "train": "results/raw/train-images-idx3-ubyte.gz",
    "test": "results/raw/t10k-images-idx3-ubyte.gz",
}
RAW_LABELS = {
    "train": "results/raw/train-labels-idx1-ubyte.gz",
    "test": "results/raw/t10k-labels-idx1-ubyte.gz",
}

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
    part: recipe(config["dataset"], checksums, DOWNLOAD_CODE)
    for part, checksums in RAW_SHA256.items()
}
PARSE_CODE = code_of("parse.py", "data.yaml")
PARSE_RECIPES = {part: recipe(checksums, PARSE_CODE) for part, checksums in SET_SHA256.items()}


rule download:
    input:
        # ancient: a new source of the same content is no reason to download again.
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
    params:
        checksums=lookup(dpath="{part}", within=RAW_SHA256),
        dataset=config["dataset"],
        python=PYTHON,
        program=SCRIPTS / "download.py",
        code=DOWNLOAD_CODE,
        recipe=lookup(dpath="{part}", within=DOWNLOAD_RECIPES),
    message:
        "Download the {wildcards.part} files of {params.dataset}"
    shell:
        "{params.python:q} {params.program:q} --datasets {input.datasets}"
        " --dataset {params.dataset:q} {output.images} {output.labels}"
        " --record {output.record} {params.recipe} --log {log}"


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
