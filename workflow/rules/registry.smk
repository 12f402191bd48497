# Registers the model, once for its content.

# The checksums of the four arrays, in the order in which register_on.py compares them.
DATA_SHA256 = " ".join([*PAYLOADS["train"], *PAYLOADS["test"]])

REGISTER_SETTINGS = {
    "model_name": config["model_name"],
    "experiment_name": config["experiment_name"],
    "registry_uri": config["registry_uri"],
    "dataset": config["dataset"],
    "solver": config["solver"],
    "seed": config["seed"],
    "arguments": TRAINING_ARGUMENTS,
    "data_sha256": DATA_SHA256,
}
REGISTER_CODE = code_of("register.py", "register.yaml") | REGISTERING_CLIENT
REGISTER_RECIPE = recipe(REGISTER_SETTINGS, REGISTER_CODE)


rule register:
    input:
        model="results/model.pkl",
        training="results/training.json",
        metrics="results/metrics.json",
        sweep="results/sweep.json",
        pictures=["results/preview.png"] + (["results/sweep.png"] if SWEEP else []),
        arrays=expand(
            "results/arrays/{part}-{kind}.npy",
            part=["train", "test"],
            kind=["images", "labels"],
        ),
    output:
        receipt="results/registered.json",
        record="results/records/register.json",
    log:
        "results/logs/register.log",
    benchmark:
        "results/benchmarks/register.jsonl"
    localrule: IN_CLOUD
    conda:
        "../envs/register.yaml"
    threads: 1
    params:
        settings=REGISTER_SETTINGS,
        azureml=AZUREML,
        launcher=SCRIPTS / "register_on.py",
        training_script=SCRIPTS / "train.py",
        environment=WORKFLOW / "envs/train.yaml",
        code=REGISTER_CODE,
        recipe=REGISTER_RECIPE,
    message:
        "Register the model as {params.settings[model_name]}"
    shell:
        "python {params.launcher:q} --azureml {params.azureml:q} --model {input.model}"
        " --metrics {input.metrics} --training {input.training}"
        " --sweep {input.sweep} --pictures {input.pictures}"
        " --data-folder results/arrays --data-sha256 {params.settings[data_sha256]}"
        " --training-script {params.training_script:q} --environment {params.environment:q}"
        " --model-name {params.settings[model_name]:q}"
        " --experiment-name {params.settings[experiment_name]:q}"
        " --registry-uri {params.settings[registry_uri]:q}"
        " --parameters dataset={params.settings[dataset]:q} solver={params.settings[solver]}"
        " seed={params.settings[seed]}"
        " --receipt {output.receipt} --record {output.record} {params.recipe} --log {log}"
        " -- {params.settings[arguments]}"
