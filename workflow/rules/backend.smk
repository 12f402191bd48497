# Which backend trains: decided from what is on disk, without a network.

import json

from backends import choice

BACKEND = config["backend"]
LIKELY = "local"
if BACKEND == "auto":
    LIKELY = choice.choose("auto", Path.cwd(), config["azureml"]["workspace_config"]).backend

# What the train rule compares; a model that exists is kept, unless another backend is named.
PLANNED = choice.planned(BACKEND, LIKELY, Path("results/model.pkl"), Path("results/training.json"))
IN_CLOUD = PLANNED.startswith("azureml")


class Untracked:
    """A param that may change without a reason to run again: Snakemake compares builtin types."""

    def __init__(self, value):
        self.value = value

    def __str__(self):
        return str(self.value)


# How the cloud is used changes no model.
AZUREML = Untracked(json.dumps(config["azureml"]))
EXPERIMENT = Untracked(config["experiment_name"])

# What calls the trainer is part of the rules too. In the cloud an edit of it finds the run of the same
# fingerprint, and pays nothing.
TRAINING_CLIENT = code_of("train_on.py", "azureml.yaml" if IN_CLOUD else "train.yaml")
REGISTERING_CLIENT = code_of("register_on.py", "azureml.yaml" if IN_CLOUD else "register.yaml")
