"""Test the names of IDX files: data/idx_names.py."""

import gzip
from pathlib import Path

import numpy as np
import pytest

import download
from checkout import TOP
from image_workflow.configuration import checked, load
from image_workflow.conversion.converting import convert
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from image_workflow.data.idx_names import find_idx_files
from image_workflow.errors import UserError
from samples import labelled_images

# The names of the files, as the data sets are published.
LAYOUTS = {
    "MNIST": [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ],
    "unpacked by another program": [
        "train-images.idx3-ubyte",
        "train-labels.idx1-ubyte",
        "t10k-images.idx3-ubyte",
        "t10k-labels.idx1-ubyte",
    ],
    "Kaggle's folders": [
        "train-images-idx3-ubyte/train-images-idx3-ubyte",
        "train-labels-idx1-ubyte/train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte/t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte",
    ],
    "EMNIST": [
        "gzip/emnist-letters-train-images-idx3-ubyte.gz",
        "gzip/emnist-letters-train-labels-idx1-ubyte.gz",
        "gzip/emnist-letters-test-images-idx3-ubyte.gz",
        "gzip/emnist-letters-test-labels-idx1-ubyte.gz",
    ],
    "QMNIST": [
        "qmnist-train-images-idx3-ubyte.gz",
        "qmnist-train-labels-idx2-int.gz",
        "qmnist-test-images-idx3-ubyte.gz",
        "qmnist-test-labels-idx2-int.gz",
    ],
    "capitals and underscores": [
        "Train_Images.idx",
        "Train_Labels.idx",
        "Test_Images.IDX3",
        "Test_Labels.IDX1.GZ",
    ],
    "saved again by a browser": [
        "train-images-idx3-ubyte (1).gz",
        "train-labels-idx1-ubyte(2).gz",
        "t10k-images-idx3-ubyte (1)",
        "t10k-labels-idx1-ubyte (12).gz",
    ],
    "without idx": ["train-images.gz", "train-labels.gz", "mnist-test-images", "mnist-test-labels"],
}
KEYS = "train-images", "train-labels", "test-images", "test-labels"


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS)
def test_files_are_found_under_the_usual_names(tmp_path: Path, names: list[str]):
    write(tmp_path, dict.fromkeys(names, b""))
    others = ["readme.txt", "emnist-letters-mapping.txt", "train.csv", "train-images.npy"]
    others += ["train-images-idx3-ubyte.gz.part", "train-images-idx3-ubyte.md5", "train-images.zip"]
    write(tmp_path, dict.fromkeys(others, b""))
    found = find_idx_files(tmp_path)
    assert found == dict(zip(KEYS, (tmp_path / name for name in names), strict=True))


def test_only_files_that_are_there_are_returned(tmp_path: Path):
    assert find_idx_files(tmp_path) == {}
    assert find_idx_files(tmp_path / "missing") == {}
    write(tmp_path, {"x-train-labels-idx1-ubyte": b""})
    assert list(find_idx_files(tmp_path)) == ["train-labels"]


def test_hidden_files_are_skipped(tmp_path: Path):
    name = "train-labels-idx1-ubyte"
    write(tmp_path, {f"._{name}": b"a", f".git/{name}": b"b", f"__MACOSX/._{name}": b"c"})
    assert find_idx_files(tmp_path) == {}


def test_same_content_twice_is_one_file(tmp_path: Path):
    content = idx.header((2,)) + b"12"
    name = "train-labels-idx1-ubyte"
    files = {f"{name}.gz": gzip.compress(content), "train-labels.idx1-ubyte": content}
    write(tmp_path, {**files, f"{name}/{name}": content})
    assert find_idx_files(tmp_path)["train-labels"].is_file()


def test_two_files_for_the_same_part_are_refused(tmp_path: Path):
    splits = [f"emnist-{split}-test-labels-idx1-ubyte.gz" for split in ("digits", "letters")]
    write(tmp_path, {name: name.encode() for name in splits})
    with pytest.raises(UserError) as raised:
        find_idx_files(tmp_path)
    assert str(raised.value) == (
        f"expected one file of test-labels in {tmp_path}, found two with different content, "
        f"{splits[0]} and {splits[1]}. Leave only the files of one data set in the folder."
    )


def test_damaged_files_are_compared_as_they_are(tmp_path: Path):
    damaged = gzip.compress(b"content")[:-4]
    write(tmp_path, {"a-test-labels-idx1.gz": damaged, "b-test-labels-idx1.gz": damaged})
    assert find_idx_files(tmp_path)["test-labels"].name == "a-test-labels-idx1.gz"


@pytest.mark.parametrize("names", LAYOUTS.values(), ids=LAYOUTS)
def test_download_and_convert_find_them(tmp_path: Path, names: list[str]):
    train, test = (labelled_images(10, 3, 3, classes=[0, 1], seed=seed) for seed in (0, 1))
    arrays = dict(zip(IDX_FILES, (*train, *test), strict=True))
    contents = [idx.header(array.shape) + array.tobytes() for array in arrays.values()]
    files = zip(names, contents, strict=True)
    write(tmp_path / "in", {n: gzip.compress(c) if n[-2:].lower() == "gz" else c for n, c in files})
    checksums = {IDX_FILES[name]: idx.payload_sha256(array) for name, array in arrays.items()}
    for name in checksums:
        download.fetch(name, checksums, [{"folder": str(tmp_path / "in")}], tmp_path / "out.gz")
    schema = load(TOP / "workflow/schemas/own_images.schema.yaml")
    found, _ = convert(checked({"images": str(tmp_path / "in")}, schema, "config"), threads=1)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        (["archive.zip"], "archive.zip"),
        (["images/train.bin", "b.bin", "a.bin", "c.bin"], "a.bin, b.bin, c.bin, 1 more"),
        ([], "no files"),
    ],
)
def test_download_and_convert_say_what_is_there_instead(tmp_path: Path, names: list, listed: str):
    write(tmp_path, dict.fromkeys(names, b"\1"))
    schema = load(TOP / "workflow/schemas/own_images.schema.yaml")
    with pytest.raises(UserError, match=f"found {listed}\\. "):
        convert(checked({"images": str(tmp_path)}, schema, "config"), threads=1)
    checksums = dict.fromkeys(IDX_FILES.values(), "0" * 64)
    target = tmp_path.parent / "out.gz"
    with pytest.raises(UserError, match=f"which has {listed}\n"):
        download.fetch("t10k-images-idx3-ubyte", checksums, [{"folder": str(tmp_path)}], target)
