"""Register the environment: the pinned packages on a base image, once for its content."""

import logging
import re
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.v2.assets import VERSION_LENGTH, find
from image_workflow.deadline import within
from image_workflow.lineage.checksums import sha256_of_json

log = logging.getLogger(__name__)

#: Microsoft's image for training on processors, in a version that does not change.
BASE_IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260901.v1"
#: The packages of the conda file that only a run of SDK v1 needs.
RUNTIME_OF_V1 = "azureml-defaults", "azureml-dataset-runtime"


def register(client, file: Path, name: str, workspace_info: dict) -> str:
    """Return the id of the environment of a conda file. Only new content gives a new version.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    file : pathlib.Path
        The conda environment file.
    name : str
        The environment's name.
    workspace_info : dict
        The workspace's description. A new version is noted under it.
    """
    conda = without_runtime_of_v1(file)
    version = sha256_of_json({"image": BASE_IMAGE, "conda": conda})[:VERSION_LENGTH]
    advice = "Run the same command again, or choose another azureml.environment_name."
    with failures.step("register the environment", advice):
        environment = within(120, find, client.environments, name, version)
        if environment is not None:
            log.info("environment %s version %s: registered already", name, version)
            return environment.id
        state.note_created(workspace_info, "environments", f"{name}:{version}")
        environment = within(120, create, client, name, version, conda)
    log.info("environment %s version %s: registered", name, version)
    return environment.id


def without_runtime_of_v1(file: Path) -> dict:
    """Return the content of a conda file, without the packages that only SDK v1 needs."""
    import yaml

    conda = yaml.safe_load(file.read_text(encoding="utf-8"))
    for entry in conda["dependencies"]:
        if isinstance(entry, dict):
            entry["pip"] = [
                pin for pin in entry["pip"] if re.split(r"[\[=]", pin)[0] not in RUNTIME_OF_V1
            ]
    return conda


def create(client, name: str, version: str, conda: dict):
    """Register the environment."""
    from azure.ai.ml.entities import Environment

    environment = Environment(name=name, version=version, image=BASE_IMAGE, conda_file=conda)
    return client.environments.create_or_update(environment)
