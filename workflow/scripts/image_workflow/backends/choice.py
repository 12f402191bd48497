"""Choose the backend that trains, and fall back to this machine where that is allowed."""

import logging
from pathlib import Path
from typing import NamedTuple

from image_workflow.backends.azureml import state
from image_workflow.backends.azureml.availability import (
    UnavailableError,
    available_workspace,
    shown,
)
from image_workflow.backends.azureml.backend import AzureML
from image_workflow.backends.azureml.failures import CONNECTION, PERMISSION, CloudError
from image_workflow.backends.interface import Job
from image_workflow.backends.local import LocalTrainer
from image_workflow.backends.settings import BackendSettings
from image_workflow.lineage.results import Training

log = logging.getLogger(__name__)


class Choice(NamedTuple):
    """The name of a backend, and why it was chosen."""

    backend: str
    reason: str


def choose(requested: str, folder: Path, azureml: dict) -> Choice:
    """Choose the backend to try first. This needs no network.

    Parameters
    ----------
    requested : {"auto", "local", "azureml"}
        The configured backend.
    folder : pathlib.Path
        Where the search for the workspace's config.json starts.
    azureml : dict
        The configuration's section azureml.

    Raises
    ------
    UnavailableError
        If azureml is requested, and the workspace or the SDK is missing.
    """
    if requested == "local":
        return Choice("local", "backend=local was asked for")
    try:
        config, _ = available_workspace(folder, azureml["workspace_config"], azureml["sdk"])
    except UnavailableError as error:
        if requested == "auto":
            return Choice("local", error.problem)
        raise
    if requested == "auto":
        return Choice("azureml", f"a workspace is configured in {shown(config, folder)}")
    return Choice("azureml", "backend=azureml was asked for")


def train(job: Job, requested: str, settings: BackendSettings) -> Training:
    """Train the job on the requested backend, or on this machine if ``auto`` has to fall back.

    Parameters
    ----------
    job : Job
    requested : {"auto", "local", "azureml"}
        The configured backend.
    settings : BackendSettings
    """
    chosen = choose(requested, Path.cwd(), settings.azureml)
    if chosen.backend == "azureml":
        try:
            trainer = AzureML.open(settings.azureml, settings.experiment)
        except CloudError as error:
            chosen = fall_back(error, requested, job)
        else:
            return trainer.train(job, chosen.reason)
    if requested == "auto":
        log.warning("Training on this machine: %s.", chosen.reason)
    return LocalTrainer().train(job, chosen.reason)


def fall_back(error: CloudError, requested: str, job: Job) -> Choice:
    """Choose this machine because the workspace could not be opened, or raise the error.

    Falling back is allowed if ``auto`` is requested, if the workspace cannot be reached or refuses
    access, and if no run was submitted for this training.
    """
    if requested != "auto" or error.kind not in (CONNECTION, PERMISSION):
        raise error
    if run_id := state.pending_run(job.fingerprint):
        raise CloudError(
            f"{error} Run {run_id} was submitted for this training, so it is not done here as "
            "well; run again when the workspace can be reached, or train here with "
            "--config backend=local.",
            error.kind,
        ) from None
    return Choice("local", f"{error.kind}: {error.cause}".rstrip("."))
