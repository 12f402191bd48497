# Downloads the data set's IDX files and parses them into arrays.

DATASET = DATASETS[config["dataset"]]

# What decides the content of the files of each part.
CHECKSUMS = {
    part: {name: sha256 for name, sha256 in DATASET["files"].items() if name.startswith(part)}
    for part in ["train", "t10k"]
}

# The IDX files call the test set t10k.
RAW_IMAGES = {
    "train": "results/raw/train-images-idx3-ubyte.gz",
    "test": "results/raw/t10k-images-idx3-ubyte.gz",
}
RAW_LABELS = {
    "train": "results/raw/train-labels-idx1-ubyte.gz",
    "test": "results/raw/t10k-labels-idx1-ubyte.gz",
}

# The checksums of each set's images and labels, for parse.
PAYLOADS = {
    part: [DATASET["files"][Path(raw[part]).stem] for raw in (RAW_IMAGES, RAW_LABELS)]
    for part in ["train", "test"]
}

DOWNLOAD_CODE = code_of("download.py", "data.yaml")
DOWNLOAD_RECIPES = {
    part: recipe(config["dataset"], checksums, DOWNLOAD_CODE)
    for part, checksums in CHECKSUMS.items()
}
PARSE_CODE = code_of("parse.py", "data.yaml")
PARSE_RECIPES = {part: recipe(checksums, PARSE_CODE) for part, checksums in PAYLOADS.items()}


rule download:
    input:
        # A new source for the same content is no reason to download again.
        datasets=ancient(begin),
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
        checksums=lookup(dpath="{part}", within=CHECKSUMS),
        dataset=config["dataset"],
        script=SCRIPTS / "download.py",
        code=DOWNLOAD_CODE,
        recipe=lookup(dpath="{part}", within=DOWNLOAD_RECIPES),
    message:
        "Download the {wildcards.part} files of {params.dataset}"
    shell:
        "python {params.script:q} --datasets {input.datasets}"
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
        checksums=lookup(dpath="{part}", within=PAYLOADS),
        script=SCRIPTS / "parse.py",
        code=PARSE_CODE,
        recipe=lookup(dpath="{part}", within=PARSE_RECIPES),
    message:
        "Parse the {wildcards.part} set into arrays"
    shell:
        "python {params.script:q} --images {input.images} --labels {input.labels}"
        " --images-out {output.images} --labels-out {output.labels}"
        " --sha256 {params.checksums} --record {output.record} {params.recipe} --log {log}"
