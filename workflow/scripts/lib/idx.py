"""The IDX format: a big-endian header and unsigned bytes, row by row.

The header is two zero bytes, the element type (0x08 for unsigned bytes), the number of
dimensions, and each dimension as a 32-bit number. See http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import hashlib
import math
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lib.command import UserError

UNSIGNED_BYTE = 0x08
LAYOUTS = {
    1: "labels (1 dimension: count)",
    3: "grey images (3 dimensions: count, rows, columns)",
}


def header(shape: tuple[int, ...]) -> bytes:
    """Return the IDX header of unsigned bytes of this shape."""
    return struct.pack(f">HBB{len(shape)}I", 0, UNSIGNED_BYTE, len(shape), *shape)


def read_header(stream: BinaryIO, dimensions: int) -> tuple[int, ...]:
    """Read the header of an IDX file of unsigned bytes.

    Parameters
    ----------
    stream : binary file
        Positioned at the first byte of the payload (the content without gzip).
    dimensions : {1, 3}
        What is expected: 1 for labels, 3 for images.

    Returns
    -------
    tuple of int
        The shape: ``(n,)`` for labels, ``(n, rows, cols)`` for images.

    Raises
    ------
    UserError
        If this is no IDX header, or not one of the expected kind.
    """
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise UserError(f"expected an IDX header (00 00 08 ..), found {_hex(magic)}.")
    element_type, found = magic[2], magic[3]
    if element_type != UNSIGNED_BYTE:
        raise UserError(f"expected unsigned bytes (IDX type 08), found type {element_type:02x}.")
    if found != dimensions:
        raise UserError(f"expected {LAYOUTS[dimensions]}, found {found} dimension(s).")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise UserError(f"the file is truncated: its header ends after {4 + len(sizes)} bytes.")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(shape) == 0:
        raise UserError(f"the set is empty: its header says {_times(shape)}.")
    return shape


def write(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as gzipped IDX; the same array always gives the same bytes.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    array : ndarray of uint8, shape (n,) or (n, rows, cols)
        Labels or images.
    """
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        stream.write(header(array.shape))
        stream.write(np.ascontiguousarray(array).data)


def payload_sha256(*arrays: np.ndarray) -> str:
    """Return the sha256 of the arrays' IDX payloads, one after the other.

    For one array this is the checksum of the file it was parsed from, whatever its compression:
    ``gzip -dc FILE... | sha256sum`` prints the same.

    Parameters
    ----------
    *arrays : ndarray of uint8
        Each of shape (n,) or (n, rows, cols); memory maps are read in pieces.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(header(array.shape))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _hex(some: bytes) -> str:
    return some.hex(" ") or "no bytes"


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
