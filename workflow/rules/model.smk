# Trains the model and measures it on the test set.

REGULARIZATION = float(config["regularization"])


rule train:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
        # A run in the cloud measures itself, but the model does not depend on the test set.
        test=ancient(["results/arrays/test-images.npy", "results/arrays/test-labels.npy"]),
    output:
        model="results/model.pkl",
        training="results/training.json",
    log:
        train="results/logs/train.log",
        backend="results/logs/train_on.log",
    benchmark:
        "results/benchmarks/train.jsonl"
    # Waiting for a cloud is no work for a cluster's node.
    localrule: IN_CLOUD
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
        planned=PLANNED,
        backend=Untracked(BACKEND),
        azureml=AZUREML,
        experiment_name=EXPERIMENT,
        script=SCRIPTS / "train.py",
        launcher=SCRIPTS / "train_on.py",
        environment=WORKFLOW / "envs/azureml.yaml",
        code=code_of("train.py", "train.yaml") | TRAINING_CLIENT,
    message:
        "Train at regularization rate {params.settings[regularization]} with {threads} thread(s)"
    shell:
        "python {params.launcher:q} --backend {params.backend} --planned {params.planned:q}"
        " --azureml {params.azureml:q} --experiment-name {params.experiment_name:q}"
        " --script {params.script:q} --environment {params.environment:q}"
        " --data-folder results/arrays --threads {threads} --output {output.model}"
        " --training {output.training} --training-log {log.train} --log {log.backend} --"
        " --regularization {params.settings[regularization]}"
        " --solver {params.settings[solver]} --seed {params.settings[seed]}"


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
