# Compares the receipt with everything that it describes. It makes no result.

# The checksums of each data set, whichever one the receipt is of.
CHECKSUMS = {name: entry["files"] for name, entry in DATASETS.items() if "files" in entry}


rule verify:
    log:
        "results/logs/verify.log",
    handover: True
    conda:
        MERGED.get("register.yaml", "../envs/register.yaml")
    params:
        estimator=ESTIMATOR_OPTIONS,
        backend=BACKEND,
        shipped=json.dumps(CHECKSUMS),
        python=PYTHON,
        program=SCRIPTS / "verify.py",
        training_program=SCRIPTS / "fit.py",
        environment=MERGED.get("azureml.yaml", WORKFLOW / "envs/azureml.yaml"),
    message:
        "Compare results/registered.json with the results, the code and the registry"
    shell:
        "{params.python:q} {params.program:q} --receipt results/registered.json"
        " {params.estimator[folder]:q} --training-program {params.training_program:q}"
        " --environment {params.environment:q} --shipped {params.shipped:q}"
        " --azureml {params.backend[azureml]:q} --log {log}"
