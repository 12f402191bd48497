# How and where to train and register. None of it changes the model.

import json
from collections import UserDict

# A UserDict: Snakemake compares params of builtin types only, and these are no reason to run again.
BACKEND = UserDict(
    requested=config["backend"],
    azureml=json.dumps(config["azureml"]),
    experiment_name=config["experiment_name"],
    registry_uri=config["registry_uri"],
    model_name=config["model_name"],
    confirm=config["confirm"],
)
# Do not occupy a node of a computing cluster while waiting for the cloud. Under backend=auto the
# training may run on this machine, and then it needs the node.
IN_CLOUD = config["backend"] == "azureml"
