"""The IDX format: a header, then the elements.

The header is two zero bytes, the element type, the number of dimensions, and the size of each
dimension as a big-endian 32-bit number. The workflow works with unsigned bytes (type 0x08). Source:
http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from image_workflow.data import kinds
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_chunks

CHUNK = 1 << 20
#: Of the content of a file. It bounds the time for a small file that expands to zeros without end.
MOST_BYTES = 20_000_000_000
GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
#: The name and the NumPy type of each element type.
ELEMENT_TYPES = {
    0x08: ("unsigned bytes", ">u1"),
    0x09: ("signed bytes", ">i1"),
    0x0B: ("16-bit integers", ">i2"),
    0x0C: ("32-bit integers", ">i4"),
    0x0D: ("32-bit floats", ">f4"),
    0x0E: ("64-bit floats", ">f8"),
}
MOST_DIMENSIONS = 4
LAYOUTS = {
    1: "labels (1 dimension: count)",
    3: "grey images (3 dimensions: count, rows, columns)",
}
SWAPPED = "The files of images and labels may be swapped."


class IdxError(UserError):
    """The content of a file or array is not the expected IDX data.

    Attributes
    ----------
    remedy : str
        What the owner of the file can do, or an empty text.
    """

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(text)
        self.remedy = remedy


class OtherKindError(IdxError):
    """The data is IDX, but has another element type or other dimensions than the workflow's."""


# ---- The header ----------------------------------------------------------------------------


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
    element_type, found = _read_magic(stream)
    if element_type != UNSIGNED_BYTE:
        name, _ = ELEMENT_TYPES[element_type]
        raise OtherKindError(
            f"expected unsigned bytes (IDX type 08), found {name} (IDX type {element_type:02x}).",
            kinds.OWN_IMAGES,
        )
    if found != dimensions:
        if found not in LAYOUTS:
            raise OtherKindError(
                f"expected {LAYOUTS[dimensions]}, found {found} dimensions.", kinds.OWN_IMAGES
            )
        raise IdxError(f"expected {LAYOUTS[dimensions]}, found {LAYOUTS[found]}.", SWAPPED)
    return _read_shape(stream, dimensions)


def read_any_header(stream: BinaryIO) -> tuple[int, tuple[int, ...]]:
    """Read the header of IDX data of any element type, with 1 to 4 dimensions.

    Returns
    -------
    tuple
        The element type, a key of ``ELEMENT_TYPES``, and the shape.

    Raises
    ------
    IdxError
        If there is no such header.
    """
    element_type, dimensions = _read_magic(stream)
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise IdxError(f"expected 1 to {MOST_DIMENSIONS} dimensions, found {dimensions}.")
    return element_type, _read_shape(stream, dimensions)


def _read_magic(stream: BinaryIO) -> tuple[int, int]:
    """Return the element type and the number of dimensions."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in ELEMENT_TYPES:
        found = _kind(magic + stream.read(kinds.BEGINNING - len(magic)))
        raise IdxError(f"expected an IDX header (00 00 08 ..), found {found.name}.", found.remedy)
    return magic[2], magic[3]


def _read_shape(stream: BinaryIO, dimensions: int) -> tuple[int, ...]:
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise IdxError(
            f"the file is truncated: its header ends after {4 + len(sizes)} bytes.", kinds.AGAIN
        )
    shape = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(shape) == 0:
        raise IdxError(f"the set is empty: its header says {_times(shape)}.", kinds.AGAIN)
    return shape


# ---- Files ---------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, gzipped or raw, to read its uncompressed content.

    Raises
    ------
    IdxError
        If the gzip stream turns out to be damaged while it is read.
    """
    with open(path, "rb") as file:
        gzipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        try:
            yield gzip.GzipFile(fileobj=file) if gzipped else file
        except EOFError:
            raise IdxError(
                "the file is truncated: its gzip stream has no end.", kinds.AGAIN
            ) from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise IdxError(f"its gzip stream is damaged ({error}).", kinds.AGAIN) from None


