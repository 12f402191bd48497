"""Emulate the datastore service: the workspace's default blob container, and registered ones."""

from __future__ import annotations

import base64
import secrets

from ..messages import Request, Response, json_response, page_response, route
from .service import Service, get_or_404

BASE = "/datastore/v1.0{WS}"
DEFAULT = "workspaceblobstore"


class Datastores(Service):
    """Tell the SDK and its native data engine in which storage containers the data is."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self._account_key = base64.b64encode(secrets.token_bytes(64)).decode()
        container = f"azureml-blobstore-{emulator.suffix}"
        self.datastores = {DEFAULT: self._blob_datastore(DEFAULT, container)}
        self._default = DEFAULT

    @route("GET", BASE + "/default")
    def get_default(self, request: Request) -> Response:
        """Describe the default datastore."""
        return json_response(self.datastores[self._default])

    @route("PUT", BASE + "/default/{name}")
    def set_default(self, request: Request, name: str) -> Response:
        """Make another datastore the default."""
        self._default = get_or_404(self.datastores, name, "Datastore")["name"]
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
