"""Emulate code assets, the source folders of jobs."""

from __future__ import annotations

import uuid
from pathlib import Path

from ..messages import Request, Response, json_response, page_response, route
from .assets import Assets, check_same_address

BASE = "{WS}/codes/{name}/versions"
VERSION = BASE + "/{version}"


class CodeAssets(Assets):
    """Store code assets, and give each a new container for its files."""

    kind = "codes"

    @route("GET", BASE)
    def find_code(self, request: Request, name: str) -> Response:
        """List the code assets with the hash of a folder, whatever their names are."""
        wanted = request.query.get("hash")
        found = [
            self._describe(asset, version)
            for asset, versions in self.versions.items()
            for version, properties in versions.items()
            if properties["properties"].get("hash_sha256") == wanted
        ]
        return page_response(found)

    @route("GET", VERSION)
    def get_code(self, request: Request, name: str, version: str) -> Response:
        """Describe a code asset."""
        return self.get_response(name, version)

    @route("POST", VERSION + "/startPendingUpload")
    def start_code_upload(self, request: Request, name: str, version: str) -> Response:
        """Return a signed address to which the client sends the folder's files."""
        container = f"code-{uuid.uuid4()}"
        blobs, account = self.emulator.blobs, self.emulator.storage_account
        address = blobs.url(account, container, "").partition("?")[0].rstrip("/")
        reference = {
            "blobUri": address,
            "credential": {"credentialType": "SAS", "sasUri": f"{address}?{blobs.signature}"},
        }
        body = {
            "blobReferenceForConsumption": reference,
            "pendingUploadId": str(uuid.uuid4()),
            "pendingUploadType": "TemporaryBlobReference",
        }
        return json_response(body)

    @route("PUT", VERSION)
    def register_code(self, request: Request, name: str, version: str) -> Response:
        """Register a code asset over the files that the client has sent."""
        return self.put_response(request, name, version)

    @route("DELETE", VERSION)
    def delete_code(self, request: Request, name: str, version: str) -> Response:
        """Delete a code asset, but keep the files."""
        return self.delete_response(name, version)

    def check_update(self, stored: dict, properties: dict) -> None:
        """Refuse to change the path."""
        check_same_address(stored, properties, "codeUri")

    def files(self, id: str) -> dict[str, Path]:
        """Return the files of the code asset with a resource id."""
        return self.emulator.datastores.files(self.find(id)["codeUri"])
