# Commands for the Azure ML workspace. None of them makes a result.


rule azureml_status:
    log:
        "results/logs/azureml_status.log",
    handover: True
    params:
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "azureml_status.py",
    message:
        "Show the workspace, its cluster, the active runs and the registered versions"
    shell:
        "{params.python:q} {params.program:q} --azureml {params.backend[azureml]:q}"
        " --experiment-name {params.backend[experiment_name]:q}"
        " --model-name {params.backend[model_name]:q} --log {log}"


rule azureml_cancel:
    log:
        "results/logs/azureml_cancel.log",
    handover: True
    params:
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "azureml_cancel.py",
    message:
        "Cancel the run in results/azureml/handle.json"
    shell:
        "{params.python:q} {params.program:q} --azureml {params.backend[azureml]:q} --log {log}"


rule azureml_cleanup:
    log:
        "results/logs/azureml_cleanup.log",
    handover: True
    params:
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "azureml_cleanup.py",
    message:
        "Delete from the workspace what this workflow created there"
    shell:
        "{params.python:q} {params.program:q} --azureml {params.backend[azureml]:q}"
        " --confirm {params.backend[confirm]} --log {log}"
