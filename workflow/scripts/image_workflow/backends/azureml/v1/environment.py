"""Register the environment: the pinned packages and Azure ML's runtime, once for its content."""

import logging
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.deadline import within

log = logging.getLogger(__name__)


def environment(workspace, name: str, file: Path, workspace_info: dict):
    """Return the registered environment of a conda file. Only new content gives a new version.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    name : str
        The environment's name.
    file : pathlib.Path
        The conda environment file.
    workspace_info : dict
        The workspace's description. A new version is noted under it.
    """
    from azureml.core import Environment

    wanted = Environment.from_conda_specification(name, str(file))
    with failures.step("register the environment", "The next call tries it again."):
        latest = within(120, find, workspace, name)
        if latest is not None and _content(latest) == _content(wanted):
            log.info("environment %s version %s: registered already", name, latest.version)
            return latest
        registered = within(120, wanted.register, workspace)
    state.note_created(workspace_info, "environments", f"{name}:{registered.version}")
    log.info("environment %s version %s: registered", name, registered.version)
    return registered


def find(workspace, name: str):
    """Return the latest version of the environment, or None."""
    from azureml.core import Environment

    try:
        return Environment.get(workspace, name)
    except Exception as error:
        text = failures.describe(error).lower()
        if "not found" in text or "no environment" in text or "does not exist" in text:
            return None
        raise


def _content(environment) -> dict:
    return environment.python.conda_dependencies.as_dict()
