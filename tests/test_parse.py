"""Parsing: whole IDX files become arrays, damaged ones a sentence and nothing else."""

import gzip
import hashlib
import struct
import subprocess
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import parse
from checkout import TOP
from lib import idx
from lib.command import UserError
from samples import IMAGES

LARGEST = 2**32 - 1  # of a dimension in an IDX header


def payload(array: np.ndarray) -> bytes:
    return idx.header(array.shape) + array.tobytes()


def parsed(
    folder: Path, images: bytes, labels: bytes, sha256: Sequence[str | None] = (None, None)
) -> tuple[np.ndarray, np.ndarray]:
    """Write a set's two .gz files, parse them as the rule does, and return the arrays."""
    options = Namespace(
        images=folder / "images.gz",
        labels=folder / "labels.gz",
        images_out=folder / "arrays" / "images.npy",
        labels_out=folder / "arrays" / "labels.npy",
        sha256=sha256,
        record=None,
    )
    options.images.write_bytes(images)
    options.labels.write_bytes(labels)
    parse.main(options)
    return np.load(options.images_out), np.load(options.labels_out)


def refusal(images: bytes, labels: bytes, culprit: str = "images.gz") -> str:
    """Return the sentence with which parsing refuses a set; nothing may be left behind."""
    with TemporaryDirectory() as folder:
        with pytest.raises(UserError) as refused:
            parsed(Path(folder), images, labels)
        assert list(Path(folder, "arrays").iterdir()) == []
        sentence = str(refused.value)
        assert str(Path(folder, culprit)) in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


IMAGE = np.arange(30, dtype=np.uint8).reshape(1, 5, 6)
LABELS = gzip.compress(payload(np.array([3], np.uint8)))


@given(images=IMAGES, level=st.integers(0, 9))
def test_any_images_come_back(images: np.ndarray, level: int):
    labels = np.arange(len(images), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        files = [gzip.compress(payload(array), level) for array in (images, labels)]
        arrays = parsed(Path(folder), *files)
    for array, expected in zip(arrays, (images, labels), strict=True):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected)


def test_images_larger_than_a_chunk_come_back(tmp_path: Path):
    images = np.random.default_rng(0).integers(256, size=(3, 1000, 1000), dtype=np.uint8)
    assert images.nbytes > 2 * parse.CHUNK
    files = [gzip.compress(payload(array), 1) for array in (images, np.zeros(3, np.uint8))]
    np.testing.assert_array_equal(parsed(tmp_path, *files)[0], images)


def test_several_gzip_members_are_one_file(tmp_path: Path):
    whole = payload(IMAGE)
    members = gzip.compress(whole[:20]) + gzip.compress(b"") + gzip.compress(whole[20:])
    np.testing.assert_array_equal(parsed(tmp_path, members, LABELS)[0], IMAGE)


@given(images=IMAGES, level=st.integers(0, 9), data=st.data())
def test_a_flipped_byte_is_found(images: np.ndarray, level: int, data: st.DataObject):
    whole = bytearray(gzip.compress(payload(images), level))
    # The first ten bytes are gzip's header, which has no checksum.
    whole[data.draw(st.integers(10, len(whole) - 1))] ^= 0xFF
    refusal(bytes(whole), LABELS)


@given(position=st.integers(0, 9), byte=st.integers(0, 255))
def test_a_changed_gzip_header_is_refused_or_harmless(position: int, byte: int):
    whole = bytearray(gzip.compress(payload(IMAGE)))
    whole[position] = byte
    with TemporaryDirectory() as folder:
        try:
            images, _ = parsed(Path(folder), bytes(whole), LABELS)
        except UserError as refused:
            assert "images.gz" in str(refused)
        else:
            np.testing.assert_array_equal(images, IMAGE)


@given(images=IMAGES, data=st.data())
def test_a_truncated_file_is_refused(images: np.ndarray, data: st.DataObject):
    whole = gzip.compress(payload(images))
    refusal(whole[: data.draw(st.integers(0, len(whole) - 1))], LABELS)


@given(images=IMAGES, data=st.data())
def test_a_truncated_payload_is_refused(images: np.ndarray, data: st.DataObject):
    whole = payload(images)
    refusal(gzip.compress(whole[: data.draw(st.integers(0, len(whole) - 1))]), LABELS)


@given(images=IMAGES, more=st.binary(min_size=1, max_size=9))
def test_more_bytes_than_promised_are_refused(images: np.ndarray, more: bytes):
    assert "more than the" in refusal(gzip.compress(payload(images) + more), LABELS)


