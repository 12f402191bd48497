"""Emulate data assets, which name a folder or a file in a datastore."""

from __future__ import annotations

from pathlib import Path

from ..messages import Request, Response, json_response, route
from .assets import Assets, check_same_address
from .service import API, ARM

BASE = "{WS}/data/{name}"
VERSION = BASE + "/versions/{version}"


class DataAssets(Assets):
    """Store the data assets of SDK v2. They are separate from the datasets of SDK v1."""

    hosts = (ARM, API)
    kind = "data"

    @route("GET", BASE)
    def get_data_container(self, request: Request, name: str) -> Response:
        """Describe a data asset without its versions."""
        return self.container_response(name)

    @route("GET", BASE + "/versions")
    def list_data(self, request: Request, name: str) -> Response:
        """List the versions of a data asset."""
        return self.list_response(request, name)

    @route("GET", VERSION)
    def get_data(self, request: Request, name: str, version: str) -> Response:
        """Describe a version of a data asset."""
        return self.get_response(name, version)

    @route("PUT", VERSION)
    def register_data(self, request: Request, name: str, version: str) -> Response:
        """Register a version of a data asset, or change its tags."""
        return self.put_response(request, name, version)

    @route("DELETE", VERSION)
    def delete_data(self, request: Request, name: str, version: str) -> Response:
        """Delete a version of a data asset, but keep the files."""
        return self.delete_response(name, version)

    @route("POST", "/data/v1.0{WS}/dataversion/batchGetResolvedUris")
    def resolve_data(self, request: Request) -> Response:
        """Return the addresses of the named outputs of jobs, by the ids in `rundata`."""
        ids = request.json()["values"]
        return json_response({"values": {id: {"uri": id, "type": "uri_folder"} for id in ids}})

    def check_update(self, stored: dict, properties: dict) -> None:
        """Refuse to change the path."""
        check_same_address(stored, properties, "dataUri")

    def files(self, uri: str) -> dict[str, Path]:
        """Return the files of a job's input: a data asset's id, or an address of files."""
        if "/data/" in uri and "/versions/" in uri:
            uri = self.find(uri)["dataUri"]
        return self.emulator.datastores.files(uri)
