# Draws the pictures. All of them are registered with the model.

PREVIEW = {"seed": config["seed"], "count": config["preview_images"]}
PICTURE_CODES = {
    "preview": code_of("preview.py", "pictures.yaml"),
    "draw_class_balance": code_of("draw_class_balance.py", "pictures.yaml"),
    "draw_confusion": code_of("draw_confusion.py", "pictures.yaml"),
    "draw_mistakes": code_of("draw_mistakes.py", "pictures.yaml") | ESTIMATOR_CODE,
}
PICTURES = [
    "results/preview.png",
    "results/class_balance.png",
    "results/confusion.png",
    "results/mistakes.png",
]
if IS_LINEAR:
    PICTURE_CODES["draw_weights"] = code_of("draw_weights.py", "pictures.yaml") | ESTIMATOR_CODE
    PICTURES.append("results/weights.png")
if IS_SWEEP:
    PICTURE_CODES["draw_sweep"] = code_of("draw_sweep.py", "pictures.yaml")
    PICTURES.append("results/sweep.png")
PICTURE_RECIPES = {rule: recipe(code) for rule, code in PICTURE_CODES.items()}
PICTURE_RECIPES["preview"] = recipe(PREVIEW, PICTURE_CODES["preview"])


rule preview:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
        dataset="results/dataset.json",
    output:
        png=report(
            "results/preview.png",
            caption="../report/captions/preview.rst",
            category="Data",
            labels={"result": "Preview"},
        ),
        record="results/records/preview.json",
    log:
        "results/logs/preview.log",
    benchmark:
        "results/benchmarks/preview.jsonl"
    conda:
        "../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=by_size(600, 0.1),
        disk_mb=10,
        runtime=10,
    params:
        settings=PREVIEW,
        python=PYTHON,
        program=SCRIPTS / "preview.py",
        code=PICTURE_CODES["preview"],
        recipe=PICTURE_RECIPES["preview"],
    message:
        "Draw {output.png}"
    shell:
        "{params.python:q} {params.program:q}"
        " --images {input.images} --labels {input.labels} --dataset-file {input.dataset}"
        " --count {params.settings[count]} --seed {params.settings[seed]}"
        " --output {output.png} --record {output.record} {params.recipe} --log {log}"


rule draw_class_balance:
    input:
        dataset="results/dataset.json",
    output:
        png=report(
            "results/class_balance.png",
            caption="../report/captions/class_balance.rst",
            category="Data",
            labels={"result": "Class balance"},
        ),
        record="results/records/draw_class_balance.json",
    log:
        "results/logs/draw_class_balance.log",
    benchmark:
        "results/benchmarks/draw_class_balance.jsonl"
    conda:
        "../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=500,
        disk_mb=10,
        runtime=10,
    params:
        python=PYTHON,
        program=SCRIPTS / "draw_class_balance.py",
        code=PICTURE_CODES["draw_class_balance"],
        recipe=PICTURE_RECIPES["draw_class_balance"],
    message:
        "Draw {output.png}"
    shell:
        "{params.python:q} {params.program:q}"
        " --dataset-file {input.dataset}"
        " --output {output.png} --record {output.record} {params.recipe} --log {log}"


rule draw_confusion:
    input:
        metrics="results/metrics.json",
    output:
        png=report(
            "results/confusion.png",
            caption="../report/captions/confusion.rst",
            category="Performance",
            labels={"result": "Confusion matrix"},
        ),
        record="results/records/draw_confusion.json",
    log:
        "results/logs/draw_confusion.log",
    benchmark:
        "results/benchmarks/draw_confusion.jsonl"
    conda:
        "../envs/pictures.yaml"
    threads: 1
    resources:
        mem_mb=500,
        disk_mb=10,
        runtime=10,
    params:
        python=PYTHON,
        program=SCRIPTS / "draw_confusion.py",
        code=PICTURE_CODES["draw_confusion"],
        recipe=PICTURE_RECIPES["draw_confusion"],
    message:
        "Draw {output.png}"
    shell:
        "{params.python:q} {params.program:q}"
        " --metrics {input.metrics}"
        " --output {output.png} --record {output.record} {params.recipe} --log {log}"


