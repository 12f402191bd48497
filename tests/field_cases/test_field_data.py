"""Field cases: the data set's files are not what they should be."""

import gzip
import hashlib
import struct
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import parse
import train
from image_workflow.data.arrays import IDX_FILES
from image_workflow.data.idx_names import find_idx_files
from image_workflow.errors import UserError
from samples import labelled_images

IMAGES, LABELS = labelled_images(12, 6, 4, classes=[0, 1, 2])


def idx_bytes(array: np.ndarray, code: int = 8) -> bytes:
    """Return an IDX file with the elements of the array, big-endian as IDX has them."""
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.tobytes()


# ---- Training and test set are never compared ----------------------------------------------


@pytest.mark.parametrize(
    "images",
    [IMAGES.swapaxes(1, 2), IMAGES.reshape(12, 8, 3), IMAGES[:, 1:], IMAGES.repeat(2, axis=1)],
    ids=["turned", "as-many-pixels", "smaller", "larger"],
)
def test_field_case_test_images_of_another_size(tmp_path: Path, images: np.ndarray):
    """DIGITS 100"""
    for name, array in zip(IDX_FILES, (IMAGES, LABELS, images, LABELS), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(UserError) as refused:
        train.main(Namespace(data_folder=tmp_path, record=None))
    for name, array in {"train": IMAGES, "test": images}.items():
        size = " x ".join(map(str, array.shape[1:]))
        assert f"{size} in {tmp_path}/{name}-images.npy" in str(refused.value)


def test_field_case_labels_that_only_the_test_set_has(tmp_path: Path):
    """A further example: the two sets have different classes."""
    for name, array in zip(IDX_FILES, (IMAGES, LABELS, IMAGES, LABELS + 1), strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(UserError, match=r"labels that the training set does not have: 3 \(\d+ tim"):
        train.main(Namespace(data_folder=tmp_path, record=None))


# ---- Advice for damage is given for everything ---------------------------------------------


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (idx_bytes(LABELS.astype(">i4"), 0x0C), "IDX type 0c"),
        (idx_bytes(IMAGES.astype(">f4"), 0x0D), "IDX type 0d"),
        (idx_bytes(np.stack([IMAGES] * 3, axis=-1)), "4 dimensions"),
        (idx_bytes(IMAGES.reshape(12, -1)), "2 dimensions"),
        (idx_bytes(LABELS), "labels"),
    ],
    ids=["labels-of-4-bytes", "floats", "colour", "flat", "swapped"],
)
def test_field_case_another_element_type_or_layout(tmp_path: Path, content: bytes, found: str):
    """qmnist 1"""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content))
    sha256 = hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError) as refused:
        parse.parse_idx(path, tmp_path / "array.npy", 3, sha256)
    assert found in str(refused.value)
    assert "Delete it and run again" not in str(refused.value)


# ---- The bytes at hand are not looked at ---------------------------------------------------


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"", "an empty file"),
        (gzip.compress(gzip.compress(idx_bytes(IMAGES))), "a gzip file in a gzip file"),
        (b"PK\x03\x04" + bytes(30), "a zip archive"),
        (b'{"message": "API rate limit exceeded"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
    ],
    ids=["web-page", "empty", "gzip-in-gzip", "zip", "json", "git-lfs"],
)
def test_field_case_a_web_page_is_saved_as_gz(tmp_path: Path, content: bytes, found: str):
    """nn_robust_attacks 51; further examples: other files that servers and programs leave."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match=found):
        parse.parse_idx(path, tmp_path / "array.npy", 3)


# ---- One spelling of names -----------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "{part}-{kind}.idx{n}-ubyte",
        "{part}-{kind}-idx{n}-ubyte/{part}-{kind}-idx{n}-ubyte",
        "gzip/emnist-letters-{part}-{kind}-idx{n}-ubyte.gz",
        "{part}_{kind}.idx",
        "{part}-{kind}-idx{n}-ubyte (1).gz",
    ],
    ids=["dots", "kaggle", "emnist", "underscores", "saved-again"],
)
def test_field_case_other_names_of_idx_files(tmp_path: Path, name: str):
    """python-mnist 19; further examples: underscores, and a file that a browser saved again."""
    names = {
        f"{part}-{kind}": name.format(part=part, kind=kind, n=n)
        for part in ("train", "test")
        for kind, n in (("images", 3), ("labels", 1))
    }
    for found in names.values():
        path = tmp_path / found
        path.parent.mkdir(parents=True, exist_ok=True)
        content = idx_bytes(IMAGES if "images" in found else LABELS)
        path.write_bytes(gzip.compress(content) if found.endswith(".gz") else content)
    found = find_idx_files(tmp_path)
    assert sorted(map(str, found.values())) == sorted(
        str(tmp_path / each) for each in names.values()
    )
