# Draws random training images with their labels.

PREVIEW_CODE = code_of("preview.py", "preview.yaml")
PREVIEW_RECIPE = recipe(config["seed"], PREVIEW_CODE)


rule preview:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
    output:
        png="results/preview.png",
        record="results/records/preview.json",
    log:
        "results/logs/preview.log",
    benchmark:
        "results/benchmarks/preview.jsonl"
    conda:
        "../envs/preview.yaml"
    threads: 1
    params:
        settings={"seed": config["seed"]},
        python=PYTHON,
        program=SCRIPTS / "preview.py",
        code=PREVIEW_CODE,
        recipe=PREVIEW_RECIPE,
    message:
        "Draw {output.png}"
    shell:
        "{params.python:q} {params.program:q} --images {input.images} --labels {input.labels}"
        " --seed {params.settings[seed]} --output {output.png}"
        " --record {output.record} {params.recipe} --log {log}"