rule draw_mistakes:
    input:
        model="results/model.pkl",
        training="results/training.json",
        images="results/arrays/test-images.npy",
        labels="results/arrays/test-labels.npy",
        dataset="results/dataset.json",
    output:
        png=report(
            "results/mistakes.png",
            caption="../report/captions/mistakes.rst",
            category="Performance",
            labels={"result": "Mistakes"},
        ),
        record="results/records/draw_mistakes.json",
    log:
        "results/logs/draw_mistakes.log",
    benchmark:
        "results/benchmarks/draw_mistakes.jsonl"
    conda:
        MERGED.get("pictures.yaml", "../envs/pictures.yaml")
    threads: 1
    resources:
        mem_mb=by_size(600, 1.1),
        disk_mb=10,
        runtime=by_size(10, 0.01),
    params:
        estimator=ESTIMATOR_OPTIONS,
        python=PYTHON,
        program=SCRIPTS / "draw_mistakes.py",
        code=PICTURE_CODES["draw_mistakes"],
        recipe=PICTURE_RECIPES["draw_mistakes"],
    message:
        "Draw {output.png}"
    shell:
        "{params.python:q} {params.program:q}"
        " --model {input.model} --training {input.training} {params.estimator[folder]:q}"
        " --images {input.images} --labels {input.labels} --dataset-file {input.dataset}"
        " --output {output.png} --record {output.record} {params.recipe} --log {log}"


if IS_LINEAR:

    rule draw_weights:
        input:
            model="results/model.pkl",
            training="results/training.json",
            dataset="results/dataset.json",
        output:
            png=report(
                "results/weights.png",
                caption="../report/captions/weights.rst",
                category="Model",
                labels={"result": "Weights"},
            ),
            record="results/records/draw_weights.json",
        log:
            "results/logs/draw_weights.log",
        benchmark:
            "results/benchmarks/draw_weights.jsonl"
        conda:
            MERGED.get("pictures.yaml", "../envs/pictures.yaml")
        threads: 1
        resources:
            mem_mb=600,
            disk_mb=10,
            runtime=10,
        params:
            estimator=ESTIMATOR_OPTIONS,
            python=PYTHON,
            program=SCRIPTS / "draw_weights.py",
            code=PICTURE_CODES["draw_weights"],
            recipe=PICTURE_RECIPES["draw_weights"],
        message:
            "Draw {output.png}"
        shell:
            "{params.python:q} {params.program:q}"
            " --model {input.model} --training {input.training} {params.estimator[folder]:q}"
            " --dataset-file {input.dataset} --output {output.png}"
            " --record {output.record} {params.recipe} --log {log}"


if IS_SWEEP:

    rule draw_sweep:
        input:
            sweep="results/sweep.json",
        output:
            png=report(
                "results/sweep.png",
                caption="../report/captions/sweep.rst",
                category="Model",
                labels={"result": "Parameter sweep"},
            ),
            record="results/records/draw_sweep.json",
        log:
            "results/logs/draw_sweep.log",
        benchmark:
            "results/benchmarks/draw_sweep.jsonl"
        conda:
            "../envs/pictures.yaml"
        threads: 1
        resources:
            mem_mb=500,
            disk_mb=10,
            runtime=10,
        params:
            python=PYTHON,
            program=SCRIPTS / "draw_sweep.py",
            code=PICTURE_CODES["draw_sweep"],
            recipe=PICTURE_RECIPES["draw_sweep"],
        message:
            "Draw {output.png}"
        shell:
            "{params.python:q} {params.program:q}"
            " --sweep {input.sweep}"
            " --output {output.png} --record {output.record} {params.recipe} --log {log}"
