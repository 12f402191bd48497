"""Test the IDX format: data/idx.py."""

import gzip
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from image_workflow.data import idx
from image_workflow.errors import UserError
from samples import IMAGES

# The headers of MNIST's own files, as `gzip -dc FILE.gz | head -c 16 | xxd -p` prints them.
MNIST_IMAGES = "00000803 0000ea60 0000001c 0000001c"
MNIST_LABELS = "00000801 00002710"


# ---- The header ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "shape"), [(MNIST_IMAGES, (60000, 28, 28)), (MNIST_LABELS, (10000,))]
)
def test_header_equals_that_of_mnist(header: str, shape: tuple[int, ...]):
    assert idx.header(shape) == bytes.fromhex(header)
    assert idx.read_header(io.BytesIO(bytes.fromhex(header)), len(shape)) == shape


def test_read_header_stops_before_the_first_pixel():
    stream = io.BytesIO(bytes.fromhex(MNIST_LABELS) + b"pixels")
    idx.read_header(stream, 1)
    assert stream.read() == b"pixels"


@pytest.mark.parametrize(
    ("header", "dimensions", "message"),
    [
        ("", 3, "expected an IDX header (00 00 08 ..), found no bytes."),
        ("000008", 3, "expected an IDX header (00 00 08 ..), found 00 00 08."),
        ("89504e47", 3, "expected an IDX header (00 00 08 ..), found 89 50 4e 47."),
        ("00000d03", 3, "expected unsigned bytes (IDX type 08), found type 0d."),
        (MNIST_LABELS, 3, "expected grey images (3 dimensions: count, rows, columns), found 1 "),
        (MNIST_IMAGES, 1, "expected labels (1 dimension: count), found 3 dimension(s)."),
        (MNIST_IMAGES[:20], 3, "the file is truncated: its header ends after 9 bytes."),
        ("00000801 00000000", 1, "the set is empty: its header says 0."),
        ("00000803 00000005 0000001c 00000000", 3, "the set is empty: its header says 5 x 28 x 0."),
    ],
)
def test_wrong_header_is_refused(header: str, dimensions: int, message: str):
    with pytest.raises(UserError) as raised:
        idx.read_header(io.BytesIO(bytes.fromhex(header)), dimensions)
    assert str(raised.value).startswith(message)


# ---- Files and checksums -------------------------------------------------------------------


@given(images=IMAGES)
def test_written_file_is_header_and_pixels(images: np.ndarray, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "images.gz"
    idx.write(path, images)
    assert gzip.decompress(path.read_bytes()) == idx.header(images.shape) + images.tobytes()


def test_file_name_does_not_change_the_bytes(tmp_path: Path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    copies = [tmp_path / "one.gz", tmp_path / "other.gz"]
    for path in copies:
        idx.write(path, array)
    first, second = (path.read_bytes() for path in copies)
    assert first == second
    assert first[4:8] == b"\0\0\0\0"  # the time stamp in the gzip header


def test_slice_is_written_as_a_contiguous_array(tmp_path: Path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)[:, :, ::2]
    idx.write(tmp_path / "slice.gz", array)
    assert gzip.decompress((tmp_path / "slice.gz").read_bytes())[16:] == array.tobytes()


def test_payload_checksum_equals_that_of_the_uncompressed_files(tmp_path: Path):
    images, labels = np.ones((2, 3, 4), np.uint8), np.array([7, 9], np.uint8)
    for name, array in (("images", images), ("labels", labels)):
        idx.write(tmp_path / f"{name}.gz", array)
        np.save(tmp_path / f"{name}.npy", array)
    payloads = [
        gzip.decompress((tmp_path / f"{name}.gz").read_bytes()) for name in ("images", "labels")
    ]
    assert idx.payload_sha256(labels) == hashlib.sha256(payloads[1]).hexdigest()
    maps = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "labels")]
    assert idx.payload_sha256(*maps) == hashlib.sha256(b"".join(payloads)).hexdigest()
