# How and where to train and register. None of it changes the model.

import json
from collections import UserDict

from image_workflow.backends.sqlite_registry import relative_to

# A data set has a model and an experiment of its own, unless the user names them.
MODEL_NAME = config["model_name"] or f"sklearn_{DATASET_NAME}"
# Azure ML allows 36 characters.
EXPERIMENT_NAME = config["experiment_name"] or f"Tutorial-sklearn-{DATASET_NAME}"[:36]

REGISTRY_URI = relative_to(SHARED, config["registry_uri"])

AZUREML = config["azureml"] | {
    "dataset_name": config["azureml"]["dataset_name"]
    or {"mnist": "mnist_opendataset"}.get(DATASET_NAME, DATASET_NAME)
}

# A UserDict: Snakemake compares params of builtin types only, and these are no reason to run again.
BACKEND = UserDict(
    requested=config["backend"],
    azureml=json.dumps(AZUREML),
    experiment_name=EXPERIMENT_NAME,
    registry_uri=REGISTRY_URI,
    model_name=MODEL_NAME,
    confirm=config["confirm"],
)
# Do not occupy a node of a computing cluster while waiting for the cloud. Under backend=auto the
# training may run on this machine, and then it needs the node.
IN_CLOUD = config["backend"] == "azureml"
