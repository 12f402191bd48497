"""Check that a registered version is what was registered: its files, its tags and its run."""

from typing import NamedTuple

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from image_workflow.backends.interface import Check
from image_workflow.backends.mlflow.stored import copy_of, files_sha256, reason_not_to_work
from image_workflow.backends.sqlite_registry import ARTIFACT_TAG
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.results import Receipt


class Fault(NamedTuple):
    """What is wrong with a registered version.

    Attributes
    ----------
    text : str
    lost : bool
        Whether the files that were registered are gone, so that the version is of no use.
    """

    text: str
    lost: bool


def find_fault(version: ModelVersion) -> Fault | None:
    """Return what is wrong with a version's files, or None.

    A model is loaded only if its files are those that were registered.
    """
    expected = version.tags.get(ARTIFACT_TAG)
    with copy_of(location_of(version)) as files:
        found = files_sha256(files)
        if found is None:
            return Fault("its files are missing", True)
        if expected is None:
            return None  # Earlier versions of this workflow noted no digest.
        if found != expected:
            return Fault(f"its files were altered (expected {expected}, found {found})", True)
        if reason := reason_not_to_work(files):
            return Fault(f"it cannot be loaded here: {reason}", False)
    try:
        mlflow.MlflowClient().get_run(version.run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return Fault(f"its run {version.run_id} does not exist any more", True)
    return None


def location_of(version: ModelVersion) -> str:
    """Return the URI of the folder from which MLflow loads a version."""
    client = mlflow.MlflowClient()
    return client.get_model_version_download_uri(version.name, version.version)


def run_file_sha256(run_id: str, name: str) -> str | None:
    """Return the checksum of a file of a run, or None if it is missing."""
    try:
        run = mlflow.MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    # Each kind of store has another error for a missing file, and none for a missing folder.
    with copy_of(run.info.artifact_uri) as files:
        return sha256_of_file(files / name) if (files / name).exists() else None


def check_version(receipt: Receipt) -> list[Check]:
    """Compare the version that a receipt names, its files and its run with the receipt.

    A version keeps the tags of its first registration. So only those are compared on which its
    content depends: the model can be the same after an edit of the code or of the test set.
    """
    title = f"version {receipt.version} of {receipt.name}"
    client = mlflow.MlflowClient()
    try:
        version = client.get_model_version(receipt.name, str(receipt.version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return [Check(title, "registered", "missing")]
    with copy_of(location_of(version)) as files:
        found = files_sha256(files) or "missing"
        if found != receipt.artifact_sha256:
            works = "not tried, because its files are not the registered ones"
        else:
            works = reason_not_to_work(files) or "works"
    tags = {
        f"{key}_sha256": receipt.sha256.get(key, "missing")
        for key in ("model", "data", "estimator")
    } | {ARTIFACT_TAG: receipt.artifact_sha256}
    return [
        Check(title, "registered", "registered"),
        *(
            Check(f"tag {key} of {title}", value, version.tags.get(key, "missing"))
            for key, value in tags.items()
        ),
        Check(f"files of {title}", receipt.artifact_sha256, found),
        Check(f"model of {title}", "works", works),
        Check(f"run of {title}", receipt.run_id, version.run_id or "missing"),
        Check(
            f"model.pkl of run {receipt.run_id}",
            receipt.sha256["model"],
            run_file_sha256(receipt.run_id, "model.pkl") or "missing",
        ),
    ]
