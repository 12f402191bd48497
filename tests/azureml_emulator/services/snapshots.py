"""Snapshots: the source folders that runs are made from."""

from __future__ import annotations

import shutil
import urllib.parse
from pathlib import Path

from ..messages import Request, Response, answer, route
from .service import Service

CONTAINER = "snapshotzips"


class Snapshots(Service):
    """Puts a snapshot together from the files sent with it and those of its parent."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.snapshots: dict[str, dict[str, str]] = {}
        self._uploads = 0

    @route("GET", "/content/v1.0{WS}/snapshots/latest/metadata")
    def get_latest(self, request: Request) -> Response:
        """Return an empty tree, so that a client without a cache sends every file."""
        root = {"name": "", "hash": None, "type": "Directory", "timestamp": None, "children": {}}
        return answer({"id": "00000000-0000-0000-0000-000000000000", "root": root})

    @route("POST", "/content/v2.0{WS}/snapshots/getblob")
    def get_uploads(self, request: Request) -> Response:
        """Give an address for each file that is about to be sent."""
        self._uploads += 1
        blobs, account = self.emulator.blobs, self.emulator.account
        nodes = [
            {"fullName": name, "blobUri": blobs.link(account, CONTAINER, f"{self._uploads}/{name}")}
            for name in request.json()["FileNames"]
        ]
        return answer({"fileNodes": nodes})

    @route("POST", "/content/v2.0{WS}/snapshots/{id}")
    def create_snapshot(self, request: Request, id: str) -> Response:
        """Keep a snapshot."""
        body = request.json()
        sent = {
            node["FullName"]: urllib.parse.unquote(urllib.parse.urlsplit(node["BlobUri"]).path)
            for node in body["FileRevisionList"]["FileNodes"]
        }
        known = self.snapshots.get(body["ParentSnapshotId"], {}) | sent
        self.snapshots[id] = {name: known[name] for name in _names(body["DirTreeNode"])}
        return answer({"id": id})

    def materialize(self, id: str, folder: Path) -> None:
        """Copy a snapshot's files into a folder."""
        for name, blob in self.snapshots[id].items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            container, _, path = blob.strip("/").partition("/")
            shutil.copyfile(
                self.emulator.blobs.path(self.emulator.account, container, path), target
            )


def _names(node: dict, above: str = "") -> list[str]:
    """Return the files of a tree; nodes name their children."""
    names = []
    for name, child in node["children"].items():
        path = f"{above}{name}"
        names += [path] if child["type"] == "File" else _names(child, path + "/")
    return names
