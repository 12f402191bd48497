"""Blob storage: block blobs and append blobs of any account, as files in a folder."""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from ..messages import Refusal, Request, Response, route
from .service import Service

BLOB = "/{container}/{blob*}"


class Storage(Service):
    """What storage has its own way of: no tokens, and errors in XML."""

    needs_token = False

    def refuse(self, refusal: Refusal) -> Response:
        """Return a refusal in the format of storage."""
        message = f"<Message>{escape(refusal.message)}</Message>"
        body = f"<Error><Code>{refusal.code}</Code>{message}</Error>"
        headers = {"Content-Type": "application/xml", "x-ms-error-code": refusal.code}
        return Response(refusal.status, body.encode(), headers)


class Blobs(Storage):
    """Stores what is sent; signatures and shared keys are not checked.

    A blob is the file `account/container/name`, so that people can look, and a job's log can be
    written straight into its blob.
    """

    hosts = ("*.blob.core.windows.net",)

    def __init__(self, emulator):
        super().__init__(emulator)
        self.folder = emulator.folder / "blobs"
        self._blocks: dict[Path, dict[str, bytes]] = {}

    def path(self, account: str, container: str, blob: str = "") -> Path:
        """Return the file of a blob, or the folder of a container."""
        root = self.folder / account / container
        path = root / blob
        if ".." in path.parts or not path.is_relative_to(root):
            raise ValueError(f"{blob!r} is not a blob name")
        return path

    def list(self, account: str, container: str, prefix: str = "") -> dict[str, Path]:
        """Return the blobs whose names start with a prefix."""
        root = self.path(account, container)
        # Only the folder that the prefix leads into is walked.
        start = root / prefix.rpartition("/")[0]
        names = {path.relative_to(root).as_posix(): path for path in _files(start)}
        return {name: names[name] for name in sorted(names) if name.startswith(prefix)}

    def sizes(self) -> dict[str, int]:
        """Return the size of every blob by account, container and name."""
        paths = _files(self.folder)
        return {p.relative_to(self.folder).as_posix(): p.stat().st_size for p in sorted(paths)}

    def link(self, account: str, container: str, blob: str) -> str:
        """Return an address as the other services give it out, with a signature of no worth."""
        name = urllib.parse.quote(blob)
        return f"https://{account}.blob.core.windows.net/{container}/{name}?sv=2022-11-02&sig=none"

    @route("GET", "/{container}")
    def get_container(self, request: Request, container: str) -> Response:
        """List blobs, or describe the container."""
        if request.query.get("comp") == "list":
            return self._list(request, container)
        return Response(200, headers=_described())

    @route("HEAD", "/{container}")
    def head_container(self, request: Request, container: str) -> Response:
        """Describe the container."""
        return Response(200, headers=_described())

    @route("PUT", "/{container}")
    def create_container(self, request: Request, container: str) -> Response:
        """Create a container."""
        self.path(_account(request), container).mkdir(parents=True, exist_ok=True)
        return Response(201, headers=_described())

    @route("GET", BLOB)
    @route("HEAD", BLOB)
    def get_blob(self, request: Request, container: str, blob: str) -> Response:
        """Return a blob, a range of it, or its properties."""
        path = self._path(request, container, blob)
        return read(request, _present(path))

    @route("PUT", BLOB)
    def put_blob(self, request: Request, container: str, blob: str) -> Response:
        """Write a blob, a part of it, or its properties."""
        path = self._path(request, container, blob)
        part = request.query.get("comp", "")
        if self._refused(part):
            raise Refusal(403, "AuthorizationFailure", "This request is not authorized.")
        if request.headers.get("if-none-match") == "*" and path.exists():
            raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write = {"block": self._block, "blocklist": self._commit, "appendblock": _append}
        write.get(part, _keep if part else _whole)(request, path)
        return Response(201, headers=_described(path) | _digest(request.body))

    @route("DELETE", BLOB)
    def delete_blob(self, request: Request, container: str, blob: str) -> Response:
        """Delete a blob."""
        path = self._path(request, container, blob)
        _present(path).unlink()
        return Response(202)

    def _path(self, request: Request, container: str, blob: str) -> Path:
        return self.path(_account(request), container, blob)

    def _refused(self, part: str) -> bool:
        fault = self.faults.shown().get("blob_part_refused", {})
        concerned = part == "block" or fault.get("all")
        return bool(concerned and self.faults.strike("blob_part_refused"))

    def _block(self, request: Request, path: Path) -> None:
        self._blocks.setdefault(path, {})[request.query["blockid"]] = request.body

    def _commit(self, request: Request, path: Path) -> None:
        staged = self._blocks.pop(path, {})
        names = [element.text for element in ElementTree.fromstring(request.body)]
        if not set(names) <= set(staged):
            raise Refusal(400, "InvalidBlockList", "The specified block list is invalid.")
        path.write_bytes(b"".join(staged[name] for name in names))

    def _list(self, request: Request, container: str) -> Response:
        prefix = request.query.get("prefix", "")
        delimiter = request.query.get("delimiter")
        items, folders = [], set()
        for name, path in self.list(_account(request), container, prefix).items():
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                items.append((name, path))
        return listing(items, folders)


