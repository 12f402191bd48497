"""Emulate the artifact service: files of runs, stored in the workspace's blob container."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ..messages import Request, Response, ServiceError, json_response, page_response, route
from .service import Service

BASE = "/artifact/v2.0{WS}/artifacts"
CONTAINER = "azureml"


class Artifacts(Service):
    """Give out the blob addresses of artifacts. Clients send the content to blob storage itself."""

    @route("GET", BASE + "/prefix/contentinfo/{origin}/{container}/{path*}")
    def list_links(self, request: Request, origin: str, container: str, path: str) -> Response:
        """List the addresses of the artifacts at or below a path."""
        return page_response(self.links(origin, container, path))

    @route("GET", BASE + "/contentinfo/{origin}/{container}/{path*}")
    @route("GET", BASE + "/write/{origin}/{container}/{path*}")
    def get_link(self, request: Request, origin: str, container: str, path: str) -> Response:
        """Return an artifact's address."""
        if not self.path(origin, container, path).exists():
            raise ServiceError(404, "NotFound", f"The artifact {path} was not found.")
        return json_response(self._link(origin, container, _normalize(path)))

    @route("POST", BASE + "/batch/metadata/{origin}/{container}")
    def create_artifacts(self, request: Request, origin: str, container: str) -> Response:
        """Create empty artifacts. Return them by the names in the request, as the SDK expects."""
        names = [item["path"] for item in request.json()["paths"]]
        for name in names:
            self.write(origin, container, name, b"")
        links = {name: self._link(origin, container, _normalize(name)) for name in names}
        artifacts = {name: self._describe(origin, container, _normalize(name)) for name in names}
        body = {"artifacts": artifacts, "artifactContentInformation": links, "errors": {}}
        return json_response(body)

    @route("POST", BASE + "/content/{origin}/{container}/{path*}")
    def put_content(self, request: Request, origin: str, container: str, path: str) -> Response:
        """Write an artifact through this service, or append to it."""
        file = self.path(origin, container, path)
        append = request.query.get("append", "").lower() == "true" and file.exists()
        old_content = file.read_bytes() if append else b""
        self.write(origin, container, path, old_content + request.body)
        return json_response(self._describe(origin, container, _normalize(path)))

    @route("GET", BASE + "/{origin}/{container}")
    @route("GET", BASE + "/{origin}/{container}/{path*}")
    def list_artifacts(
        self, request: Request, origin: str, container: str, path: str = ""
    ) -> Response:
        """List the artifacts of a run."""
        links = self.links(origin, container, path)
        return page_response(self._describe(origin, container, link["path"]) for link in links)

    def links(self, origin: str, container: str, path: str = "") -> list[dict]:
        """Return the artifacts at a path: one file, or all files of a folder."""
        root = f"{origin}/{container}/"
        prefix = _normalize(path)
        blobs = self.emulator.blobs.list_blobs(
            self.emulator.storage_account, CONTAINER, root + prefix
        )
        names = [name.removeprefix(root) for name in blobs]
        # The prefix "outputs" leads to the files of the folder "outputs", not to "outputs2".
        next_characters = ("", "/") if prefix else None
        return [
            self._link(origin, container, name)
            for name in names
            if next_characters is None or name.removeprefix(prefix)[:1] in next_characters
        ]

    def path(self, origin: str, container: str, path: str) -> Path:
        """Return the file of an artifact."""
        blob = f"{origin}/{container}/{_normalize(path)}"
        return self.emulator.blobs.path(self.emulator.storage_account, CONTAINER, blob)

    def write(self, origin: str, container: str, path: str, content: bytes) -> Path:
        """Write an artifact, and return its file."""
        file = self.path(origin, container, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def _link(self, origin: str, container: str, path: str) -> dict:
        blob = f"{origin}/{container}/{path}"
        url = self.emulator.blobs.url(self.emulator.storage_account, CONTAINER, blob)
        return {"contentUri": url, "origin": origin, "container": container, "path": path}

    def _describe(self, origin: str, container: str, path: str) -> dict:
        name = {"artifactId": f"{origin}/{container}/{path}", "origin": origin}
        return name | {"container": container, "path": path}


def _normalize(path: str) -> str:
    # The SDK writes "./outputs/x" and later reads "outputs/x". It also doubles slashes.
    return posixpath.normpath(path).strip("/") if path.strip("/.") else ""
