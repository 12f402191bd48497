"""The IDX format: a header, then unsigned bytes.

The header is two zero bytes, the element type (0x08 for unsigned bytes), the number of dimensions,
and the size of each dimension as a big-endian 32-bit number. Source:
http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_chunks

UNSIGNED_BYTE = 0x08
LAYOUTS = {
    1: "labels (1 dimension: count)",
    3: "grey images (3 dimensions: count, rows, columns)",
}


class IdxError(UserError):
    """The content of a file is not the expected IDX data."""


def header(shape: tuple[int, ...]) -> bytes:
    """Return the IDX header for unsigned bytes of this shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def read_header(stream: BinaryIO, dimensions: int) -> tuple[int, ...]:
    """Read the header of IDX data of unsigned bytes.

    Parameters
    ----------
    stream : binary file
        Positioned at the first byte of the IDX data (uncompressed).
    dimensions : {1, 3}
        The expected number of dimensions: 1 for labels, 3 for images.

    Returns
    -------
    tuple of int
        The shape: ``(n,)`` for labels, ``(n, rows, columns)`` for images.

    Raises
    ------
    IdxError
        If there is no IDX header, or if it describes another kind of data.
    """
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise IdxError(f"expected an IDX header (00 00 08 ..), found {_hex(magic)}.")
    element_type, found = magic[2], magic[3]
    if element_type != UNSIGNED_BYTE:
        raise IdxError(f"expected unsigned bytes (IDX type 08), found type {element_type:02x}.")
    if found != dimensions:
        raise IdxError(f"expected {LAYOUTS[dimensions]}, found {found} dimension(s).")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise IdxError(f"the file is truncated: its header ends after {4 + len(sizes)} bytes.")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(shape) == 0:
        raise IdxError(f"the set is empty: its header says {_times(shape)}.")
    return shape


def write(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as gzipped IDX. Equal arrays give equal bytes.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    array : ndarray of uint8, shape (n,) or (n, rows, columns)
        Labels or images.
    """
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        stream.write(header(array.shape))
        stream.write(np.ascontiguousarray(array).data)


def payload_sha256(*arrays: np.ndarray) -> str:
    """Return the sha256 of the arrays as IDX data, one after the other.

    For one array this is the checksum in config/datasets.yaml, that of the uncompressed IDX file:
    ``gzip -dc FILE... | sha256sum`` prints the same.

    Parameters
    ----------
    *arrays : ndarray of uint8
        Each of shape (n,) or (n, rows, columns). Memory maps are read in pieces.
    """
    return sha256_of_chunks(
        part for array in arrays for part in (header(array.shape), np.ascontiguousarray(array).data)
    )


def _hex(some: bytes) -> str:
    return some.hex(" ") or "no bytes"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
