"""Test the IDX format: data/idx.py."""

import gzip
import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from image_workflow.data import idx
from image_workflow.errors import UserError
from samples import IMAGES, gzipped

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
        ("", 3, "expected an IDX header (00 00 08 ..), found an empty file."),
        ("000008", 3, "expected an IDX header (00 00 08 ..), found a file that begins with"),
        ("89504e47", 3, "expected an IDX header (00 00 08 ..), found a PNG picture."),
        ("00000d03", 3, "expected unsigned bytes (IDX type 08), found 32-bit floats (IDX type 0d)"),
        ("00000804", 3, "expected grey images (3 dimensions: count, rows, columns), found 4 dim"),
        (
            MNIST_LABELS,
            3,
            "expected grey images (3 dimensions: count, rows, columns), found labels (1 dimension",
        ),
        (MNIST_IMAGES, 1, "expected labels (1 dimension: count), found grey images (3 dimensions"),
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


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.array([1, 2]), "int64 of shape (2,)"),
        (np.zeros((2, 3, 4), np.float32), "float32 of shape (2, 3, 4)"),
        (np.zeros((2, 3), np.uint8), "uint8 of shape (2, 3)"),
        (np.zeros((2, 3, 4, 3), np.uint8), "uint8 of shape (2, 3, 4, 3)"),
        (np.array(1, np.uint8), "uint8 of shape ()"),
        (np.array([True]), "bool of shape (1,)"),
    ],
)
def test_other_arrays_are_refused_before_the_file_is_touched(tmp_path: Path, array, found: str):
    path = tmp_path / "labels.gz"
    path.write_bytes(b"earlier")
    with pytest.raises(idx.IdxError) as raised:
        idx.write(path, array)
    assert str(raised.value) == (
        f"{path} needs an array of uint8, of shape (n,) for labels or (n, rows, columns) for "
        f"images; the given one is {found}."
    )
    assert path.read_bytes() == b"earlier"


@given(images=IMAGES)
def test_read_returns_what_was_written(images: np.ndarray, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "images.gz"
    idx.write(path, images)
    np.testing.assert_array_equal(idx.read(path), images)


@pytest.mark.parametrize("compress", [bytes, gzipped], ids=["raw", "gzipped"])
@pytest.mark.parametrize(
    ("element_type", "code", "dtype"),
    [
        (0x08, "B", np.uint8),
        (0x09, "b", np.int8),
        (0x0B, "h", np.int16),
        (0x0C, "i", np.int32),
        (0x0D, "f", np.float32),
        (0x0E, "d", np.float64),
    ],
)
def test_each_element_type_is_read(tmp_path: Path, compress, element_type: int, code: str, dtype):
    values = [1, 2, 3, 100, 0, 5]
    content = struct.pack(f">HBB2I6{code}", 0, element_type, 2, 2, 3, *values)
    (tmp_path / "file").write_bytes(compress(content))
    array = idx.read(tmp_path / "file")
    assert array.dtype == dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, np.reshape(values, (2, 3)))


def test_colour_images_are_read(tmp_path: Path):
    images = np.arange(48, dtype=np.uint8).reshape(2, 4, 2, 3)
    (tmp_path / "file").write_bytes(idx.header(images.shape) + images.tobytes())
    np.testing.assert_array_equal(idx.read(tmp_path / "file"), images)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "expected an IDX header (00 00 08 ..), found an empty file."),
        (b"<html></html>", "expected an IDX header (00 00 08 ..), found an HTML page."),
        (gzipped(b"PK\3\4"), "expected an IDX header (00 00 08 ..), found a zip archive."),
        (
            idx.header((2, 2)) + b"123",
            "the file is truncated: its header promises 4 bytes, it has 3. Copy or download it "
            "again.",
        ),
        (idx.header((2, 2)) + b"12345", "it has more than the 4 bytes that its header promises."),
        (
            idx.header((2**32 - 1,) * 4),
            f"the file is truncated: its header promises {(2**32 - 1) ** 4} bytes, it has 0.",
        ),
        (bytes.fromhex("00000805"), "expected 1 to 4 dimensions, found 5."),
        (bytes.fromhex("00000a01 00000001 01"), "expected an IDX header (00 00 08 ..), found "),
        (gzipped(idx.header((2,)) + b"12")[:-9], "the file is truncated: "),
        (gzipped(idx.header((2,)) + b"12") + b"junk", "its gzip stream is damaged ("),
    ],
)
def test_damaged_or_other_files_are_not_read(tmp_path: Path, content: bytes, reason: str):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(idx.IdxError) as raised:
        idx.read(tmp_path / "file")
    assert str(raised.value).startswith(f"{tmp_path / 'file'} cannot be read: {reason}")


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


@pytest.mark.parametrize("compress", [bytes, gzipped], ids=["raw", "gzipped"])
def test_payload_checksum_of_a_file_is_that_of_its_content(tmp_path: Path, compress):
    (tmp_path / "file").write_bytes(compress(b"content"))
    assert idx.file_payload_sha256(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()


def test_payload_checksum_of_a_damaged_file_is_refused(tmp_path: Path):
    whole = gzipped(b"content")
    for damaged in (whole[:-4], whole[:-5] + b"\0" + whole[-4:], b"\x1f\x8b" + bytes(20)):
        (tmp_path / "damaged.gz").write_bytes(damaged)
        with pytest.raises(idx.IdxError, match="gzip stream"):
            idx.file_payload_sha256(tmp_path / "damaged.gz")


# ---- Descriptions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "description"),
    [
        (b"", "an empty file"),
        (b"\n<!-- x -->\n<!DOCTYPE HTML>", "an HTML page"),
        (b"<HTML lang=en>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML document"),
        (b"<Error><Code>NoSuchKey</Code>", "an error message of a server (NoSuchKey)"),
        (gzipped(b"x"), "a gzip file in a gzip file"),
        (b"PK\x03\x04", "a zip archive"),
        (bytes(257) + b"ustar", "a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"label,pixel0", "a text that begins with 'label,pixel0'"),
        (b"\xe4bc\n", "a file that begins with the bytes e4 62 63 0a"),
        (bytes.fromhex(MNIST_IMAGES), "60,000 grey images of 28 x 28"),
        (bytes.fromhex(MNIST_LABELS) + b"labels", "10,000 labels"),
        (bytes.fromhex("00000c02 0000ea60 00000008"), "IDX data of 32-bit integers, 60000 x 8"),
        (idx.header((5, 32, 32, 3)), "IDX data of unsigned bytes, 5 x 32 x 32 x 3"),
    ],
)
def test_description_names_the_kind_of_file(start: bytes, description: str):
    assert idx.described(start).name == description


def test_a_file_that_expands_without_end_is_given_up(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(idx, "MOST_BYTES", 3_000_000)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(2_000_000)))
    idx.file_payload_sha256(path)
    path.write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(idx.IdxError, match=r"^its content has more than 0\.003 GB\.$"):
        idx.file_payload_sha256(path)