def read(request: Request, path: Path) -> Response:
    """Return a file, or the range of it that is asked for."""
    size = path.stat().st_size
    start, end = _range(request, size)
    headers = _described(path) | {"x-ms-blob-type": "BlockBlob", "Accept-Ranges": "bytes"}
    headers["Content-Type"] = "application/octet-stream"
    if request.method == "HEAD":
        return Response(200, headers=headers | {"Content-Length": str(size)})
    if start is None:
        # Read no further than the size: a log may grow meanwhile.
        with path.open("rb") as file:
            return Response(200, file.read(size), headers)
    if start >= size:
        raise Refusal(416, "InvalidRange", "The range is not satisfiable.")
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(end - start + 1)
    headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{size}"
    return Response(206, body, headers)


def listing(items, folders=()) -> Response:
    """Return the XML listing of blobs (pairs of name and file) and virtual folders."""
    blobs = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties>"
        f"<Last-Modified>{formatdate(path.stat().st_mtime, usegmt=True)}</Last-Modified>"
        f"<Etag>{_etag(path)}</Etag><Content-Length>{path.stat().st_size}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
        for name, path in items
    )
    prefixes = "".join(
        f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in sorted(folders)
    )
    body = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
        f"<Blobs>{blobs}{prefixes}</Blobs><NextMarker /></EnumerationResults>"
    )
    return Response(200, body.encode(), {"Content-Type": "application/xml"})


def _account(request: Request) -> str:
    return request.host.partition(".")[0]


def _files(folder: Path):
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()


def _range(request: Request, size: int) -> tuple[int | None, int]:
    text = request.headers.get("x-ms-range") or request.headers.get("range") or ""
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", text)
    if not found:
        return None, size - 1
    return int(found[1]), int(found[2] or size - 1)


def _whole(request: Request, path: Path) -> None:
    path.write_bytes(request.body)


def _append(request: Request, path: Path) -> None:
    with path.open("ab") as file:
        file.write(request.body)


def _keep(request: Request, path: Path) -> None:
    """Ignore properties, metadata and leases."""


def _etag(path: Path) -> str:
    status = path.stat()
    return f'"0x{status.st_mtime_ns:X}{status.st_size:X}"'


def _described(path: Path | None = None) -> dict[str, str]:
    if path is None or not path.exists():
        return {"ETag": '"0x1"', "Last-Modified": formatdate(0, usegmt=True)}
    return {
        "ETag": _etag(path),
        "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
    }


def _digest(body: bytes) -> dict[str, str]:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Content-MD5": base64.b64encode(digest).decode()}


def _present(path: Path) -> Path:
    if not path.is_file():
        raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")
    return path
