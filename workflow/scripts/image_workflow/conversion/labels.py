"""Turn labels of any kind into unsigned bytes with class names."""

import unicodedata
from collections import Counter

import numpy as np

from image_workflow.errors import UserError
from image_workflow.paths import UNFIT

MOST = 256  # classes; a label is a byte
LONGEST = 255  # characters of a class's name


def checked_labels(labels: np.ndarray, n_images: int, where: str) -> np.ndarray:
    """Return the labels as integers or texts of the shape (n,).

    Parameters
    ----------
    labels : ndarray, shape (n,) or (n, 1)
        Whole numbers or texts.
    n_images : int
    where : str
        The file, for messages.

    Raises
    ------
    UserError
        If there is not one label for each image, or if labels are something else.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(
            f"expected one label for each image in {where}, found labels of the shape "
            f"{labels.shape}. Images with several labels are not supported."
        )
    if len(labels) != n_images:
        raise UserError(
            f"expected a label for each image in {where}, found {n_images} images and "
            f"{len(labels)} labels. Take both from the same data set."
        )
    if labels.dtype.kind == "S":
        labels = labels.astype(str)
    if labels.dtype.kind in "OUT":
        names = np.array([unicodedata.normalize("NFC", str(label)) for label in labels])
        for name in np.unique(names).tolist():
            if UNFIT.search(name) or len(name) > LONGEST:
                raise UserError(
                    f"expected names of classes of at most {LONGEST} characters on one line in "
                    f"{where}, found {name[:LONGEST]!a}. Rename the class."
                )
        return names
    if labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels)):
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "iub":
        raise UserError(
            f"expected labels as whole numbers or texts in {where}, found the element type "
            f"{labels.dtype} with values such as {labels[0]}."
        )
    return labels.astype(np.int64)


def named_classes(
    train: np.ndarray, test: np.ndarray | None = None, *, names: list | None, where: str
) -> dict[int, str]:
    """Return the name of each class, by its label.

    Parameters
    ----------
    train, test : ndarray of int or str, shape (n,)
        The labels of both sets, or of images that are still to be split. Texts are numbered in the
        order of the alphabet, or of ``names``.
    names : list or None
        The configured names, in the order of the labels.
    where : str
        The file or folder, for messages.

    Raises
    ------
    UserError
        If the labels are no classes, or if the names do not fit them.
    """
    found = np.unique(train).tolist()
    tested = Counter([] if test is None else test.tolist())
    if unknown := sorted(tested.keys() - set(found)):
        listed = ", ".join(f"{label} ({tested[label]:,} times)" for label in unknown)
        raise UserError(
            f"the test set of {where} has classes that the training set does not have: {listed}. A "
            "model can only learn classes that it is shown: add training images of these classes, "
            "or remove their test images."
        )
    if len(found) < 2:
        only = ", ".join(map(str, found)) or "none"
        raise UserError(
            f"expected images of at least two classes in {where}, found {only}. A folder of "
            "pictures needs a subfolder for each class."
        )
    if len(found) > MOST:
        raise UserError(f"expected at most {MOST} classes in {where}, found {len(found)}.")
    given = [unicodedata.normalize("NFC", str(name)) for name in names or found]
    if isinstance(found[0], str):
        if set(given) != set(found):
            raise UserError(
                f"the classes of {where} are {', '.join(found)}, but `classes` of the data set has "
                f"{', '.join(given)}. List the same names there, in the order that you want."
            )
        return dict(enumerate(given))
    if found[0] < 0 or found[-1] >= MOST:
        raise UserError(
            f"expected labels from 0 to {MOST - 1} in {where}, found {found[0]} to {found[-1]}. "
            "Number the classes from 0."
        )
    if len(given) != len(found):
        raise UserError(
            f"{where} has {len(found)} classes, with the labels {_short(found)}, but `classes` of "
            f"the data set has {len(given)} names. List one name for each label."
        )
    return dict(zip(found, given, strict=True))


def numbered_labels(labels: np.ndarray, names: dict[int, str]) -> np.ndarray:
    """Return the labels as unsigned bytes: whole numbers as they are, texts by their class."""
    if labels.dtype.kind != "U":
        return labels.astype(np.uint8)
    numbers = {name: label for label, name in names.items()}
    return np.array([numbers[label] for label in labels.tolist()], np.uint8)


def _short(labels: list[int]) -> str:
    text = list(map(str, labels))
    return ", ".join(text if len(text) < 12 else [*text[:5], "...", *text[-2:]])
