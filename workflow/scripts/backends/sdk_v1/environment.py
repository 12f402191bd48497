"""The environment: the training pins and Azure ML's runtime, registered once for its content."""

from pathlib import Path

from backends import failures, records
from backends.deadline import within
from lib.command import log


def environment(workspace, name: str, file: Path, account: dict):
    """Return the registered environment of a conda file; a new version only for a new content.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    name : str
    file : pathlib.Path
        The conda environment file.
    account : dict
        The workspace's description, under which a creation is noted.
    """
    from azureml.core import Environment

    wanted = Environment.from_conda_specification(name, str(file))
    with failures.step("register the environment", "The next call tries it again."):
        latest = within(120, find, workspace, name)
        if latest is not None and _content(latest) == _content(wanted):
            log.info("environment %s version %s: registered already", name, latest.version)
            return latest
        registered = within(120, wanted.register, workspace)
    records.note_created(account, "environments", f"{name}:{registered.version}")
    log.info("environment %s version %s: registered", name, registered.version)
    return registered


def find(workspace, name: str):
    """Return the latest version of the environment, None if there is none."""
    from azureml.core import Environment

    try:
        return Environment.get(workspace, name)
    except Exception as error:
        said = failures.words(error).lower()
        if "not found" in said or "no environment" in said or "does not exist" in said:
            return None
        raise


def _content(environment) -> dict:
    return environment.python.conda_dependencies.as_dict()
