"""Emulate the datastores as SDK v2 reads them, with secrets that expire."""

from __future__ import annotations

from ..messages import Request, Response, json_response, page_response, route
from .service import ArmService, get_or_404

BASE = "{WS}/datastores"


class ArmDatastores(ArmService):
    """Describe the datastores of the service `datastores` as resources."""

    @route("GET", BASE)
    def list_datastores(self, request: Request) -> Response:
        """List the datastores, or the default one with `?isDefault=true`."""
        datastores = self.emulator.datastores
        only_default = request.query.get("isDefault", "").lower() == "true"
        names = [datastores.default] if only_default else datastores.datastores
        return page_response(self._describe(name) for name in names)

    @route("GET", BASE + "/{name}")
    def get_datastore(self, request: Request, name: str) -> Response:
        """Describe a datastore, without its secrets."""
        get_or_404(self.emulator.datastores.datastores, name, "Datastore")
        return json_response(self._describe(name))

    @route("POST", BASE + "/{name}/listSecrets")
    def list_secrets(self, request: Request, name: str) -> Response:
        """Return a shared access signature, which the emulated storage does not check."""
        get_or_404(self.emulator.datastores.datastores, name, "Datastore")
        return json_response({"secretsType": "Sas", "sasToken": self.emulator.blobs.signature})

    def _describe(self, name: str) -> dict:
        section = self.emulator.datastores.datastores[name]["azureStorageSection"]
        keys = ("accountName", "containerName", "endpoint", "protocol")
        properties = {
            "datastoreType": "AzureBlob",
            "credentials": {"credentialsType": "AccountKey"},
            "isDefault": name == self.emulator.datastores.default,
            "tags": {},
            "properties": {},
        }
        properties |= {key: section[key] for key in keys}
        return self.resource(f"datastores/{name}", properties)
