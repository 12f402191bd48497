"""Registrations that were killed: which runs they left, and that no other run is taken for one.

A run in MLflow does not say whether the process that writes it is alive. Therefore each run and
each version has a tag until its registration ends, with a random token. The token is also the name
of a file in .snakemake, and the kernel holds a lock on this file as long as the process is alive.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from image_workflow.files import flush

#: The tag of runs and versions whose registration has not ended.
TOKEN = "registration"
PREFIX = "registration-"


@contextmanager
def registration_token(registry_uri: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a new token, and those of registrations in this folder that were killed or failed.

    Their files are deleted if the block succeeds. Without Snakemake's folder in the working
    directory no token is kept.

    Parameters
    ----------
    registry_uri : str
        Only registrations in the same registry are returned.
    """
    folder, token = Path(".snakemake"), secrets.token_hex(16)
    if not folder.is_dir():
        yield token, []
        return
    ended = [file for file in folder.glob(f"{PREFIX}*") if has_ended(file, registry_uri)]
    own = folder / f"{PREFIX}{token}"
    with open(own, "x", encoding="utf-8") as file:
        with suppress(OSError):  # Without a lock, no other process takes the file for a dead one.
            fcntl.flock(file, fcntl.LOCK_EX)
        json.dump({"inode": os.fstat(file.fileno()).st_ino, "registry_uri": registry_uri}, file)
        file.flush()
        os.fsync(file.fileno())
        flush(folder)
        yield token, [file.name.removeprefix(PREFIX) for file in ended]
        for path in (own, *ended):
            path.unlink(missing_ok=True)


def has_ended(path: Path, registry_uri: str) -> bool:
    """Return whether the process that wrote a token's file is dead.

    The file in a copy of the folder says nothing: it has another inode.
    """
    try:
        with open(path, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            inode = os.fstat(file.fileno()).st_ino
            return json.load(file) == {"inode": inode, "registry_uri": registry_uri}
    except (OSError, ValueError):
        return False


def delete_unused_runs(tokens: Iterable[str]) -> None:
    """Delete the runs of registrations that have ended, unless a version belongs to them."""
    client = mlflow.MlflowClient()
    experiments = [found.experiment_id for found in client.search_experiments()]
    for token in sorted(set(tokens)):
        for run in client.search_runs(experiments, f"tags.{TOKEN} = '{token}'"):
            delete_run_if_unused(run.info.run_id)


def delete_run_if_unused(run_id: str) -> None:
    """Delete a run and its logged models, unless a version belongs to it."""
    client = mlflow.MlflowClient()
    if client.search_model_versions(f"run_id = '{run_id}'"):
        return
    experiment = client.get_run(run_id).info.experiment_id
    for model in logged_models(experiment, run_id):
        delete(client.delete_logged_model, model.model_id)
    delete(client.delete_run, run_id)


def logged_models(experiment: str, run_id: str) -> list[LoggedModel]:
    """Return the logged models of a run."""
    criteria = f"source_run_id = '{run_id}'"
    return list(mlflow.MlflowClient().search_logged_models([experiment], criteria))


def end_registration(version: ModelVersion) -> None:
    """Remove the tags that say that the registration of a version has not ended."""
    delete(mlflow.MlflowClient().delete_tag, version.run_id, TOKEN)
    delete_version_tag(version.name, version.version, TOKEN)


def is_unfinished(version: ModelVersion) -> bool:
    """Return whether the registration of a version has not ended."""
    return bool(version.tags.get(TOKEN))


def delete_version_tag(name: str, number: str, key: str) -> None:
    """Delete a tag of a version, or empty it if this user may only edit the model."""
    client = mlflow.MlflowClient()
    if not delete(client.delete_model_version_tag, name, number, key):
        client.set_model_version_tag(name, number, key, "")


def delete(method: Callable[..., None], *names: str) -> bool:
    """Delete something that another client of the server may delete at the same moment.

    MLflow refuses the second of two simultaneous deletions in several ways. Repeated, it says that
    there is nothing to delete.

    Returns
    -------
    bool
        False if the server does not allow this user to delete it. A user with the permission EDIT
        may register, and not delete.
    """
    for repeat in (True, False):
        try:
            method(*names)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                break
            if error.error_code == "PERMISSION_DENIED":
                return False
            if not repeat:
                raise
        else:
            break
    return True
