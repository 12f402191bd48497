"""Find out what is at the path of a data set, and read it."""

import logging
from pathlib import Path

import numpy as np

from image_workflow.conversion import FILE_KEYS
from image_workflow.conversion.numpy_files import read_npy, read_npz
from image_workflow.conversion.parts import Part, Source, numbered
from image_workflow.conversion.pictures import has_pictures, read_pictures
from image_workflow.conversion.tables import has_labels, read_table
from image_workflow.data import idx, kinds
from image_workflow.data.idx_names import find_idx_files
from image_workflow.errors import UserError
from image_workflow.paths import expanded, listed, visible_files

log = logging.getLogger(__name__)

TABLES = ".csv", ".csv.gz"
#: The key of an entry that names each IDX file.
IDX_ROLES = {
    "train-images": "images",
    "train-labels": "labels",
    "test-images": "test_images",
    "test-labels": "test_labels",
}
NUMPY_FORMATS = {kinds.NPY: "npy", kinds.NPZ: "npz"}
#: The keys that have no meaning for a format whose files have labels in them.
WITH_LABELS = {"CSV": ["labels", "test_labels"], "npz": ["labels", "test_images", "test_labels"]}


def read(entry: dict, threads: int) -> Source:
    """Read the images of an entry in config/my_datasets.yaml.

    Parameters
    ----------
    entry : dict
        See workflow/schemas/own_images.schema.yaml.
    threads : int
        How many pictures to read at once.

    Raises
    ------
    UserError
        If there are no images, or if they cannot be read.
    """
    paths = {key: expanded(entry[key]) for key in FILE_KEYS if key in entry}
    for key, path in paths.items():
        if not path.exists():
            raise UserError(f"`{key}` of the data set is {path}, which does not exist.")
        if key != "images" and path.is_dir():
            raise UserError(f"`{key}` of the data set is {path}, a folder. Name a file.")
    images = paths["images"]
    if not images.is_dir():
        return _read_files(paths)
    if len(paths) > 1:
        raise UserError(
            f"{images} is a folder; leave out `labels`, `test_images` and `test_labels`."
        )
    if has_pictures(images):
        size = entry.get("size")
        polarity = entry.get("polarity", "as_is")
        return read_pictures(
            images, size, entry["fit"], polarity, entry["skip_unreadable"], threads
        )
    return _read_files(_found_in(images))


def _found_in(folder: Path) -> dict[str, Path]:
    """Return the files with images and labels in a folder without pictures, by role."""
    if found := find_idx_files(folder):
        missing = [name for name in IDX_ROLES if name not in found]
        # A data set without a test set is split.
        if missing not in ([], ["test-images", "test-labels"]):
            raise UserError(
                f"expected IDX files of images and labels in {folder}, found none of "
                f"{' and '.join(missing)}, but {listed(folder)}. Add what is missing, or name the "
                "files in an entry of config/my_datasets.yaml, see docs/your-own-images.md."
            )
        return {IDX_ROLES[name]: path for name, path in found.items()}
    files = visible_files(folder)
    found = {}
    for path in (path for path in files if path.name.lower().endswith(TABLES)):
        role = "images" if "train" in path.name.lower() else "test_images"
        named = any(part in path.name.lower() for part in ("train", "test"))
        if role not in found and named and has_labels(path):
            found[role] = path
        else:
            log.info("left out %s: it is no labelled training or test set", path)
    archives = [path for path in files if path.suffix.lower() == ".npz"]
    if not found and len(archives) == 1:
        return {"images": archives[0]}
    if "images" not in found:
        raise UserError(
            f"expected a subfolder of pictures for each class, IDX files, train.csv or one .npz "
            f"file in {folder}, found {listed(folder)}. Other files are named in an entry of "
            "config/my_datasets.yaml, see docs/your-own-images.md."
        )
    return found


def _read_files(paths: dict[str, Path]) -> Source:
    kind = _kind(paths["images"])
    if kind in WITH_LABELS:
        unused = [key for key in WITH_LABELS[kind] if key in paths]
        if unused:
            raise UserError(
                f"{paths['images']} is a file of the format {kind}, which has the labels in it. "
                f"Leave out {' and '.join(f'`{key}`' for key in unused)} of the data set."
            )
    if "test_labels" in paths and "test_images" not in paths:
        raise UserError("the data set has `test_labels` without `test_images`. Name both, or none.")
    if kind == "npz":
        return read_npz(paths["images"])
    train, test = _read_part(paths["images"], paths.get("labels"), "labels"), None
    if "test_images" in paths:
        test = _read_part(paths["test_images"], paths.get("test_labels"), "test_labels")
        _check_not_crossed(train, test, paths)
    return Source(kind, train, test)


def _read_part(images: Path, labels: Path | None, key: str) -> Part:
    kind = _kind(images)
    if kind == "CSV":
        return read_table(images)
    if labels is None:
        raise UserError(f"{images} has no labels. Name the file that has them as `{key}`.")
    part = numbered(_read_array(images), _read_array(labels), str(images))
    if part.images.ndim == 1 < part.labels.ndim:
        raise UserError(
            f"expected images in {images} and labels in {labels}, found {len(part.images):,} "
            f"labels and an array of the shape {part.labels.shape}. The files are swapped: "
            "exchange them."
        )
    return part


def _read_array(path: Path) -> np.ndarray:
    kind = _kind(path)
    if kind == "npy":
        return read_npy(path)
    if kind != "IDX":
        raise UserError(
            f"expected an .npy or IDX file, found {path} of the format {kind}. Save its array as "
            ".npy."
        )
    array = idx.read(path)
    if array.dtype.kind == "i" and not _are_bytes(array) and _are_bytes(array.byteswap()):
        raise UserError(
            f"the elements of {path} are in little-endian byte order. {kinds.SWAP_BYTES}"
        )
    return array


def _are_bytes(array: np.ndarray) -> bool:
    return array.min() >= 0 and array.max() <= 255


def _check_not_crossed(train: Part, test: Part, paths: dict[str, Path]) -> None:
    """Raise UserError if the labels of each set are as many as the images of the other."""
    images, labels = len(train.images), len(train.labels)
    if images != labels and (images, labels) == (len(test.labels), len(test.images)):
        raise UserError(
            f"expected a label for each image, found {images:,} images in {paths['images']} and "
            f"{labels:,} labels in {paths['labels']}, and the reverse in the test set. The labels "
            "of both sets are swapped: exchange the files."
        )


def _kind(path: Path) -> str:
    """Return the format of a file, by its first bytes. A table is told by its name."""
    try:
        start = idx.beginning(path)
    except idx.IdxError as error:
        raise UserError(f"{path} cannot be read: {error} {error.remedy}") from None
    kind = idx.described(start)
    if kind in NUMPY_FORMATS:
        return NUMPY_FORMATS[kind]
    if start[:2] == b"\0\0" and kind != kinds.ZEROS:
        return "IDX"
    if path.name.lower().endswith(TABLES):
        return "CSV"
    text = (
        f"{path} is {kind.name}. Expected a folder of pictures, or a file of the format CSV, .npz, "
        f".npy or IDX. {kind.remedy}"
    )
    raise UserError(text.rstrip())
