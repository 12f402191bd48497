"""The data: the arrays in the workspace's default datastore, and a dataset that names them."""

import shutil
import tempfile
from pathlib import Path

from backends import failures, records
from backends.deadline import within
from lib.command import log

ARRAYS = "train-images.npy", "train-labels.npy", "test-images.npy", "test-labels.npy"
LIMIT_SECONDS = 1800
VERSIONS = 50  # of a dataset, newest first, that are looked at


def dataset(workspace, folder: Path, sha256: str, name: str, account: dict):
    """Return the registered FileDataset of the arrays; only what is not there is sent.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    folder : pathlib.Path
        Has the four arrays.
    sha256 : str
        The checksum of the data: its path in the datastore, and the dataset's tag.
    name : str
        The dataset's name.
    account : dict
        The workspace's description, under which a creation is noted.
    """
    from azureml.core import Dataset

    path = f"mnist-sklearn/{sha256}"
    expected = {file: (folder / file).stat().st_size for file in ARRAYS}
    then = "The next call tries it again; what is there already is not sent again."
    with failures.step("upload the data", then):
        store = within(120, workspace.get_default_datastore)
        if within(120, sizes, store, path) == expected:
            log.info("data %s: there already, in datastore %s", sha256[:16], store.name)
        else:
            records.note_created(account, "paths", path)
            upload(store, folder, path, expected)
    with failures.step("register the dataset", then):
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
            records.note_created(account, "datasets", f"{name}:{registered.version}")
            log.info("dataset %s version %s: registered", name, registered.version)
        else:
            log.info("dataset %s version %s: registered already", name, registered.version)
    return registered


def upload(store, folder: Path, path: str, expected: dict[str, int]) -> None:
    """Send the arrays, and check that all of each has arrived: the SDK does not tell."""
    from azureml.core import Dataset

    log.info("data: uploading %.1f MB", sum(expected.values()) / 1e6)
    with tempfile.TemporaryDirectory() as outbox:
        for file in expected:
            shutil.copyfile(folder / file, Path(outbox, file))
        within(
            LIMIT_SECONDS,
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
    """Return the bytes of each file below a path of the datastore."""
    blobs = _container(store).list_blobs(name_starts_with=f"{path}/")
    return {blob.name.removeprefix(f"{path}/"): blob.size for blob in blobs}


def remove(store, path: str) -> None:
    """Delete the files below a path of the datastore."""
    container = _container(store)
    for name in within(120, sizes, store, path):
        within(120, container.delete_blob, f"{path}/{name}")


def find(workspace, name: str, sha256: str):
    """Return the version of the dataset that has this data, None if there is none."""
    from azureml.core import Dataset

    try:
        latest = Dataset.get_by_name(workspace, name)
    except Exception as error:
        if "Cannot find dataset" in failures.words(error):
            return None
        raise
    for version in range(latest.version, max(latest.version - VERSIONS, 0), -1):
        one = latest if version == latest.version else _version(workspace, name, version)
        if one is not None and (one.tags or {}).get("data_sha256") == sha256:
            return one
    return None


def _version(workspace, name: str, version: int):
    from azureml.core import Dataset

    try:
        return Dataset.get_by_name(workspace, name, version=version)
    except Exception as error:
        if failures.kind(error) == failures.OTHER:
            return None  # a version that was deleted
        raise


def _container(store):
    return store.blob_service.get_container_client(store.container_name)
