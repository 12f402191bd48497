"""All sha256 checksums are computed here."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with open(path, "rb") as file:
        return sha256_of_open_file(file)


def sha256_of_open_file(file: BinaryIO) -> str:
    """Return the sha256 of the rest of an open file."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_chunks(chunks: Iterable[bytes]) -> str:
    """Return the sha256 of the concatenated chunks. An exception of the iterator passes through."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def sha256_of_json(content) -> str:
    """Return the sha256 of a value as JSON. The order of keys has no effect."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
