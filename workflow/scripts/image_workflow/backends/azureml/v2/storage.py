"""Send files to the workspace's blob storage, and read them.

The SDK's own upload of a folder waits for ever if a file is refused, and cannot be repeated after
it broke off. So files are sent with azure-storage-blob, to a path with their checksum.
"""

import logging
import re
import time
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.v2.network import STORAGE_OPTIONS
from image_workflow.deadline import within

log = logging.getLogger(__name__)

TRANSFER_SECONDS = 1800
REPORT_SECONDS = 15
LIST_SECONDS = 120
#: A lost connection costs at most a block of this size.
BLOCK_BYTES = 4 << 20
#: The signature that gives access to a container expires, after an hour or more.
RENEW_SECONDS = 600

#: The service writes the address of a run's files without /paths.
DATASTORE_PATH = re.compile(r"azureml://.*datastores/(?P<datastore>[^/]+)/(?:paths/)?(?P<path>.*)")


class Storage:
    """The containers behind the workspace's datastores.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    credential : azure.core.credentials.TokenCredential
        Used where the storage account gives out no keys.
    """

    def __init__(self, client, credential):
        self.client, self.credential = client, credential
        self._containers = {}

    def default_datastore(self) -> str:
        """Return the name of the workspace's default datastore, which the data is uploaded to."""
        return self.client.datastores.get_default().name

    def container(self, datastore: str):
        """Return the client of a datastore's container."""
        renewed, container = self._containers.get(datastore, (0, None))
        # The clock of time.monotonic stands still while a laptop sleeps.
        if container is None or time.time() - renewed > RENEW_SECONDS:
            container = self._open(datastore)
            self._containers[datastore] = time.time(), container
        return container

    def _open(self, name: str):
        from azure.core.exceptions import HttpResponseError
        from azure.storage.blob import ContainerClient

        try:
            datastore = self.client.datastores.get(name, include_secrets=True)
        except HttpResponseError:
            # An account without keys, or no right to read them.
            datastore = self.client.datastores.get(name)
        secrets = datastore.credentials
        key = getattr(secrets, "sas_token", None) or getattr(secrets, "account_key", None)
        return ContainerClient(
            f"{datastore.protocol}://{datastore.account_name}.blob.{datastore.endpoint}",
            datastore.container_name,
            credential=key or self.credential,
            max_single_put_size=BLOCK_BYTES,
            max_block_size=BLOCK_BYTES,
            **STORAGE_OPTIONS,
        )

    def upload(
        self, files: dict[str, Path], datastore: str, path: str, workspace_info: dict
    ) -> None:
        """Send files to a path of a datastore, unless they are there already.

        Parameters
        ----------
        files : dict of pathlib.Path
            The files by their names below the path.
        datastore, path : str
            The path contains a checksum of the files, so files of the right sizes are the same.
        workspace_info : dict
            The workspace's description. A new path is noted under it.
        """
        expected = {name: file.stat().st_size for name, file in files.items()}
        container = within(LIST_SECONDS, self.container, datastore)
        found = within(LIST_SECONDS, sizes, container, path)
        if found == expected:
            log.info("%s: there already", path)
            return
        state.note_created(workspace_info, "paths", path)
        log.info("%s: uploading %.1f MB", path, sum(expected.values()) / 1e6)
        for name in (name for name in files if found.get(name) != expected[name]):
            container = within(LIST_SECONDS, self.container, datastore)
            within(TRANSFER_SECONDS, send, container, f"{path}/{name}", files[name])
        found = within(LIST_SECONDS, sizes, container, path)
        wrong = [name for name in expected if found.get(name) != expected[name]]
        if wrong:
            remove(container, path)
            raise failures.CloudError(
                f"the upload is not whole: {wrong[0]} should have {expected[wrong[0]]} bytes in "
                f"the container {container.container_name}, found {found.get(wrong[0], 0)}. It was "
                "removed; run the same command again, and if it fails again, check the rights to "
                "write there."
            )


def send(container, name: str, file: Path) -> None:
    """Send one file, and log the progress every few seconds."""
    reported = time.monotonic()

    def report(sent: int, total: int | None) -> None:
        nonlocal reported
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            log.info("%s: %.1f of %.1f MB sent", file.name, sent / 1e6, file.stat().st_size / 1e6)

    with file.open("rb") as content:
        container.upload_blob(name, content, overwrite=True, progress_hook=report)


def fetch(container, name: str, target: Path) -> None:
    """Fetch one blob."""
    with target.open("wb") as file:
        container.download_blob(name).readinto(file)


def sizes(container, path: str) -> dict[str, int]:
    """Return the size in bytes of each file below a path, by its name below it."""
    blobs = container.list_blobs(name_starts_with=f"{path}/")
    return {blob.name.removeprefix(f"{path}/"): blob.size for blob in blobs}


def remove(container, path: str) -> None:
    """Delete the files below a path."""
    for name in within(LIST_SECONDS, sizes, container, path):
        within(LIST_SECONDS, container.delete_blob, f"{path}/{name}")
