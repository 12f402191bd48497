"""Each file that is refused is told from its bytes, with advice that fits, whatever reads it.

The same table of files is given to download, parse and convert.
"""

import bz2
import gzip
import hashlib
import io
import lzma
import pickle
import struct
import tarfile
import tracemalloc
import zipfile
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

import convert
import download
import parse
from checkout import TOP
from image_workflow.configuration import checked, load
from image_workflow.conversion.converting import convert as converted
from image_workflow.data import idx
from image_workflow.data.kinds import (
    AGAIN,
    OWN_IMAGES,
    PICTURE,
    SAVE,
    SERVER,
    SWAP_BYTES,
    TABLE,
    UNPACK,
)
from image_workflow.errors import UserError
from image_workflow.models import memory
from samples import gzipped, labelled_images

IMAGES, LABELS = labelled_images(20, 6, 6, classes=[0, 3, 9])
TEST_IMAGES, TEST_LABELS = labelled_images(10, 6, 6, classes=[0, 3, 9], seed=1)
SCHEMA = load(TOP / "workflow/schemas/own_images.schema.yaml")


def idx_bytes(array: np.ndarray, code: int = 8, dtype: str = ">u1", order: str = ">") -> bytes:
    """Return IDX data; ``order`` is the byte order of the header's sizes."""
    sizes = struct.pack(f"{order}{array.ndim}I", *array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(dtype).tobytes()


def written(save, *arguments, **options) -> bytes:
    """Return what a function writes into the file that it is given first."""
    file = io.BytesIO()
    save(file, *arguments, **options)
    return file.getvalue()


def zipped(file: io.BytesIO) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("train-images-idx3-ubyte", idx_bytes(IMAGES))


def tarred(file: io.BytesIO) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("train-images-idx3-ubyte"))


def picture(kind: str) -> bytes:
    return written(lambda file: Image.new("L", (6, 6)).save(file, kind))


HTML = b"\n<!-- (c) --><!DOCTYPE html><html><title>Sign in</title></html>"
WHOLE = gzipped(idx_bytes(IMAGES))
AZURE = (
    b"\xef\xbb\xbf<?xml version='1.0' encoding='utf-8'?><Error><Code>BlobNotFound</Code></Error>"
)
#: For each file: its bytes, what it is, and what to do.
FILES = {
    "html": (HTML, "an HTML page", SERVER),
    "gzipped html": (gzipped(HTML), "an HTML page", SERVER),
    "empty": (b"", "an empty file", AGAIN),
    "gzipped nothing": (gzipped(b""), "an empty file", AGAIN),
    "gzip in gzip": (gzipped(WHOLE), "a gzip file in a gzip file", "Unpack it once, with gunzip."),
    "truncated gzip": (WHOLE[:-20], "its gzip stream has no end", AGAIN),
    "damaged gzip": (WHOLE[:40] + b"damage" + WHOLE[46:], "its gzip stream is damaged", AGAIN),
    "zeros": (bytes(4096), "a file that begins with zero bytes", AGAIN),
    "zip": (written(zipped), "a zip archive", UNPACK),
    "tar": (written(tarred), "a tar archive", UNPACK),
    "tar.gz": (gzipped(written(tarred)), "a tar archive", UNPACK),
    "bz2": (bz2.compress(idx_bytes(IMAGES)), "a bzip2 file", UNPACK),
    "xz": (lzma.compress(idx_bytes(IMAGES)), "an xz file", UNPACK),
    "zstd": (bytes.fromhex("28b52ffd2000"), "a zstd file", UNPACK),
    "7z": (bytes.fromhex("377abcaf271c0004"), "a 7z archive", UNPACK),
    "rar": (b"Rar!\x1a\x07\x01\0", "a RAR archive", UNPACK),
    "png": (picture("PNG"), "a PNG picture", PICTURE),
    "jpeg": (picture("JPEG"), "a JPEG picture", PICTURE),
    "mat": (written(scipy.io.savemat, {"x": IMAGES}), "a MATLAB file (.mat)", SAVE),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "an HDF5 file", SAVE),
    "parquet": (b"PAR1\x15\x04", "a Parquet file", SAVE),
    "pickle": (pickle.dumps(IMAGES), "a Python pickle", SAVE),
    "git lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "a pointer of Git LFS",
        "Fetch the file itself with `git lfs pull`.",
    ),
    "json": (b'{"error": "rate limit"}', "JSON", SERVER),
    "xml": (b"<?xml version='1.0'?><list/>", "an XML document", SERVER),
    "error of S3": (
        b"<Error><Code>NoSuchKey</Code></Error>",
        "an error message of a server (NoSuchKey)",
        SERVER,
    ),
    "error of Azure": (AZURE, "an error message of a server (BlobNotFound)", SERVER),
    "csv": (b"label,pixel0\n1,2\n", "a text that begins with 'label,pixel0'", TABLE),
    "utf-16": ("label,pixel0\n".encode("utf-16"), "a text in UTF-16", "Save it in UTF-8."),
    "little-endian": (
        struct.pack("<4I", 0x0803, *IMAGES.shape) + IMAGES.tobytes(),
        "an IDX file in little-endian byte order",
        SWAP_BYTES,
    ),
    "other bytes": (b"\x01\x02\x03\x04", "a file that begins with the bytes 01 02 03 04", ""),
}
#: Whole files that convert reads, and the others do not.
OTHER_KINDS = {
    "npy": (written(np.save, IMAGES), "a NumPy array (.npy)"),
    "npz": (written(np.savez, images=IMAGES, labels=LABELS), "a NumPy archive (.npz)"),
    "floats": (idx_bytes(IMAGES, 0x0D, ">f4"), "IDX data of 32-bit floats, 20 x 6 x 6"),
    "16-bit integers": (idx_bytes(IMAGES, 0x0B, ">i2"), "IDX data of 16-bit integers, 20 x 6 x 6"),
    "labels of 4 bytes": (idx_bytes(LABELS, 0x0C, ">i4"), "IDX data of 32-bit integers, 20"),
    "flat": (idx_bytes(IMAGES.reshape(20, 36)), "IDX data of unsigned bytes, 20 x 36"),
    "colour": (
        idx_bytes(np.repeat(IMAGES[..., np.newaxis], 3, 3)),
        "IDX data of unsigned bytes, 20 x 6 x 6 x 3",
    ),
}


