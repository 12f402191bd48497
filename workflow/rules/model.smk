# Trains the model and measures it on the test set.

REGULARIZATION = float(config["regularization"])


rule train:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
    output:
        model="results/model.pkl",
    log:
        "results/logs/train.log",
    benchmark:
        "results/benchmarks/train.jsonl"
    conda:
        "../envs/train.yaml"
    # Fewer where --cores gives fewer; the model does not depend on it.
    threads: 8
    params:
        settings={
            "solver": config["solver"],
            "regularization": REGULARIZATION,
            "seed": config["seed"],
        },
        script=SCRIPTS / "train.py",
        code=code_of("train.py", "train.yaml"),
    message:
        "Train at regularization rate {params.settings[regularization]} with {threads} thread(s)"
    shell:
        "python {params.script:q} --data-folder results/arrays"
        " --regularization {params.settings[regularization]} --solver {params.settings[solver]}"
        " --seed {params.settings[seed]} --threads {threads} --output {output.model} --log {log}"


rule evaluate:
    input:
        model="results/model.pkl",
        test_images="results/arrays/test-images.npy",
        test_labels="results/arrays/test-labels.npy",
        train_labels="results/arrays/train-labels.npy",
    output:
        metrics="results/metrics.json",
    log:
        "results/logs/evaluate.log",
    benchmark:
        "results/benchmarks/evaluate.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    params:
        settings={"regularization": REGULARIZATION},
        script=SCRIPTS / "evaluate.py",
        code=code_of("evaluate.py", "train.yaml"),
    message:
        "Measure the model on the test set"
    shell:
        "python {params.script:q} --model {input.model}"
        " --test-images {input.test_images} --test-labels {input.test_labels}"
        " --train-labels {input.train_labels}"
        " --regularization {params.settings[regularization]}"
        " --output {output.metrics} --log {log}"