@given(images=IMAGES, more=st.binary(min_size=1, max_size=9))
def test_bytes_after_the_gzip_stream_are_refused(images: np.ndarray, more: bytes):
    assume(more[0])  # gzip lets zeros follow, as tapes need them
    refusal(gzip.compress(payload(images)) + more, LABELS)


@pytest.mark.parametrize(
    "shape",
    [(2, 5, 6), (1, 5, 7), (1, LARGEST, 1), (LARGEST, LARGEST, 1), (LARGEST, LARGEST, LARGEST)],
)
def test_a_header_that_promises_more_is_refused(shape: tuple[int, ...]):
    promise = gzip.compress(idx.header(shape) + IMAGE.tobytes())
    promised = shape[0] * shape[1] * shape[2]
    assert f"its header promises {promised} bytes, it has 30." in refusal(promise, LABELS)


NO_IMAGES = {
    "empty": (b"", "found no bytes"),
    "not compressed": (payload(IMAGE), "not an undamaged gzip file"),
    "a web page": (b"<html>404 Not Found</html>", "not an undamaged gzip file"),
    "another format": (gzip.compress(b"\x89PNG" + bytes(40)), "expected an IDX header"),
    "floats": (gzip.compress(struct.pack(">HBB3I", 0, 0x0D, 3, 1, 5, 6) + bytes(120)), "type 0d"),
    "a matrix": (gzip.compress(struct.pack(">HBB2I", 0, 0x08, 2, 5, 6) + bytes(30)), "2 dimension"),
    "no images": (gzip.compress(idx.header((0, 5, 6))), "the set is empty: its header says 0 x 5"),
    "labels": (LABELS, "expected grey images"),
}


@pytest.mark.parametrize(("content", "said"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_file_of_images_is_refused(content: bytes, said: str):
    assert said in refusal(content, LABELS)


@pytest.mark.parametrize(("wrong", "culprit"), [(0, "images.gz"), (1, "labels.gz")])
def test_a_file_of_another_data_set_is_refused(tmp_path: Path, wrong: int, culprit: str):
    contents = gzip.compress(payload(IMAGE)), LABELS
    sha256 = [hashlib.sha256(gzip.decompress(content)).hexdigest() for content in contents]
    parsed(tmp_path, *contents, sha256)
    expected = list(sha256)
    expected[wrong] = "0" * 64
    with pytest.raises(UserError) as refused:
        parsed(tmp_path, *contents, expected)
    assert str(refused.value) == (
        f"{tmp_path / culprit} is not the file of this data set: config/datasets.yaml has sha256 "
        f"{'0' * 64} for its payload, the file has {sha256[wrong]}. Delete it and run again."
    )


def test_damaged_labels_are_refused_too():
    refusal(gzip.compress(payload(IMAGE)), LABELS[:-1], culprit="labels.gz")


def test_images_and_labels_that_differ_in_number_are_refused():
    three = gzip.compress(payload(np.array([1, 2, 3], np.uint8)))
    sentence = refusal(gzip.compress(payload(IMAGE)), three)
    assert "found 1 images in" in sentence
    assert "3 labels in" in sentence
    assert "labels.gz" in sentence


def test_a_refused_file_leaves_earlier_arrays_as_they_were(tmp_path: Path):
    parsed(tmp_path, gzip.compress(payload(IMAGE)), LABELS)
    with pytest.raises(UserError):
        parsed(tmp_path, b"damaged", LABELS)
    np.testing.assert_array_equal(np.load(tmp_path / "arrays" / "images.npy"), IMAGE)


def peak_memory(folder: Path, images: int) -> int:
    """Return the largest memory that parse.py needed for images of 1000 x 1000 zeros."""
    folder.mkdir()
    with gzip.open(folder / "images.gz", "wb", 1) as stream:
        stream.write(idx.header((images, 1000, 1000)))
        for _ in range(images):
            stream.write(bytes(1000 * 1000))
    idx.write(folder / "labels.gz", np.zeros(images, np.uint8))
    command = [sys.executable, TOP / "workflow/scripts/parse.py"]
    command += ["--images", "images.gz", "--labels", "labels.gz"]
    command += ["--images-out", "images.npy", "--labels-out", "labels.npy"]
    # A process of its own in between, since a child inherits its parent's peak.
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    between = [sys.executable, "-c", measure, *command]
    return int(subprocess.run(between, cwd=folder, check=True, capture_output=True).stdout)


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    small = peak_memory(tmp_path / "small", 2)
    assert peak_memory(tmp_path / "large", 200) < 1.1 * small
