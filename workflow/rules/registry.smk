# Registers the model, once for its content.

# What decides the results beside the settings of the training. The receipt has it, so that they can
# be reproduced. The places of the files decide nothing, and may contain secrets.
CONFIGURATION = {
    "dataset": DATASET_NAME,
    "entry": {
        key: value for key, value in sorted(DATASET.items()) if key not in ("sources", *FILE_KEYS)
    },
    "own_files": [key for key in FILE_KEYS if key in DATASET],
    "preview_images": config["preview_images"],
    "extra_packages": [pin.text for pin in packages.pins] if EXTRA_PACKAGES else [],
}

# All that the receipt says of the model's settings, where it is registered, and as what.
REGISTRATION = {
    "training": TRAINING,
    "model_name": MODEL_NAME,
    "experiment_name": EXPERIMENT_NAME,
    "registry_uri": REGISTRY_URI,
    "promote": ["--promote"] if config["promote"] else [],
    "configuration": json.dumps(CONFIGURATION, sort_keys=True),
}
REGISTER_CODE = (
    code_of("register.py", "register.yaml") | code_of("fit.py", "train.yaml") | ESTIMATOR_CODE
)
REGISTER_RECIPE = recipe(REGISTRATION, REGISTER_CODE)


rule register:
    input:
        model="results/model.pkl",
        training="results/training.json",
        metrics="results/metrics.json",
        sweep="results/sweep.json",
        dataset="results/dataset.json",
        pictures=PICTURES,
        arrays=ARRAYS,
    output:
        receipt="results/registered.json",
        record="results/records/register.json",
    log:
        "results/logs/register.log",
    benchmark:
        "results/benchmarks/register.jsonl"
    localrule: IN_CLOUD
    conda:
        MERGED.get("register.yaml", "../envs/register.yaml")
    threads: 1
    resources:
        mem_mb=by_size(1000, 1.1),
        disk_mb=500,
        runtime=by_size(20, 0.01),
    params:
        settings=REGISTRATION,
        estimator=ESTIMATOR_OPTIONS,
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "register.py",
        training_program=SCRIPTS / "fit.py",
        environment=MERGED.get("train.yaml", WORKFLOW / "envs/train.yaml"),
        code=REGISTER_CODE,
        recipe=REGISTER_RECIPE,
    message:
        "Register the model as {params.settings[model_name]}"
    shell:
        "{params.python:q} {params.program:q} --model {input.model} --metrics {input.metrics}"
        " --training {input.training} --sweep {input.sweep} --pictures {input.pictures}"
        " --data-folder results/arrays --dataset-file {input.dataset}"
        " {params.settings[training]:q} {params.estimator[folder]:q}"
        " --training-program {params.training_program:q} --environment {params.environment:q}"
        " --configuration {params.settings[configuration]:q}"
        " --azureml {params.backend[azureml]:q} --registry-uri {params.settings[registry_uri]:q}"
        " --experiment-name {params.settings[experiment_name]:q}"
        " --model-name {params.settings[model_name]:q} {params.settings[promote]}"
        " --receipt {output.receipt} --record {output.record} {params.recipe} --log {log}"
