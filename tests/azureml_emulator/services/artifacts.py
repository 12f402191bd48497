"""Artifacts: the files of runs and models, kept in the workspace's own blob container."""

from __future__ import annotations

import posixpath
from pathlib import Path

from ..messages import Refusal, Request, Response, answer, page, route
from .service import Service

BASE = "/artifact/v2.0{WS}/artifacts"
CONTAINER = "azureml"


class Artifacts(Service):
    """Gives an artifact's address in blob storage; its content goes there directly."""

    @route("GET", BASE + "/prefix/contentinfo/{origin}/{container}/{path*}")
    def list_links(self, request: Request, origin: str, container: str, path: str) -> Response:
        """List the addresses of the artifacts below a path."""
        return page(self.links(origin, container, path))

    @route("GET", BASE + "/contentinfo/{origin}/{container}/{path*}")
    @route("GET", BASE + "/write/{origin}/{container}/{path*}")
    def get_link(self, request: Request, origin: str, container: str, path: str) -> Response:
        """Return an artifact's address."""
        if not self.path(origin, container, path).exists():
            raise Refusal(404, "NotFound", f"The artifact {path} was not found.")
        return answer(self._link(origin, container, _normal(path)))

    @route("POST", BASE + "/batch/metadata/{origin}/{container}")
    def create_artifacts(self, request: Request, origin: str, container: str) -> Response:
        """Create empty artifacts; the client looks for each under the name it used."""
        names = [item["path"] for item in request.json()["paths"]]
        for name in names:
            self.write(origin, container, name, b"")
        links = {name: self._link(origin, container, _normal(name)) for name in names}
        artifacts = {name: self._artifact(origin, container, _normal(name)) for name in names}
        body = {"artifacts": artifacts, "artifactContentInformation": links, "errors": {}}
        return answer(body)

    @route("POST", BASE + "/content/{origin}/{container}/{path*}")
    def put_content(self, request: Request, origin: str, container: str, path: str) -> Response:
        """Write an artifact through this service, or append to it."""
        before = self.path(origin, container, path)
        append = request.query.get("append", "").lower() == "true" and before.exists()
        start = before.read_bytes() if append else b""
        self.write(origin, container, path, start + request.body)
        return answer(self._artifact(origin, container, _normal(path)))

    @route("GET", BASE + "/{origin}/{container}")
    @route("GET", BASE + "/{origin}/{container}/{path*}")
    def list_artifacts(
        self, request: Request, origin: str, container: str, path: str = ""
    ) -> Response:
        """List the artifacts of a run."""
        links = self.links(origin, container, path)
        return page(self._artifact(origin, container, link["path"]) for link in links)

    def links(self, origin: str, container: str, prefix: str = "") -> list[dict]:
        """Return the artifacts that a path leads to: a file, or all files of a folder."""
        root = f"{origin}/{container}/"
        prefix = _normal(prefix)
        names = self.emulator.blobs.list(self.emulator.account, CONTAINER, root + prefix)
        paths = [name.removeprefix(root) for name in names]
        whole = ("", "/") if prefix else None
        return [
            self._link(origin, container, path)
            for path in paths
            if whole is None or path.removeprefix(prefix)[:1] in whole
        ]

    def path(self, origin: str, container: str, path: str) -> Path:
        """Return the file of an artifact."""
        blob = f"{origin}/{container}/{_normal(path)}"
        return self.emulator.blobs.path(self.emulator.account, CONTAINER, blob)

    def write(self, origin: str, container: str, path: str, content: bytes) -> Path:
        """Write an artifact, and return its file."""
        file = self.path(origin, container, path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def _link(self, origin: str, container: str, path: str) -> dict:
        blob = f"{origin}/{container}/{path}"
        uri = self.emulator.blobs.link(self.emulator.account, CONTAINER, blob)
        return {"contentUri": uri, "origin": origin, "container": container, "path": path}

    def _artifact(self, origin: str, container: str, path: str) -> dict:
        name = {"artifactId": f"{origin}/{container}/{path}", "origin": origin}
        return name | {"container": container, "path": path}


def _normal(path: str) -> str:
    # The SDK writes "./outputs/x" where it later asks for "outputs/x", and doubles slashes.
    return posixpath.normpath(path).strip("/") if path.strip("/.") else ""
