# The commands that only a cloud has; none of them makes a file of the workflow.


rule azureml_status:
    log:
        "results/logs/azureml_status.log",
    handover: True
    params:
        azureml=AZUREML,
        experiment_name=EXPERIMENT,
        model_name=config["model_name"],
        script=SCRIPTS / "azureml_status.py",
    message:
        "Show the workspace, its cluster, active runs and registered versions"
    shell:
        "python {params.script:q} --azureml {params.azureml:q}"
        " --experiment-name {params.experiment_name:q} --model-name {params.model_name:q} --log {log}"


rule azureml_cancel:
    log:
        "results/logs/azureml_cancel.log",
    handover: True
    params:
        azureml=AZUREML,
        script=SCRIPTS / "azureml_cancel.py",
    message:
        "Cancel the run in results/azureml/handle.json"
    shell:
        "python {params.script:q} --azureml {params.azureml:q} --log {log}"


rule azureml_cleanup:
    log:
        "results/logs/azureml_cleanup.log",
    handover: True
    params:
        azureml=AZUREML,
        confirm=config["confirm"],
        script=SCRIPTS / "azureml_cleanup.py",
    message:
        "Delete from the workspace what this workflow created there"
    shell:
        "python {params.script:q} --azureml {params.azureml:q} --confirm {params.confirm} --log {log}"
