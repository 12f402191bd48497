"""Read images from NumPy's files: .npz as Keras and MedMNIST have it, and pairs of .npy."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from image_workflow.conversion.parts import Part, Source, joined, numbered
from image_workflow.errors import UserError
from image_workflow.models.memory import available_memory

#: The names of images and labels in an .npz file, for each part. Keras, MedMNIST, and others.
TRAIN = [("x_train", "y_train"), ("X_train", "y_train"), ("train_images", "train_labels")]
VALIDATION = [("x_val", "y_val"), ("X_val", "y_val"), ("val_images", "val_labels")]
TEST = [("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels")]
WHOLE = [("images", "labels"), ("x", "y"), ("X", "y"), ("data", "target"), ("data", "labels")]


def read_npz(path: Path) -> Source:
    """Read an .npz file. A validation part is joined to the training set.

    Raises
    ------
    UserError
        If the file is damaged, or has other names.
    """
    try:
        with np.load(path) as file:
            _check_size(file, path)
            names = set(file.files)
            pair = _pair(names, TRAIN) or _pair(names, WHOLE)
            if pair is None:
                raise UserError(
                    f"expected images and labels named {' and '.join(TRAIN[0])}, or "
                    f"{' and '.join(TRAIN[2])}, or {' and '.join(WHOLE[0])} in {path}, found "
                    f"{', '.join(sorted(names))}. Save the arrays under these names."
                )
            train = _part(file, pair, path)
            validation = _pair(names, VALIDATION)
            test = _pair(names, TEST)
            if validation and test:
                train = joined(train, _part(file, validation, path))
            test = test or validation
            return Source(
                format="npz",
                train=train,
                test=_part(file, test, path) if test else None,
                photographs=pair == TRAIN[2],
            )
    except (
        *(ValueError, EOFError, OSError, NotImplementedError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        raise _unreadable(path, error) from error


def _check_size(file: np.lib.npyio.NpzFile, path: Path) -> None:
    """Raise UserError if the arrays would not fit into the memory; a small file may hold them."""
    size, memory = sum(member.file_size for member in file.zip.infolist()), available_memory()
    if memory and size > memory:
        raise UserError(
            f"expected arrays that fit into the free memory of {memory / 1e9:,.1f} GB in {path}, "
            f"found {size / 1e9:,.1f} GB. Use a larger machine, or fewer images."
        )


def read_npy(path: Path) -> np.ndarray:
    """Read an .npy file.

    Raises
    ------
    UserError
        If the file is damaged, or has Python objects.
    """
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        raise _unreadable(path, error) from error


def _pair(names: set[str], pairs: list[tuple[str, str]]) -> tuple[str, str] | None:
    return next((pair for pair in pairs if names.issuperset(pair)), None)


def _part(file, pair: tuple[str, str], path: Path) -> Part:
    return numbered(file[pair[0]], file[pair[1]], f"{path}, {pair[0]}")


def _unreadable(path: Path, error: Exception) -> UserError:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return UserError(
            f"{path} contains Python objects, which are not loaded because they can run code. Save "
            "images as arrays of numbers, and labels as numbers or with `labels.astype(str)`."
        )
    return UserError(f"{path} cannot be read as a NumPy file: {error}.")
