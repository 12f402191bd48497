# Trains the model, and measures it on the test set.

# On this machine one job compares all candidates: a process for each of them, or a run in the cloud,
# would take longer to start than to fit. On a cluster each candidate is a job of its own before it.
TRAINING = SETTINGS.arguments()
CANDIDATES = {
    Path(name).stem: (*one.arguments(), "--validation-fraction", str(one.validation_fraction))
    for name, one in SETTINGS.candidates().items()
}

# training.json lists the versions of the packages in azureml.yaml, wherever the model is trained.
FIT_CODE = code_of("fit.py", "train.yaml", "azureml.yaml")
TRAIN_CODE = FIT_CODE | code_of("train.py") | ESTIMATOR_CODE
TRAIN_RECIPE = recipe(TRAINING, TRAIN_CODE)
SCORE_CODE = FIT_CODE | code_of("score_candidate.py") | ESTIMATOR_CODE
SCORE_RECIPES = {name: recipe(point, SCORE_CODE) for name, point in CANDIDATES.items()}
EVALUATE_CODE = code_of("evaluate.py", "train.yaml") | ESTIMATOR_CODE
EVALUATE_RECIPE = recipe(EVALUATE_CODE)

# The files that an earlier configuration may have left, and that this configuration does not have.
ORPHANS = [
    file
    for name, is_drawn in {"sweep": IS_SWEEP, "weights": IS_LINEAR}.items()
    if not is_drawn
    for file in (f"results/{name}.png", f"results/records/draw_{name}.json")
]


if IS_SWEEP:

    rule score_candidate:
        input:
            images="results/arrays/train-images.npy",
            labels="results/arrays/train-labels.npy",
        output:
            # Only the record: Snakemake would delete a score that an earlier training kept.
            record="results/records/score_candidate_{candidate}.json",
        log:
            "results/logs/score_candidate_{candidate}.log",
        benchmark:
            "results/benchmarks/score_candidate_{candidate}.jsonl"
        conda:
            MERGED.get("train.yaml", "../envs/train.yaml")
        threads: 8
        resources:
            mem_mb=FIT_MEMORY,
            disk_mb=by_size(10, 1.1),
            runtime=fit_minutes(1),
        params:
            settings=lookup(dpath="{candidate}", within=CANDIDATES),
            estimator=ESTIMATOR_OPTIONS,
            python=PYTHON,
            program=SCRIPTS / "score_candidate.py",
            environment=MERGED.get("azureml.yaml", WORKFLOW / "envs/azureml.yaml"),
            code=SCORE_CODE,
            recipe=lookup(dpath="{candidate}", within=SCORE_RECIPES),
        message:
            "Score the candidate {wildcards.candidate} with {threads} thread(s)"
        shell:
            "{params.python:q} {params.program:q} {params.settings:q} {params.estimator[folder]:q}"
            " --environment {params.environment:q} --data-folder results/arrays"
            " --threads {threads} --candidates results/candidates"
            " --record {output.record} {params.recipe} --log {log}"


rule train:
    input:
        images="results/arrays/train-images.npy",
        labels="results/arrays/train-labels.npy",
        # A run in the cloud measures itself on the test set. The model does not depend on it, but
        # Snakemake overlooks other reasons to train when an ancient() input is made again.
        test=["results/arrays/test-images.npy", "results/arrays/test-labels.npy"],
        scores=scores_before_training,
    output:
        model="results/model.pkl",
        training="results/training.json",
        sweep="results/sweep.json",
        record="results/records/train.json",
    log:
        "results/logs/train.log",
    benchmark:
        "results/benchmarks/train.jsonl"
    localrule: IN_CLOUD
    conda:
        MERGED.get("train.yaml", "../envs/train.yaml")
    # Snakemake reduces this to the value of --cores. The model does not depend on it.
    threads: 8
    resources:
        mem_mb=FIT_MEMORY,
        disk_mb=by_size(100, 1.1),
        runtime=fit_minutes(len(CANDIDATES) + 1),
    params:
        # A tuple: in the texts of a list, Snakemake would take {part} for a wildcard.
        settings=tuple(TRAINING),
        estimator=ESTIMATOR_OPTIONS,
        backend=BACKEND,
        orphans=ORPHANS,
        python=PYTHON,
        program=SCRIPTS / "train.py",
        environment=MERGED.get("azureml.yaml", WORKFLOW / "envs/azureml.yaml"),
        code=TRAIN_CODE,
        recipe=TRAIN_RECIPE,
    message:
        "Train the model with {threads} thread(s)"
    shell:
        "{params.python:q} {params.program:q} --backend {params.backend[requested]}"
        " --azureml {params.backend[azureml]:q} --registry-uri {params.backend[registry_uri]:q}"
        " --experiment-name {params.backend[experiment_name]:q}"
        " {params.settings:q} {params.estimator[folder]:q}"
        " --environment {params.environment:q} --data-folder results/arrays --threads {threads}"
        " --candidates results/candidates --remove {params.orphans}"
        " --output {output.model} --training {output.training}"
        " --record {output.record} {params.recipe} --log {log}"


rule evaluate:
    input:
        model="results/model.pkl",
        training="results/training.json",
        sweep="results/sweep.json",
        test_images="results/arrays/test-images.npy",
        test_labels="results/arrays/test-labels.npy",
        dataset="results/dataset.json",
    output:
        metrics="results/metrics.json",
        record="results/records/evaluate.json",
    log:
        "results/logs/evaluate.log",
    benchmark:
        "results/benchmarks/evaluate.jsonl"
    conda:
        MERGED.get("train.yaml", "../envs/train.yaml")
    threads: 1
    resources:
        mem_mb=by_size(600, 1.1),
        disk_mb=10,
        runtime=by_size(10, 0.01),
    params:
        estimator=ESTIMATOR_OPTIONS,
        python=PYTHON,
        program=SCRIPTS / "evaluate.py",
        code=EVALUATE_CODE,
        recipe=EVALUATE_RECIPE,
    message:
        "Measure the model on the test set"
    shell:
        "{params.python:q} {params.program:q} --model {input.model} --training {input.training}"
        " {params.estimator[folder]:q} --sweep {input.sweep} --test-images {input.test_images}"
        " --test-labels {input.test_labels} --dataset-file {input.dataset}"
        " --output {output.metrics} --record {output.record} {params.recipe} --log {log}"
