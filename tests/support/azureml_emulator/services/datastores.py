"""Emulate the datastore service: the workspace's default blob container, and registered ones."""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path, PurePosixPath

from ..messages import Request, Response, ServiceError, json_response, page_response, route
from . import artifacts
from .service import Service, get_or_404

BASE = "/datastore/v1.0{WS}"
DEFAULT = "workspaceblobstore"
ARTIFACTS = "workspaceartifactstore"

#: A path in a datastore, in its short and its long form.
DATASTORE_URI = re.compile(r"azureml://(?:subscriptions/.+/)?datastores/([^/]+)/(?:paths/)?(.*)")
#: A path in the artifacts of a run, or in a named output.
JOB_URI = re.compile(r"azureml://jobs/([^/]+)/outputs/([^/]+)/paths/(.*)")
BLOB_URI = re.compile(r"https://([^./]+)\.blob\.core\.windows\.net/([^/]+)/?(.*)")


class Datastores(Service):
    """Tell the SDK and its native data engine in which storage containers the data is."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self._account_key = base64.b64encode(secrets.token_bytes(64)).decode()
        container = f"azureml-blobstore-{emulator.suffix}"
        self.datastores = {
            DEFAULT: self._blob_datastore(DEFAULT, container),
            ARTIFACTS: self._blob_datastore(ARTIFACTS, artifacts.CONTAINER),
        }
        self.default = DEFAULT

    @route("GET", BASE + "/default")
    def get_default(self, request: Request) -> Response:
        """Describe the default datastore."""
        return json_response(self.datastores[self.default])

    @route("PUT", BASE + "/default/{name}")
    def set_default(self, request: Request, name: str) -> Response:
        """Make another datastore the default."""
        self.default = get_or_404(self.datastores, name, "Datastore")["name"]
        return json_response({})

    @route("GET", BASE + "/datastores")
    def list_datastores(self, request: Request) -> Response:
        """List the datastores."""
        return page_response(self.datastores.values())

    @route("GET", BASE + "/datastores/{name}")
    def get_datastore(self, request: Request, name: str) -> Response:
        """Describe a datastore."""
        return json_response(get_or_404(self.datastores, name, "Datastore"))

    @route("POST", BASE + "/datastores")
    def register_datastore(self, request: Request) -> Response:
        """Register a datastore."""
        datastore = request.json()
        self.datastores[datastore["name"]] = datastore
        return json_response({})

    @route("DELETE", BASE + "/datastores/{name}")
    def unregister_datastore(self, request: Request, name: str) -> Response:
        """Remove a datastore, but keep its data."""
        get_or_404(self.datastores, name, "Datastore")
        del self.datastores[name]
        return json_response({})

    def container(self, name: str) -> tuple[str, str]:
        """Return the account and the container of a datastore."""
        section = self.datastores[name]["azureStorageSection"]
        return section["accountName"], section["containerName"]

    def long_uri(self, uri: str) -> str:
        """Return the long form of a path in a datastore or in a run; keep other addresses."""
        if job := JOB_URI.fullmatch(uri):
            run_id, output, path = job.groups()
            is_artifact = output in ("artifacts", "default")
            datastore = ARTIFACTS if is_artifact else DEFAULT
            folder = f"ExperimentRun/dcid.{run_id}" if is_artifact else f"azureml/{run_id}/{output}"
            path = f"{folder}/{path}"
        elif match := DATASTORE_URI.fullmatch(uri):
            datastore, path = match.groups()
        else:
            return uri
        workspace = self.emulator.workspace
        return (
            f"azureml://subscriptions/{workspace['subscription']}"
            f"/resourcegroups/{workspace['group']}/workspaces/{workspace['workspace']}"
            f"/datastores/{datastore}/paths/{path}"
        )

    def files(self, uri: str) -> dict[str, Path]:
        """Return the file at an address by its name, or a folder's files by relative path."""
        account, container, path = self._locate(uri)
        blobs = self.emulator.blobs.list_blobs(account, container, path)
        if path in blobs:
            return {PurePosixPath(path).name: blobs[path]}
        folder = f"{path}/" if path else ""
        return {
            name.removeprefix(folder): file
            for name, file in blobs.items()
            if name.startswith(folder)
        }

    def _locate(self, uri: str) -> tuple[str, str, str]:
        """Return account, container and path of an address."""
        if blob := BLOB_URI.fullmatch(uri):
            account, container, path = blob.groups()
        elif match := DATASTORE_URI.fullmatch(self.long_uri(uri)):
            get_or_404(self.datastores, match[1], "Datastore")
            account, container = self.container(match[1])
            path = match[2]
        else:
            raise ServiceError(400, "UserError", f"The address {uri} is not supported.")
        return account, container, path.strip("/")

    def _blob_datastore(self, name: str, container: str) -> dict:
        section = {
            "accountName": self.emulator.storage_account,
            "containerName": container,
            "endpoint": "core.windows.net",
            "protocol": "https",
            "credentialType": "AccountKey",
            "accountKey": self._account_key,
            "subscriptionId": self.emulator.workspace["subscription"],
            "resourceGroup": self.emulator.workspace["group"],
        }
        return {"name": name, "dataStoreType": "AzureBlob", "azureStorageSection": section}
