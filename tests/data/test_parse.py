"""Test parsing: complete IDX files become arrays, and damaged files become one-sentence errors."""

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
from image_workflow.data import idx
from image_workflow.data.kinds import OWN_IMAGES
from image_workflow.errors import UserError
from samples import IMAGES, gzipped

LARGEST = 2**32 - 1  # the largest size of a dimension in an IDX header


def payload(array: np.ndarray) -> bytes:
    return idx.header(array.shape) + array.tobytes()


def run_parse(
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


def parse_error(images: bytes, labels: bytes, damaged: str = "images.gz") -> str:
    """Parse a damaged set; check that the error is one sentence and that no file is left."""
    with TemporaryDirectory() as folder:
        with pytest.raises(UserError) as raised:
            run_parse(Path(folder), images, labels)
        assert list(Path(folder, "arrays").iterdir()) == []
        sentence = str(raised.value)
        assert str(Path(folder, damaged)) in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


IMAGE = np.arange(30, dtype=np.uint8).reshape(1, 5, 6)
LABELS = gzipped(payload(np.array([3], np.uint8)))


# ---- Complete files ------------------------------------------------------------------------


@given(images=IMAGES, level=st.integers(0, 9))
def test_arrays_equal_the_written_images_and_labels(images: np.ndarray, level: int):
    labels = np.arange(len(images), dtype=np.uint8)
    with TemporaryDirectory() as folder:
        files = [gzipped(payload(array), level) for array in (images, labels)]
        arrays = run_parse(Path(folder), *files)
    for array, expected in zip(arrays, (images, labels), strict=True):
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, expected)


def test_images_larger_than_a_chunk_are_parsed(tmp_path: Path):
    images = np.random.default_rng(0).integers(256, size=(3, 1000, 1000), dtype=np.uint8)
    assert images.nbytes > 2 * idx.CHUNK
    files = [gzipped(payload(array), 1) for array in (images, np.zeros(3, np.uint8))]
    np.testing.assert_array_equal(run_parse(tmp_path, *files)[0], images)


def test_file_with_several_gzip_members_is_parsed(tmp_path: Path):
    whole = payload(IMAGE)
    members = gzipped(whole[:20]) + gzipped(b"") + gzipped(whole[20:])
    np.testing.assert_array_equal(run_parse(tmp_path, members, LABELS)[0], IMAGE)


# ---- Damaged files -------------------------------------------------------------------------


@given(images=IMAGES, level=st.integers(0, 9), data=st.data())
def test_flipped_byte_is_detected(images: np.ndarray, level: int, data: st.DataObject):
    whole = bytearray(gzipped(payload(images), level))
    # The first ten bytes are gzip's header, which has no checksum.
    whole[data.draw(st.integers(10, len(whole) - 1))] ^= 0xFF
    parse_error(bytes(whole), LABELS)


@given(position=st.integers(0, 9), byte=st.integers(0, 255))
def test_changed_gzip_header_is_refused_or_harmless(position: int, byte: int):
    whole = bytearray(gzipped(payload(IMAGE)))
    whole[position] = byte
    with TemporaryDirectory() as folder:
        try:
            images, _ = run_parse(Path(folder), bytes(whole), LABELS)
        except UserError as error:
            assert "images.gz" in str(error)
        else:
            np.testing.assert_array_equal(images, IMAGE)


@given(images=IMAGES, data=st.data())
def test_truncated_file_is_refused(images: np.ndarray, data: st.DataObject):
    whole = gzipped(payload(images))
    parse_error(whole[: data.draw(st.integers(0, len(whole) - 1))], LABELS)


@given(images=IMAGES, data=st.data())
def test_truncated_payload_is_refused(images: np.ndarray, data: st.DataObject):
    whole = payload(images)
    parse_error(gzipped(whole[: data.draw(st.integers(0, len(whole) - 1))]), LABELS)


@given(images=IMAGES, more=st.binary(min_size=1, max_size=9))
def test_more_bytes_than_the_header_promises_are_refused(images: np.ndarray, more: bytes):
    assert "more than the" in parse_error(gzipped(payload(images) + more), LABELS)


@given(images=IMAGES, more=st.binary(min_size=1, max_size=9))
def test_bytes_after_the_gzip_stream_are_refused(images: np.ndarray, more: bytes):
    assume(more[0])  # gzip allows zeros after its stream, because tapes pad files with zeros
    parse_error(gzipped(payload(images)) + more, LABELS)


@pytest.mark.parametrize(
    "shape",
    [(2, 5, 6), (1, 5, 7), (1, LARGEST, 1), (LARGEST, LARGEST, 1), (LARGEST, LARGEST, LARGEST)],
)
def test_header_that_promises_more_bytes_is_refused(shape: tuple[int, ...]):
    content = gzipped(idx.header(shape) + IMAGE.tobytes())
    promised = shape[0] * shape[1] * shape[2]
    expected = f"its header promises {promised} bytes, it has 30."
    assert expected in parse_error(content, LABELS)


