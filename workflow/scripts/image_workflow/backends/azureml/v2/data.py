"""Upload the arrays, and register them as a data asset, once for their content."""

import logging
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.uploads import ARRAYS, FOLDER
from image_workflow.backends.azureml.v2.assets import VERSION_LENGTH, find
from image_workflow.backends.azureml.v2.storage import Storage
from image_workflow.deadline import within

log = logging.getLogger(__name__)

#: A data asset must not have the name of a dataset of SDK v1, which the tutorial registers.
SUFFIX = "_arrays"


def register(
    client, storage: Storage, folder: Path, sha256: str, name: str, workspace_info: dict
) -> str:
    """Return the id of the arrays' data asset.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    storage : Storage
    folder : pathlib.Path
        Has the four arrays.
    sha256 : str
        The checksum of the data: its path in the datastore, and the asset's version.
    name : str
        The name of the data, to which SUFFIX is added.
    workspace_info : dict
        The workspace's description. A new path or version is noted under it.
    """
    name = f"{name}{SUFFIX}"
    path, version = f"{FOLDER}/{sha256}", sha256[:VERSION_LENGTH]
    with failures.step(
        "upload the data", "Run the same command again; files that arrived are not sent again."
    ):
        datastore = within(120, storage.default_datastore)
        files = {file: folder / file for file in ARRAYS}
        storage.upload(files, datastore, path, workspace_info)
    advice = "Run the same command again, or choose another azureml.dataset_name."
    with failures.step("register the data", advice):
        asset = within(120, find, client.data, name, version)
        if asset is None:
            state.note_created(workspace_info, "data", f"{name}:{version}")
            place = f"azureml://datastores/{datastore}/paths/{path}"
            asset = within(120, create, client, name, version, place, sha256)
            log.info("data %s version %s: registered", name, version)
        else:
            log.info("data %s version %s: registered already", name, version)
    return asset.id


def create(client, name: str, version: str, place: str, sha256: str):
    """Register the uploaded files."""
    from azure.ai.ml.entities import Data

    return client.data.create_or_update(
        Data(
            name=name,
            version=version,
            type="uri_folder",
            path=place,
            description="Images and labels of the training and the test set, as .npy arrays",
            tags={"data_sha256": sha256},
        )
    )
