# Trains the model and measures it on the test set.

# Of several regularization rates the training finds the best first: a process for each, or a run in
# the cloud, would take longer to start than to fit.
RATES = config["regularization"]
RATES = sorted(map(float, set(RATES if isinstance(RATES, list) else [RATES])))
SWEEP = len(RATES) > 1
RATE = f"--regularization {' '.join(map(str, RATES))}"
if SWEEP:
    RATE += f" --validation-fraction {config['validation_fraction']}"
TRAINING_ARGUMENTS = f"{RATE} --solver {config['solver']} --seed {config['seed']}"

# With a single rate there is no picture; an earlier configuration may have left one.
NO_PICTURE = [] if SWEEP else ["results/sweep.png", "results/records/draw_sweep.json"]

TRAIN_CODE = code_of("train.py", "train.yaml") | TRAINING_CLIENT
TRAIN_RECIPE = recipe(TRAINING_ARGUMENTS, PLANNED, TRAIN_CODE)
DRAW_SWEEP_CODE = code_of("draw_sweep.py", "preview.yaml")
DRAW_SWEEP_RECIPE = recipe(DRAW_SWEEP_CODE)
EVALUATE_CODE = code_of("evaluate.py", "train.yaml")
EVALUATE_RECIPE = recipe(EVALUATE_CODE)


rule train:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
        # A run in the cloud measures itself on the test set. The model does not depend on it, but
        # Snakemake overlooks all other reasons to train when an ancient() input is made again.
        test=["results/arrays/test-images.npy", "results/arrays/test-labels.npy"],
    output:
        model="results/model.pkl",
        training="results/training.json",
        sweep="results/sweep.json",
        record="results/records/train.json",
    log:
        "results/logs/train.log",
    benchmark:
        "results/benchmarks/train.jsonl"
    # Waiting for a cloud is no work for a cluster's node.
    localrule: IN_CLOUD
    conda:
        "../envs/train.yaml"
    # Fewer where --cores gives fewer; the model does not depend on it.
    threads: 8
    params:
        settings={"arguments": TRAINING_ARGUMENTS},
        stale=f"--remove {' '.join(NO_PICTURE)}" if NO_PICTURE else "",
        planned=PLANNED,
        backend=Untracked(BACKEND),
        azureml=AZUREML,
        experiment_name=EXPERIMENT,
        script=SCRIPTS / "train.py",
        launcher=SCRIPTS / "train_on.py",
        environment=WORKFLOW / "envs/azureml.yaml",
        code=TRAIN_CODE,
        recipe=TRAIN_RECIPE,
    message:
        "Train the model with {threads} thread(s)"
    shell:
        "python {params.launcher:q} --backend {params.backend} --planned {params.planned:q}"
        " --azureml {params.azureml:q} --experiment-name {params.experiment_name:q}"
        " --script {params.script:q} --environment {params.environment:q}"
        " --data-folder results/arrays --threads {threads} --output {output.model}"
        " --candidates results/candidates"
        " --training {output.training} --record {output.record} {params.recipe} --log {log} {params.stale}"
        " -- {params.settings[arguments]}"


if SWEEP:

    rule draw_sweep:
        input:
            sweep="results/sweep.json",
        output:
            png="results/sweep.png",
            record="results/records/draw_sweep.json",
        log:
            "results/logs/draw_sweep.log",
        benchmark:
            "results/benchmarks/draw_sweep.jsonl"
        conda:
            "../envs/preview.yaml"
        threads: 1
        params:
            script=SCRIPTS / "draw_sweep.py",
            code=DRAW_SWEEP_CODE,
            recipe=DRAW_SWEEP_RECIPE,
        message:
            "Draw {output.png}"
        shell:
            "python {params.script:q} --sweep {input.sweep} --output {output.png}"
            " --record {output.record} {params.recipe} --log {log}"


rule evaluate:
    input:
        model="results/model.pkl",
        test_images="results/arrays/test-images.npy",
        test_labels="results/arrays/test-labels.npy",
        train_labels="results/arrays/train-labels.npy",
    output:
        metrics="results/metrics.json",
        record="results/records/evaluate.json",
    log:
        "results/logs/evaluate.log",
    benchmark:
        "results/benchmarks/evaluate.jsonl"
    conda:
        "../envs/train.yaml"
    threads: 1
    params:
        script=SCRIPTS / "evaluate.py",
        code=EVALUATE_CODE,
        recipe=EVALUATE_RECIPE,
    message:
        "Measure the model on the test set"
    shell:
        "python {params.script:q} --model {input.model}"
        " --test-images {input.test_images} --test-labels {input.test_labels}"
        " --train-labels {input.train_labels}"
        " --output {output.metrics} --record {output.record} {params.recipe} --log {log}"
