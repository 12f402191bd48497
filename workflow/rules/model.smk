# Trains the model and measures it on the test set.

# Of several regularization rates the training finds the best first: a process for each, or a run in
# the cloud, would take longer to start than to fit.
RATES = config["regularization"]
RATES = sorted(map(float, set(RATES if isinstance(RATES, list) else [RATES])))
SWEEP = len(RATES) > 1
RATE = f"--regularization {' '.join(map(str, RATES))}"
if SWEEP:
    RATE += f" --validation-fraction {config['validation_fraction']}"


rule train:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
        # A run in the cloud measures itself, but the model does not depend on the test set.
        test=ancient(["results/arrays/test-images.npy", "results/arrays/test-labels.npy"]),
    output:
        model="results/model.pkl",
        training="results/training.json",
        sweep="results/sweep.json",
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
            "rate": RATE,
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
        "Train the model with {threads} thread(s)"
    shell:
        "python {params.launcher:q} --backend {params.backend} --planned {params.planned:q}"
        " --azureml {params.azureml:q} --experiment-name {params.experiment_name:q}"
        " --script {params.script:q} --environment {params.environment:q}"
        " --data-folder results/arrays --threads {threads} --output {output.model}"
        " --candidates results/candidates"
        " --training {output.training} --training-log {log.train} --log {log.backend} --"
        " {params.settings[rate]} --solver {params.settings[solver]} --seed {params.settings[seed]}"


if SWEEP:

    rule draw_sweep:
        input:
            sweep="results/sweep.json",
        output:
            png="results/sweep.png",
        log:
            "results/logs/draw_sweep.log",
        benchmark:
            "results/benchmarks/draw_sweep.jsonl"
        conda:
            "../envs/preview.yaml"
        threads: 1
        params:
            script=SCRIPTS / "draw_sweep.py",
            code=code_of("draw_sweep.py", "preview.yaml"),
        message:
            "Draw {output.png}"
        shell:
            "python {params.script:q} --sweep {input.sweep} --output {output.png} --log {log}"


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
        script=SCRIPTS / "evaluate.py",
        code=code_of("evaluate.py", "train.yaml"),
    message:
        "Measure the model on the test set"
    shell:
        "python {params.script:q} --model {input.model}"
        " --test-images {input.test_images} --test-labels {input.test_labels}"
        " --train-labels {input.train_labels}"
        " --output {output.metrics} --log {log}"
