"""Notice whether the user's own files have changed, by content.

A folder of 60,000 files cannot be read before each run. So the sha256 of each file is kept with the
file's size and modification time, as git does, and only files with others are read again.
"""

import errno
import gc
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from image_workflow.files import share
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json
from image_workflow.paths import scan

log = logging.getLogger(__name__)

MANY = 1000  # Tell the user if so many files are read.
UNREADABLE = "unreadable"


def content_digest(paths: dict[str, Path], index: Path) -> str:
    """Return a digest of the names and the content of all files, whatever their time stamps.

    Parameters
    ----------
    paths : dict of pathlib.Path
        A file or a folder for each role, such as ``images`` and ``labels``. The names of a folder's
        files count, the folder's own name does not.
    index : pathlib.Path
        Keeps the sha256 of each file for the next call. It may be missing.

    Raises
    ------
    OSError
        If a file or folder in ``paths`` does not exist.
    """
    found, unknown = {}, []
    with without_garbage_collection():
        known, digest = _read_index(index)
        for role, path in paths.items():
            for name, file, state in _files(path):
                key = f"{role}/{name}"
                entry = known.get(key)
                if entry and entry[:4] == state:
                    found[key] = entry
                else:
                    found[key] = [*state, None]
                    unknown.append((key, file))
    if len(unknown) >= MANY:
        log.info("Reading %d new or changed files of the data set.", len(unknown))
    for key, file in unknown:
        found[key][4] = _sha256(file)
    if unknown or len(found) != len(known):
        digest = sha256_of_json(sorted((key, entry[4]) for key, entry in found.items()))
        readable = {key: entry for key, entry in found.items() if entry[4] != UNREADABLE}
        _write_index(index, readable, digest)
    return digest


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Create many objects in the block, without a search for garbage in all of Snakemake's."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _files(path: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Yield name, path, and size with modification time of a file or of a folder's files."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not path.is_dir():
        yield "", str(path), _state(path)
        return
    start = len(os.path.join(path, ""))
    for entry in scan(path):
        yield entry.path[start:], entry.path, _state(entry)


def _state(entry: os.DirEntry | Path) -> list[int]:
    try:
        found = entry.stat()
        # Programs can set the time of the modification, but not that of the change.
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    except OSError:  # a broken link
        return [-1, -1, -1, -1]


def _sha256(file: str) -> str:
    """Return a file's sha256. The program that converts the files reports unreadable ones."""
    try:
        # To open a named pipe would wait for a writer.
        return sha256_of_file(file) if os.path.isfile(file) else UNREADABLE
    except OSError:
        return UNREADABLE


def _read_index(index: Path) -> tuple[dict[str, list], str]:
    """Return what is known of each file, and the digest of all; nothing if the index is damaged."""
    try:
        content = json.loads(index.read_text())
        return dict(content["files"]), str(content["digest"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}, ""


def _write_index(index: Path, files: dict[str, list], digest: str) -> None:
    # Several Snakemakes may plan at once. Without an index, the files are read again.
    with suppress(OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(".part", index.name[:100], index.parent)
        with open(handle, "w") as file:
            json.dump({"digest": digest, "files": files}, file)
        share(Path(part))
        os.replace(part, index)
