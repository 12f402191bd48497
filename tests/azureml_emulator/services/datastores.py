"""Datastores: the workspace's own blob container, and those that clients register."""

from __future__ import annotations

import base64
import secrets

from ..messages import Request, Response, answer, page, route
from .service import Service, found

BASE = "/datastore/v1.0{WS}"
DEFAULT = "workspaceblobstore"


class Datastores(Service):
    """Tells clients, the native data engine among them, where the data is kept."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self._key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.datastores = {DEFAULT: self._blob(DEFAULT, f"azureml-blobstore-{emulator.suffix}")}
        self._default = DEFAULT

    @route("GET", BASE + "/default")
    def get_default(self, request: Request) -> Response:
        """Describe the default datastore."""
        return answer(self.datastores[self._default])

    @route("PUT", BASE + "/default/{name}")
    def set_default(self, request: Request, name: str) -> Response:
        """Choose another default datastore."""
        self._default = found(self.datastores, name, "Datastore")["name"]
        return answer({})

    @route("GET", BASE + "/datastores")
    def list_datastores(self, request: Request) -> Response:
        """List the datastores."""
        return page(self.datastores.values())

    @route("GET", BASE + "/datastores/{name}")
    def get_datastore(self, request: Request, name: str) -> Response:
        """Describe a datastore."""
        return answer(found(self.datastores, name, "Datastore"))

    @route("POST", BASE + "/datastores")
    def register_datastore(self, request: Request) -> Response:
        """Register a datastore."""
        datastore = request.json()
        self.datastores[datastore["name"]] = datastore
        return answer({})

    @route("DELETE", BASE + "/datastores/{name}")
    def unregister_datastore(self, request: Request, name: str) -> Response:
        """Forget a datastore, not its data."""
        found(self.datastores, name, "Datastore")
        del self.datastores[name]
        return answer({})

    def container(self, name: str) -> tuple[str, str]:
        """Return the account and the container of a datastore."""
        section = self.datastores[name]["azureStorageSection"]
        return section["accountName"], section["containerName"]

    def _blob(self, name: str, container: str) -> dict:
        section = {
            "accountName": self.emulator.account,
            "containerName": container,
            "endpoint": "core.windows.net",
            "protocol": "https",
            "credentialType": "AccountKey",
            "accountKey": self._key,
            "subscriptionId": self.emulator.workspace["subscription"],
            "resourceGroup": self.emulator.workspace["group"],
        }
        return {"name": name, "dataStoreType": "AzureBlob", "azureStorageSection": section}
