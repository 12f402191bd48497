"""Find out what is at the path of a data set, and read it."""

import logging
from pathlib import Path

from image_workflow.conversion import FILE_KEYS
from image_workflow.conversion.numpy_files import read_npy, read_npz
from image_workflow.conversion.parts import Part, Source, numbered
from image_workflow.conversion.pictures import has_pictures, read_pictures
from image_workflow.conversion.tables import has_labels, read_table
from image_workflow.data import idx
from image_workflow.data.idx_names import find_idx_files
from image_workflow.errors import UserError
from image_workflow.paths import expanded, listed, visible_files

log = logging.getLogger(__name__)

TABLES = ".csv", ".csv.gz"
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
        roles = {"train-images": "images", "train-labels": "labels"}
        roles |= {"test-images": "test_images", "test-labels": "test_labels"}
        return {roles[name]: path for name, path in found.items()}
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
    test = None
    if "test_images" in paths:
        test = _read_part(paths["test_images"], paths.get("test_labels"), "test_labels")
    return Source(kind, _read_part(paths["images"], paths.get("labels"), "labels"), test)


def _read_part(images: Path, labels: Path | None, key: str) -> Part:
    kind = _kind(images)
    if kind == "CSV":
        return read_table(images)
    if labels is None:
        raise UserError(f"{images} has no labels. Name the file that has them as `{key}`.")
    if kind == "npy":
        return numbered(read_npy(images), read_npy(labels), str(images))
    return numbered(idx.read(images), idx.read(labels), str(images))


def _kind(path: Path) -> str:
    """Return the format of a file, by its name and otherwise by its first bytes."""
    name = path.name.lower()
    for suffixes, kind in {TABLES: "CSV", ".npz": "npz", ".npy": "npy"}.items():
        if name.endswith(suffixes):
            return kind
    with idx.opened(path) as file:
        if file.read(2) == b"\0\0":
            return "IDX"
    raise UserError(
        f"{path} is no file of images that can be read. Expected a folder of pictures, or a file "
        "of the format CSV, .npz, .npy or IDX."
    )
