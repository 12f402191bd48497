"""Read pictures that have no classes yet, for a model to classify them."""

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from image_workflow.conversion.numpy_files import read_npy
from image_workflow.conversion.pictures import SUFFIXES, read_all
from image_workflow.conversion.pixels import FORMATS
from image_workflow.errors import UserError
from image_workflow.inference.classifier import ImageClassifier
from image_workflow.inference.model_input import InputError
from image_workflow.inference.preparation import prepared
from image_workflow.paths import SPECIAL, shown_name, visible_files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unlabelled:
    """Images as the model takes them.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
    names : list of str, length n
        The file of each image. An image of an array has its number in brackets.
    """

    images: np.ndarray
    names: list[str]


def read_unlabelled(
    paths: list[str], classifier: ImageClassifier, skip: bool, threads: int
) -> Unlabelled:
    """Read pictures, folders of pictures and NumPy arrays.

    Parameters
    ----------
    paths : list of str
        Pictures of any kind; folders, whose subfolders count too; and .npy files with images of
        bytes, which have the model's size and are taken as they are.
    classifier : ImageClassifier
    skip : bool
        Whether to leave out files that cannot be read, instead of stopping.
    threads : int
        How many pictures to read at once. The result does not depend on it.

    Raises
    ------
    UserError
        If a file cannot be read, or has no digit; the message names all such files.
    """
    files, odd = _found(paths)
    arrays, pictures = {}, {}
    for name, path in files.items():
        if path.suffix.lower() != ".npy":
            pictures[name] = path
            continue
        try:
            arrays[name] = _array(path, classifier)
        except (UserError, InputError) as error:
            odd[name] = str(error).rstrip(".")
        except OSError as error:
            odd[name] = error.strerror or str(error)

    def read(path: Path) -> np.ndarray:
        with Image.open(path, formats=FORMATS) as picture:
            return prepared(picture, classifier.input)[np.newaxis]

    with ThreadPoolExecutor(max(threads, 1)) as pool, warnings.catch_warnings():
        # Such as: a large photograph may be an attack. Pillow refuses 179 million pixels and more.
        warnings.filterwarnings("ignore", module="PIL")
        arrays |= read_all(pool, read, pictures, odd)
    if odd and not (skip and arrays):
        raise _unreadable(odd)
    for name, reason in sorted(odd.items()):
        log.info("left out %s: %s", name, reason)
    read_files = [name for name in files if name in arrays]
    names = [
        name if name in pictures else f"{name}[{number}]"
        for name in read_files
        for number in range(len(arrays[name]))
    ]
    return Unlabelled(np.concatenate([arrays[name] for name in read_files]), names)


def _found(paths: list[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Return the files by name, and the reason for each one in a folder that is no picture."""
    files, odd = {}, {}
    for path in map(Path, paths):
        if not path.is_dir():
            # To open a named pipe would wait for a writer.
            if path.exists() and not path.is_file():
                odd[shown_name(str(path))] = SPECIAL
            else:
                files[shown_name(str(path))] = path
            continue
        inside = visible_files(path)
        if not inside:
            odd[shown_name(str(path))] = "the folder has no files"
        for file in inside:
            name = shown_name(str(file))
            if file.suffix.lower() in {*SUFFIXES, ".npy"}:
                files[name] = file
            else:
                odd[name] = f"its name does not end in {', '.join(sorted(SUFFIXES))} or .npy"
    return files, odd


def _array(path: Path, classifier: ImageClassifier) -> np.ndarray:
    """Return the images of an array, or raise InputError if the model does not take them."""
    images = read_npy(path)
    if not isinstance(images, np.ndarray):
        raise InputError("it is an archive of several arrays")
    size = classifier.input.rows, classifier.input.columns
    return classifier.checked(images).reshape(-1, *size)


def _unreadable(odd: dict[str, str]) -> UserError:
    files = "".join(f"\n  {name}: {reason}" for name, reason in sorted(odd.items()))
    return UserError(
        f"expected only pictures, found {len(odd)} other file(s):{files}\nRepair or remove them, "
        "or leave them out with the option --skip-unreadable of predict.py."
    )
