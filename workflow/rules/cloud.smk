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
        "Show the workspace, its cluster, active runs, registered versions and endpoints"
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


rule azureml_deploy:
    log:
        "results/logs/azureml_deploy.log",
    handover: True
    params:
        estimator=ESTIMATOR_OPTIONS,
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "azureml_deploy.py",
        scoring_program=SCRIPTS / "score.py",
        environment=MERGED.get("serve.yaml", WORKFLOW / "envs/serve.yaml"),
    message:
        "Deploy the version in results/registered.json to an online endpoint"
    shell:
        "{params.python:q} {params.program:q} --receipt results/registered.json"
        " --model results/model.pkl {params.estimator[folder]:q}"
        " --dataset-file results/dataset.json --test-images results/arrays/test-images.npy"
        " --scoring-program {params.scoring_program:q} --environment {params.environment:q}"
        " --azureml {params.backend[azureml]:q} --model-name {params.backend[model_name]:q}"
        " --log {log}"


rule azureml_undeploy:
    log:
        "results/logs/azureml_undeploy.log",
    handover: True
    params:
        backend=BACKEND,
        python=PYTHON,
        program=SCRIPTS / "azureml_undeploy.py",
    message:
        "Delete the online endpoint of azureml_deploy"
    shell:
        "{params.python:q} {params.program:q} --azureml {params.backend[azureml]:q}"
        " --model-name {params.backend[model_name]:q} --confirm {params.backend[confirm]}"
        " --log {log}"
