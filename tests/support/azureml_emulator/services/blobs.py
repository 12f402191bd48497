"""Emulate blob storage: block blobs and append blobs of any account, stored in a folder."""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.parse
import xml.etree.ElementTree as ElementTree
from email.utils import formatdate
from pathlib import Path
from xml.sax.saxutils import escape

from ..messages import Request, Response, ServiceError, route
from ..proxy import ConnectionLost
from .service import Service

BLOB = "/{container}/{blob*}"


class Storage(Service):
    """Serve storage requests, which need no token and get errors in XML."""

    needs_token = False

    def error_response(self, error: ServiceError) -> Response:
        """Return an error in the XML format of storage."""
        message = f"<Message>{escape(error.message)}</Message>"
        body = f"<Error><Code>{error.code}</Code>{message}</Error>"
        headers = {"Content-Type": "application/xml", "x-ms-error-code": error.code}
        return Response(error.status, body.encode(), headers)


class Blobs(Storage):
    """Store blobs without checking signatures or account keys.

    A blob is the file `account/container/name`, so developers can inspect it, and a job can write
    its log straight into the blob.
    """

    hosts = ("*.blob.core.windows.net",)

    #: The query of every signed address.
    signature = "sv=2022-11-02&sig=none"

    def __init__(self, emulator):
        super().__init__(emulator)
        self.folder = emulator.folder / "blobs"
        self._metadata: dict[Path, dict[str, str]] = {}
        self._uncommitted_blocks: dict[Path, dict[str, bytes]] = {}

    def path(self, account: str, container: str, blob: str = "") -> Path:
        """Return the file of a blob, or the folder of a container."""
        root = self.folder / account / container
        path = root / blob
        if ".." in path.parts or not path.is_relative_to(root):
            raise ValueError(f"{blob!r} is not a blob name")
        return path

    def list_blobs(self, account: str, container: str, prefix: str = "") -> dict[str, Path]:
        """Return the files of the blobs whose names start with a prefix, sorted by name."""
        root = self.path(account, container)
        # Search only the folder that contains all names with the prefix.
        folder = root / prefix.rpartition("/")[0]
        files = {path.relative_to(root).as_posix(): path for path in _files_below(folder)}
        return {name: files[name] for name in sorted(files) if name.startswith(prefix)}

    def sizes(self) -> dict[str, int]:
        """Return the size of every blob by account, container and name."""
        paths = _files_below(self.folder)
        return {p.relative_to(self.folder).as_posix(): p.stat().st_size for p in sorted(paths)}

    def url(self, account: str, container: str, blob: str) -> str:
        """Return a blob's URL with a dummy signature, as the other services give it out."""
        name = urllib.parse.quote(blob)
        return f"https://{account}.blob.core.windows.net/{container}/{name}?{self.signature}"

    @route("GET", "/{container}")
    def get_container(self, request: Request, container: str) -> Response:
        """List blobs, or describe the container."""
        if request.query.get("comp") == "list":
            return self._list_response(request, container)
        return Response(200, headers=_version_headers())

    @route("HEAD", "/{container}")
    def head_container(self, request: Request, container: str) -> Response:
        """Describe the container."""
        return Response(200, headers=_version_headers())

    @route("PUT", "/{container}")
    def create_container(self, request: Request, container: str) -> Response:
        """Create a container."""
        self.path(_account(request), container).mkdir(parents=True, exist_ok=True)
        return Response(201, headers=_version_headers())

    @route("GET", BLOB)
    @route("HEAD", BLOB)
    def get_blob(self, request: Request, container: str, blob: str) -> Response:
        """Return a blob, a range of it, or its properties."""
        path = self._request_path(request, container, blob)
        response = read_response(request, _check_exists(path))
        response.headers |= self._metadata.get(path, {})
        return response

    @route("PUT", BLOB)
    def put_blob(self, request: Request, container: str, blob: str) -> Response:
        """Write a blob, a part of it, or its properties."""
        path = self._request_path(request, container, blob)
        part = request.query.get("comp", "")
        if self._must_refuse(part):
            raise ServiceError(403, "AuthorizationFailure", "This request is not authorized.")
        if self.faults.trigger("blob_cut"):
            raise ConnectionLost
        if request.headers.get("if-none-match") == "*" and path.exists():
            raise ServiceError(409, "BlobAlreadyExists", "The specified blob already exists.")
        path.parent.mkdir(parents=True, exist_ok=True)
        write = {
            "": _write_blob,
            "block": self._stage_block,
            "blocklist": self._commit_blocks,
            "appendblock": _append_block,
        }.get(part, _ignore)
        write(request, path)
        # Writing a blob replaces its metadata.
        if part in ("", "blocklist", "metadata"):
            headers = request.headers.items()
            self._metadata[path] = {k: text for k, text in headers if k.startswith("x-ms-meta-")}
        status = 200 if part == "metadata" else 201
        return Response(status, headers=_version_headers(path) | _md5_header(request.body))

    @route("DELETE", BLOB)
    def delete_blob(self, request: Request, container: str, blob: str) -> Response:
        """Delete a blob."""
        path = self._request_path(request, container, blob)
        _check_exists(path).unlink()
        return Response(202)

    def _request_path(self, request: Request, container: str, blob: str) -> Path:
        return self.path(_account(request), container, blob)

    def _must_refuse(self, part: str) -> bool:
        options = self.faults.options().get("blob_part_refused", {})
        applies = part == "block" or options.get("all")
        return bool(applies and self.faults.trigger("blob_part_refused"))

    def _stage_block(self, request: Request, path: Path) -> None:
        self._uncommitted_blocks.setdefault(path, {})[request.query["blockid"]] = request.body

    def _commit_blocks(self, request: Request, path: Path) -> None:
        blocks = self._uncommitted_blocks.pop(path, {})
        ids = [element.text for element in ElementTree.fromstring(request.body)]
        if not set(ids) <= set(blocks):
            raise ServiceError(400, "InvalidBlockList", "The specified block list is invalid.")
        path.write_bytes(b"".join(blocks[id] for id in ids))

    def _list_response(self, request: Request, container: str) -> Response:
        prefix = request.query.get("prefix", "")
        delimiter = request.query.get("delimiter")
        blobs, folders = [], set()
        for name, path in self.list_blobs(_account(request), container, prefix).items():
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                blobs.append((name, path))
        return list_response(blobs, folders)