def refusal(function, *arguments) -> str:
    """Return the message with which a function refuses its arguments."""
    with pytest.raises(UserError) as raised:
        function(*arguments)
    message = str(raised.value)
    assert message.endswith(".") and "  " not in message.replace("\n  ", "\n")
    assert "Run again" not in message
    return message


# ---- download ------------------------------------------------------------------------------

NAMES = {
    "train-images-idx3-ubyte": IMAGES,
    "train-labels-idx1-ubyte": LABELS,
    "t10k-images-idx3-ubyte": TEST_IMAGES,
    "t10k-labels-idx1-ubyte": TEST_LABELS,
}
CHECKSUMS = {name: idx.payload_sha256(array) for name, array in NAMES.items()}


def download_from(folder: Path, content: bytes, name: str = "train-images-idx3-ubyte") -> None:
    """Fetch a file of the data set from a folder that has this content under its name."""
    (folder / f"{name}.gz").write_bytes(content)
    download.fetch(name, CHECKSUMS, [{"folder": str(folder)}], folder / "target.gz")


@pytest.mark.parametrize(("content", "kind", "remedy"), FILES.values(), ids=FILES)
def test_download_tells_what_a_source_has(tmp_path: Path, content, kind: str, remedy: str):
    message = refusal(download_from, tmp_path, content)
    assert kind in message
    assert message.endswith(f"\n{remedy or download.REPLACE}")


@pytest.mark.parametrize(("content", "kind"), OTHER_KINDS.values(), ids=OTHER_KINDS)
@pytest.mark.parametrize("compress", [bytes, gzipped], ids=["raw", "gzipped"])
def test_download_tells_of_what_kind_the_data_is(tmp_path: Path, content, kind: str, compress):
    message = refusal(download_from, tmp_path, compress(content))
    assert f"found {kind}, with sha256 " in message
    assert message.endswith(f"\n{OWN_IMAGES}")


@pytest.mark.parametrize("other", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_download_tells_which_files_are_swapped(tmp_path: Path, other: str):
    message = refusal(download_from, tmp_path, gzipped(idx_bytes(NAMES[other])))
    assert f"found the data set's {other}\n" in message
    assert message.endswith(f"\nGive each file its own name: this is {other}.")


def test_a_raw_file_under_the_name_of_a_gzipped_one_is_accepted(tmp_path: Path):
    download_from(tmp_path, idx_bytes(IMAGES))
    assert gzip.decompress((tmp_path / "target.gz").read_bytes()) == idx_bytes(IMAGES)
    parse.parse_idx(tmp_path / "train-images-idx3-ubyte.gz", tmp_path / "a.npy", 3)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), IMAGES)


# ---- parse ---------------------------------------------------------------------------------


