"""Emulate the snapshot service: the source folders of runs."""

from __future__ import annotations

import shutil
import urllib.parse
from pathlib import Path

from ..messages import Request, Response, json_response, route
from .service import Service

CONTAINER = "snapshotzips"


class Snapshots(Service):
    """Assemble each snapshot from the files that the client uploads and from its parent's files."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.snapshots: dict[str, dict[str, str]] = {}
        self._upload_count = 0

    @route("GET", "/content/v1.0{WS}/snapshots/latest/metadata")
    def get_latest(self, request: Request) -> Response:
        """Return an empty tree, so that a client without a cache uploads every file."""
        root = {"name": "", "hash": None, "type": "Directory", "timestamp": None, "children": {}}
        return json_response({"id": "00000000-0000-0000-0000-000000000000", "root": root})

    @route("POST", "/content/v2.0{WS}/snapshots/getblob")
    def get_uploads(self, request: Request) -> Response:
        """Return the URL to which the client uploads each file."""
        self._upload_count += 1
        blobs, account = self.emulator.blobs, self.emulator.storage_account
        nodes = [
            {
                "fullName": name,
                "blobUri": blobs.url(account, CONTAINER, f"{self._upload_count}/{name}"),
            }
            for name in request.json()["FileNames"]
        ]
        return json_response({"fileNodes": nodes})

    @route("POST", "/content/v2.0{WS}/snapshots/{id}")
    def create_snapshot(self, request: Request, id: str) -> Response:
        """Store the names of a snapshot's files with their blobs."""
        body = request.json()
        uploaded = {
            node["FullName"]: urllib.parse.unquote(urllib.parse.urlsplit(node["BlobUri"]).path)
            for node in body["FileRevisionList"]["FileNodes"]
        }
        known = self.snapshots.get(body["ParentSnapshotId"], {}) | uploaded
        self.snapshots[id] = {name: known[name] for name in _file_names(body["DirTreeNode"])}
        return json_response({"id": id})

    def copy_files(self, id: str, folder: Path) -> None:
        """Copy a snapshot's files into a folder."""
        for name, blob in self.snapshots[id].items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            container, _, path = blob.strip("/").partition("/")
            shutil.copyfile(
                self.emulator.blobs.path(self.emulator.storage_account, container, path), target
            )


def _file_names(node: dict, parent: str = "") -> list[str]:
    """Return the relative paths of all files in a tree of nodes."""
    names = []
    for name, child in node["children"].items():
        path = f"{parent}{name}"
        names += [path] if child["type"] == "File" else _file_names(child, path + "/")
    return names