def read_response(request: Request, path: Path) -> Response:
    """Return a file, or the range of it that the request asks for."""
    size = path.stat().st_size
    start, end = _requested_range(request, size)
    headers = _version_headers(path) | {"x-ms-blob-type": "BlockBlob", "Accept-Ranges": "bytes"}
    headers["Content-Type"] = "application/octet-stream"
    if request.method == "HEAD":
        return Response(200, headers=headers | {"Content-Length": str(size)})
    if start is None:
        # Read at most `size` bytes, because a running job may append to its log meanwhile.
        with path.open("rb") as file:
            return Response(200, file.read(size), headers)
    if start >= size:
        raise ServiceError(416, "InvalidRange", "The range is not satisfiable.")
    with path.open("rb") as file:
        file.seek(start)
        body = file.read(end - start + 1)
    headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{size}"
    return Response(206, body, headers)


def list_response(blobs, folders=()) -> Response:
    """Return the XML list of blobs (pairs of name and file) and virtual folders."""
    blob_elements = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties>"
        f"<Last-Modified>{formatdate(path.stat().st_mtime, usegmt=True)}</Last-Modified>"
        f"<Etag>{_etag(path)}</Etag><Content-Length>{path.stat().st_size}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type><BlobType>BlockBlob</BlobType>"
        "</Properties></Blob>"
        for name, path in blobs
    )
    prefix_elements = "".join(
        f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in sorted(folders)
    )
    body = (
        '<?xml version="1.0" encoding="utf-8"?><EnumerationResults>'
        f"<Blobs>{blob_elements}{prefix_elements}</Blobs><NextMarker /></EnumerationResults>"
    )
    return Response(200, body.encode(), {"Content-Type": "application/xml"})


def _account(request: Request) -> str:
    return request.host.partition(".")[0]


def _files_below(folder: Path):
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else ()


def _requested_range(request: Request, size: int) -> tuple[int | None, int]:
    header = request.headers.get("x-ms-range") or request.headers.get("range") or ""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", header)
    if not match:
        return None, size - 1
    return int(match[1]), int(match[2] or size - 1)


def _write_blob(request: Request, path: Path) -> None:
    path.write_bytes(request.body)


def _append_block(request: Request, path: Path) -> None:
    with path.open("ab") as file:
        file.write(request.body)


def _ignore(request: Request, path: Path) -> None:
    """Leave the content alone, because the request concerns metadata, properties or a lease."""


def _etag(path: Path) -> str:
    status = path.stat()
    return f'"0x{status.st_mtime_ns:X}{status.st_size:X}"'


def _version_headers(path: Path | None = None) -> dict[str, str]:
    if path is None or not path.exists():
        return {"ETag": '"0x1"', "Last-Modified": formatdate(0, usegmt=True)}
    return {
        "ETag": _etag(path),
        "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
    }


def _md5_header(body: bytes) -> dict[str, str]:
    digest = hashlib.md5(body, usedforsecurity=False).digest()
    return {"Content-MD5": base64.b64encode(digest).decode()}


def _check_exists(path: Path) -> Path:
    if not path.is_file():
        raise ServiceError(404, "BlobNotFound", "The specified blob does not exist.")
    return path