def parse_file(folder: Path, content: bytes, dimensions: int, sha256: str | None) -> None:
    (folder / "file.gz").write_bytes(content)
    parse.parse_idx(folder / "file.gz", folder / "array.npy", dimensions, sha256)


@pytest.mark.parametrize(("content", "kind", "remedy"), FILES.values(), ids=FILES)
def test_parse_tells_what_a_file_is(tmp_path: Path, content, kind: str, remedy: str):
    message = refusal(parse_file, tmp_path, content, 3, None)
    assert message.startswith(f"{tmp_path / 'file.gz'} cannot be parsed: ")
    assert kind in message
    assert message.endswith(remedy)


@pytest.mark.parametrize(("content", "kind"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_parse_sends_other_kinds_to_convert(tmp_path: Path, content: bytes, kind: str):
    sha256 = hashlib.sha256(content).hexdigest()
    assert refusal(parse_file, tmp_path, gzipped(content), 3, None).endswith(OWN_IMAGES)
    if kind.startswith("IDX"):
        # The data set's entry itself has the checksum of this file.
        assert refusal(parse_file, tmp_path, gzipped(content), 3, sha256).endswith(OWN_IMAGES)


def test_parse_tells_that_the_files_are_swapped(tmp_path: Path):
    message = refusal(parse_file, tmp_path, gzipped(idx_bytes(LABELS)), 3, None)
    assert "expected grey images (3 dimensions: count, rows, columns), found labels" in message
    assert message.endswith("The files of images and labels may be swapped.")


@pytest.mark.parametrize("compress", [bytes, gzipped], ids=["raw", "gzipped"])
def test_sizes_in_little_endian_byte_order_are_told(tmp_path: Path, compress):
    content = compress(idx_bytes(IMAGES, order="<"))
    for function in (parse_file, read_file):
        message = refusal(function, tmp_path, content, 3, None)
        assert "335544320 x 100663296 x 100663296 should be 20 x 6 x 6." in message
        assert message.endswith(SWAP_BYTES)


# ---- convert -------------------------------------------------------------------------------


def read_file(folder: Path, content: bytes, *_) -> None:
    """Convert images from a file with this content, and good labels."""
    (folder / "labels").write_bytes(idx_bytes(LABELS))
    (folder / "images").write_bytes(content)
    convert_entry(folder / "images", labels=str(folder / "labels"))


def convert_entry(images: Path, **entry):
    return converted(checked({"images": str(images)} | entry, SCHEMA, "config"), 1)


def write_set(folder: Path, contents: dict[str, bytes]) -> dict[str, str]:
    """Write the files of an entry, and return it without ``images``."""
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents if name != "images"}


@pytest.mark.parametrize(("content", "kind", "remedy"), FILES.values(), ids=FILES)
@pytest.mark.parametrize("key", ["images", "labels"])
def test_convert_tells_what_a_file_is(tmp_path: Path, content, kind: str, remedy: str, key: str):
    contents = {"images": idx_bytes(IMAGES), "labels": idx_bytes(LABELS)} | {key: content}
    entry = write_set(tmp_path, contents)
    message = refusal(lambda: convert_entry(tmp_path / "images", **entry))
    assert f"{tmp_path / key} " in message
    assert kind in message
    assert message.endswith(remedy)


#: Without those whose readable beginning is that of an IDX file, and those that may be tables.
BROKEN = "truncated gzip", "damaged gzip"
TABLES = {name: row for name, row in FILES.items() if name not in ("csv", "other bytes", *BROKEN)}


@pytest.mark.parametrize(("content", "kind", "remedy"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
def test_convert_tells_what_a_table_is(tmp_path: Path, content, kind: str, remedy: str, name: str):
    (tmp_path / name).write_bytes(content)
    for place in (tmp_path / name, tmp_path):
        message = refusal(convert_entry, place)
        assert name in message
        assert kind in message
        assert message.endswith(remedy)


PICTURES = [name for name in FILES if name not in ("png", "jpeg", "other bytes", *BROKEN)]


def test_convert_tells_what_a_picture_is(tmp_path: Path):
    (tmp_path / "class").mkdir()
    for name in PICTURES:
        (tmp_path / "class" / f"{name}.png").write_bytes(FILES[name][0])
    lines = refusal(convert_entry, tmp_path).splitlines()
    assert len(lines) == len(PICTURES) + 2
    for line in lines[1:-1]:
        name, _, reason = line.strip().removeprefix("class/").partition(".png: ")
        assert FILES[name][1] in reason


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz"])
@pytest.mark.parametrize("compress", [bytes, gzipped], ids=["raw", "gzipped"])
def test_a_table_may_be_gzipped_under_any_name(tmp_path: Path, name: str, compress):
    rows = ["label,a,b,c,d", *(f"{label},1,2,3,{label}" for label in (0, 0, 1, 1))]
    (tmp_path / name).write_bytes(compress("\n".join(rows).encode()))
    assert convert_entry(tmp_path / name)[0]["train-images"].shape == (2, 2, 2)


def test_swapped_images_and_labels_are_named(tmp_path: Path):
    entry = write_set(tmp_path, {"images": idx_bytes(LABELS), "labels": idx_bytes(IMAGES)})
    message = refusal(lambda: convert_entry(tmp_path / "images", **entry))
    assert message == (
        f"expected images in {tmp_path / 'images'} and labels in {tmp_path / 'labels'}, found 20 "
        "labels and an array of the shape (20, 6, 6). The files are swapped: exchange them."
    )


def test_swapped_labels_of_both_sets_are_named(tmp_path: Path):
    contents = {"images": IMAGES, "labels": TEST_LABELS}
    contents |= {"test_images": TEST_IMAGES, "test_labels": LABELS}
    entry = write_set(tmp_path, {name: idx_bytes(array) for name, array in contents.items()})
    message = refusal(lambda: convert_entry(tmp_path / "images", **entry))
    assert f"found 20 images in {tmp_path / 'images'} and 10 labels in" in message
    assert message.endswith("The labels of both sets are swapped: exchange the files.")


@pytest.mark.parametrize("code", [(0x0B, "i2"), (0x0C, "i4")])
@pytest.mark.parametrize("key", ["images", "labels"])
def test_elements_in_little_endian_byte_order_are_told(tmp_path: Path, key: str, code: tuple):
    arrays = {"images": IMAGES, "labels": LABELS}
    for order in "><":
        contents = {name: idx_bytes(array) for name, array in arrays.items()}
        contents[key] = idx_bytes(arrays[key], code[0], order + code[1])
        entry = write_set(tmp_path, contents)
        if order == ">":
            convert_entry(tmp_path / "images", **entry)
    message = refusal(lambda: convert_entry(tmp_path / "images", **entry))
    assert message.startswith(f"the elements of {tmp_path / key} are in little-endian byte order.")


@pytest.mark.parametrize("missing", range(4))
def test_a_missing_idx_file_of_a_folder_is_named(tmp_path: Path, missing: int):
    names = [name for number, name in enumerate(NAMES) if number != missing]
    for name in names:
        (tmp_path / name).write_bytes(idx_bytes(NAMES[name]))
    message = refusal(convert_entry, tmp_path)
    absent = ["train-images", "train-labels", "test-images", "test-labels"][missing]
    assert f"found none of {absent}, but {', '.join(sorted(names))}. Add what is" in message


# ---- Memory --------------------------------------------------------------------------------

#: A gzip stream of 10 GB of zeros in 10 MB.
BOMB = gzip.compress(bytes(50_000_000), mtime=0) * 200
LARGE = {
    "a bomb after a small array": gzipped(idx.header((3,)) + b"123") + BOMB,
    "a bomb after no header": BOMB,
    "a promise of 4 GB": idx.header((2**32 - 1,)) + b"123",
    "a gzipped promise of 4 GB": gzipped(idx.header((2**32 - 1,)) + b"123"),
}


@pytest.mark.parametrize("content", LARGE.values(), ids=LARGE)
def test_memory_is_bounded_by_header_and_content(tmp_path: Path, content: bytes):
    (tmp_path / "file").write_bytes(content)
    tracemalloc.start()
    try:
        refusal(idx.read, tmp_path / "file")
        refusal(parse.parse_idx, tmp_path / "file", tmp_path / "array.npy", 1)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_images_that_need_more_memory_than_there_is_are_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000_000)
    zeros = gzipped(idx.header((500, 1000, 1000))) + gzip.compress(bytes(50_000_000)) * 10
    entry = write_set(tmp_path, {"images": zeros, "labels": idx_bytes(LABELS)})
    options = Namespace(
        entry=f'{{"images": "{tmp_path}/images", "labels": "{entry["labels"]}", '
        '"transposed": false, "fit": "pad"}',
        threads=1,
        output_folder=tmp_path / "raw",
        conversion=tmp_path / "conversion.json",
        record=None,
    )
    message = refusal(convert.main, options)
    assert "need more memory than this machine has available. Use a machine with" in message
    assert not (tmp_path / "raw").exists()