def read(path: Path) -> np.ndarray:
    """Return the content of an IDX file, gzipped or raw, of any element type.

    Parameters
    ----------
    path : pathlib.Path
        IDX data with 1 to 4 dimensions.

    Returns
    -------
    ndarray
        uint8, int8, int16, int32, float32 or float64, as the file has it.

    Raises
    ------
    IdxError
        If the file is damaged or is not IDX data.
    """
    try:
        with opened(path) as stream:
            element_type, shape = read_any_header(stream)
            dtype = np.dtype(ELEMENT_TYPES[element_type][1])
            content = bytearray()
            for chunk in elements(stream, shape, dtype.itemsize):
                content += chunk
    except IdxError as error:
        raise IdxError(f"{path} cannot be read: {error} {error.remedy}".rstrip()) from None
    array = np.frombuffer(content, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def elements(stream: BinaryIO, shape: tuple[int, ...], item_size: int = 1) -> Iterator[bytes]:
    """Yield the elements of IDX data in chunks, never more than the header promises.

    Parameters
    ----------
    stream : binary file
        Positioned after the IDX header.
    shape : tuple of int
        The shape in the IDX header.
    item_size : int
        The bytes of an element.

    Raises
    ------
    IdxError
        If the data is shorter or longer than its header says.
    """
    size = missing = math.prod(shape) * item_size
    while missing and (chunk := stream.read(min(CHUNK, missing))):
        missing -= len(chunk)
        yield chunk
    found = size - missing
    if missing and math.prod(_swapped(shape)) * item_size == found:
        raise IdxError(
            f"the sizes in its header are in little-endian byte order: {_times(shape)} should be "
            f"{_times(_swapped(shape))}.",
            kinds.SWAP_BYTES,
        )
    if missing:
        raise IdxError(
            f"the file is truncated: its header promises {size} bytes, it has {found}.",
            kinds.AGAIN,
        )
    if stream.read(1):
        raise IdxError(f"it has more than the {size} bytes that its header promises.", kinds.AGAIN)


def _swapped(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes in the other byte order."""
    return tuple(int.from_bytes(size.to_bytes(4, "big"), "little") for size in sizes)


def beginning(path: Path) -> bytes:
    """Return the first bytes of the uncompressed content of a file, gzipped or raw.

    They are enough for :func:`described`.

    Raises
    ------
    IdxError
        If the gzip stream is damaged.
    """
    with opened(path) as stream:
        return stream.read(kinds.BEGINNING)


def write(path: Path, array: np.ndarray) -> None:
    """Write ``array`` as gzipped IDX. Equal arrays give equal bytes.

    Parameters
    ----------
    path : pathlib.Path
        The file to write.
    array : ndarray of uint8, shape (n,) or (n, rows, columns)
        Labels or images.

    Raises
    ------
    IdxError
        If the array has another type or shape. The file stays as it was.
    """
    if array.dtype != np.uint8 or array.ndim not in LAYOUTS:
        raise IdxError(
            f"{path} needs an array of uint8, of shape (n,) for labels or (n, rows, columns) for "
            f"images; the given one is {array.dtype} of shape {array.shape}."
        )
    with open(path, "wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as stream:
        stream.write(header(array.shape))
        stream.write(np.ascontiguousarray(array).data)


# ---- Checksums and descriptions ------------------------------------------------------------


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


def file_payload_sha256(path: Path) -> str:
    """Return the sha256 of the uncompressed content of a file, gzipped or raw.

    Raises
    ------
    IdxError
        If the gzip stream is damaged, or expands to more than MOST_BYTES.
    """

    def chunks() -> Iterator[bytes]:
        read = 0
        while chunk := stream.read(CHUNK):
            read += len(chunk)
            if read > MOST_BYTES:
                raise IdxError(f"its content has more than {MOST_BYTES / 1e9:g} GB.")
            yield chunk

    with opened(path) as stream:
        return sha256_of_chunks(chunks())


def described(start: bytes) -> kinds.Kind:
    """Say what a file is, and what to do with it if it is not IDX data of unsigned bytes.

    Parameters
    ----------
    start : bytes
        The first bytes of the uncompressed content; 512 are enough.

    Examples
    --------
    >>> described(header((60000, 28, 28))).name, described(b"").name
    ('60,000 grey images of 28 x 28', 'an empty file')
    """
    try:
        element_type, shape = read_any_header(io.BytesIO(start))
    except IdxError:
        return _kind(start)
    if element_type == UNSIGNED_BYTE and len(shape) == 1:
        return kinds.Kind(f"{shape[0]:,} labels")
    if element_type == UNSIGNED_BYTE and len(shape) == 3:
        return kinds.Kind(f"{shape[0]:,} grey images of {_times(shape[1:])}")
    name = f"IDX data of {ELEMENT_TYPES[element_type][0]}, {_times(shape)}"
    return kinds.Kind(name, kinds.OWN_IMAGES)


def _kind(start: bytes) -> kinds.Kind:
    little_endian = start[2:4] == b"\0\0" and 1 <= start[0] <= MOST_DIMENSIONS
    if little_endian and start[1] in ELEMENT_TYPES:
        return kinds.Kind("an IDX file in little-endian byte order", kinds.SWAP_BYTES)
    return kinds.kind_of(start)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