NO_IMAGES = {
    "empty": (b"", "found an empty file"),
    "a web page": (b"<html>404 Not Found</html>", "found an HTML page"),
    "another format": (gzipped(b"\x89PNG" + bytes(40)), "found a PNG picture"),
    "floats": (gzipped(struct.pack(">HBB3I", 0, 0x0D, 3, 1, 5, 6) + bytes(120)), "type 0d"),
    "a matrix": (gzipped(struct.pack(">HBB2I", 0, 0x08, 2, 5, 6) + bytes(30)), "2 dimension"),
    "no images": (gzipped(idx.header((0, 5, 6))), "the set is empty: its header says 0 x 5"),
    "labels": (LABELS, "expected grey images"),
}


@pytest.mark.parametrize(("content", "message"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_file_without_images_is_refused(content: bytes, message: str):
    assert message in parse_error(content, LABELS)


def test_damaged_labels_are_refused():
    parse_error(gzipped(payload(IMAGE)), LABELS[:-1], damaged="labels.gz")


# ---- Wrong files ---------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "name"), [(0, "images.gz"), (1, "labels.gz")])
def test_file_of_another_data_set_is_refused(tmp_path: Path, wrong: int, name: str):
    contents = gzipped(payload(IMAGE)), LABELS
    sha256 = [hashlib.sha256(gzip.decompress(content)).hexdigest() for content in contents]
    run_parse(tmp_path, *contents, sha256)
    expected = list(sha256)
    expected[wrong] = "0" * 64
    with pytest.raises(UserError) as raised:
        run_parse(tmp_path, *contents, expected)
    assert str(raised.value) == (
        f"{tmp_path / name} is not the file of this data set: expected a payload with sha256 "
        f"{'0' * 64}, found {sha256[wrong]}. Run again to make it anew."
    )


CORRECT_ENTRY = "Correct its checksum and its sources in the data set's entry."
FLOATS = struct.pack(">HBB3I", 0, 0x0D, 3, 1, 5, 6) + bytes(120)
WRONG_ENTRIES = {
    "floats": (FLOATS, "found 32-bit floats (IDX type 0d).", OWN_IMAGES),
    "colour": (idx.header((1, 5, 6, 3)) + bytes(90), "found 4 dimensions.", OWN_IMAGES),
    "labels": (gzip.decompress(LABELS), "found labels (1 dimension: count).", CORRECT_ENTRY),
    "a web page": (b"<html></html>", "found an HTML page.", CORRECT_ENTRY),
    "truncated": (payload(IMAGE)[:-1], "it has 29.", CORRECT_ENTRY),
}


@pytest.mark.parametrize(("content", "found", "advice"), WRONG_ENTRIES.values(), ids=WRONG_ENTRIES)
def test_file_of_the_entry_is_not_to_be_made_anew(tmp_path: Path, content, found, advice):
    labels_sha256 = hashlib.sha256(gzip.decompress(LABELS)).hexdigest()
    images_sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError) as raised:
        run_parse(tmp_path, gzipped(content), LABELS, [images_sha256, labels_sha256])
    assert str(raised.value).startswith(f"{tmp_path / 'images.gz'} cannot be parsed: ")
    assert str(raised.value).endswith(f"{found} {advice}")


@pytest.mark.parametrize("content", [gzipped(FLOATS), LABELS[:-1], b"<html></html>"])
def test_altered_file_is_made_anew_by_the_next_run(tmp_path: Path, content: bytes):
    with pytest.raises(UserError) as raised:
        run_parse(tmp_path, content, LABELS, ["0" * 64] * 2)
    assert str(raised.value).endswith(" Run again to make it anew.")


def test_different_numbers_of_images_and_labels_are_refused():
    three = gzipped(payload(np.array([1, 2, 3], np.uint8)))
    sentence = parse_error(gzipped(payload(IMAGE)), three)
    assert "found 1 images in" in sentence
    assert "3 labels in" in sentence
    assert "labels.gz" in sentence


def test_error_leaves_earlier_arrays_unchanged(tmp_path: Path):
    run_parse(tmp_path, gzipped(payload(IMAGE)), LABELS)
    with pytest.raises(UserError):
        run_parse(tmp_path, b"damaged", LABELS)
    np.testing.assert_array_equal(np.load(tmp_path / "arrays" / "images.npy"), IMAGE)


# ---- Memory --------------------------------------------------------------------------------


def peak_memory(folder: Path, images: int) -> int:
    """Return the peak memory of parse.py for images of 1000 x 1000 zeros."""
    folder.mkdir()
    with gzip.open(folder / "images.gz", "wb", 1) as stream:
        stream.write(idx.header((images, 1000, 1000)))
        for _ in range(images):
            stream.write(bytes(1000 * 1000))
    idx.write(folder / "labels.gz", np.zeros(images, np.uint8))
    command = [sys.executable, TOP / "workflow/scripts/parse.py"]
    command += ["--images", "images.gz", "--labels", "labels.gz"]
    command += ["--images-out", "images.npy", "--labels-out", "labels.npy"]
    # A child inherits the peak of its parent, so start parse.py from a small process.
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    small_parent = [sys.executable, "-c", code, *command]
    return int(subprocess.run(small_parent, cwd=folder, check=True, capture_output=True).stdout)


def test_memory_does_not_grow_with_the_file(tmp_path: Path):
    small = peak_memory(tmp_path / "small", 2)
    assert peak_memory(tmp_path / "large", 200) < 1.1 * small
