"""Upload the arrays to the workspace's default datastore, and register them as a dataset."""

import logging
import shutil
import tempfile
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.uploads import ARRAYS, FOLDER
from image_workflow.deadline import within

log = logging.getLogger(__name__)

UPLOAD_SECONDS = 1800
MAX_VERSIONS = 50  # how many versions of a dataset to look at, from the newest


def dataset(workspace, folder: Path, sha256: str, name: str, workspace_info: dict):
    """Return the registered FileDataset of the arrays. Upload and register only if needed.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    folder : pathlib.Path
        Has the four arrays.
    sha256 : str
        The checksum of the data, used as its path in the datastore and as the dataset's tag.
    name : str
        The dataset's name.
    workspace_info : dict
        The workspace's description. A new path or version is noted under it.
    """
    from azureml.core import Dataset

    path = f"{FOLDER}/{sha256}"
    expected = {file: (folder / file).stat().st_size for file in ARRAYS}
    advice = "The next call tries it again; files that arrived are not sent again."
    with failures.step("upload the data", advice):
        store = within(120, workspace.get_default_datastore)
        if within(120, sizes, store, path) == expected:
            log.info("data %s: there already, in datastore %s", sha256[:16], store.name)
        else:
            state.note_created(workspace_info, "paths", path)
            upload(store, folder, path, expected)
    with failures.step("register the dataset", advice):
        registered = within(120, find, workspace, name, sha256)
        if registered is None:
            files = Dataset.File.from_files([(store, f"{path}/{file}") for file in ARRAYS])
            registered = within(
                120,
                files.register,
                workspace,
                name,
                description="Images and labels of the training and the test set, as .npy arrays",
                tags={"data_sha256": sha256},
                create_new_version=True,
            )
            state.note_created(workspace_info, "datasets", f"{name}:{registered.version}")
            log.info("dataset %s version %s: registered", name, registered.version)
        else:
            log.info("dataset %s version %s: registered already", name, registered.version)
    return registered


def upload(store, folder: Path, path: str, expected: dict[str, int]) -> None:
    """Upload the arrays, and check their sizes, because the SDK does not report a cut upload."""
    from azureml.core import Dataset

    log.info("data: uploading %.1f MB", sum(expected.values()) / 1e6)
    with tempfile.TemporaryDirectory() as outbox:
        for file in expected:
            shutil.copyfile(folder / file, Path(outbox, file))
        within(
            UPLOAD_SECONDS,
            Dataset.File.upload_directory,
            outbox,
            (store, path),
            overwrite=True,
            show_progress=False,
        )
    found = within(120, sizes, store, path)
    wrong = [file for file in expected if found.get(file) != expected[file]]
    if wrong:
        remove(store, path)
        raise failures.CloudError(
            f"the upload is not whole: {wrong[0]} should have {expected[wrong[0]]} bytes in the "
            f"datastore {store.name}, found {found.get(wrong[0], 0)}. It was removed; run "
            "the same command again, and if it fails again, check the rights to write there."
        )


def sizes(store, path: str) -> dict[str, int]:
    """Return the size in bytes of each file below a path of the datastore."""
    blobs = _container(store).list_blobs(name_starts_with=f"{path}/")
    return {blob.name.removeprefix(f"{path}/"): blob.size for blob in blobs}


def remove(store, path: str) -> None:
    """Delete the files below a path of the datastore."""
    container = _container(store)
    for name in within(120, sizes, store, path):
        within(120, container.delete_blob, f"{path}/{name}")


def find(workspace, name: str, sha256: str):
    """Return the version of the dataset that has this data, or None."""
    from azureml.core import Dataset

    try:
        latest = Dataset.get_by_name(workspace, name)
    except Exception as error:
        if "Cannot find dataset" in failures.describe(error):
            return None
        raise
    for version in range(latest.version, max(latest.version - MAX_VERSIONS, 0), -1):
        found = latest if version == latest.version else _version(workspace, name, version)
        if found is not None and (found.tags or {}).get("data_sha256") == sha256:
            return found
    return None


def _version(workspace, name: str, version: int):
    """Return a version of the dataset, or None if it was deleted."""
    from azureml.core import Dataset

    try:
        return Dataset.get_by_name(workspace, name, version=version)
    except Exception as error:
        if failures.kind(error) == failures.OTHER:
            return None
        raise


def _container(store):
    return store.blob_service.get_container_client(store.container_name)
