"""The four arrays of a data set, as results/arrays/ has them."""

from pathlib import Path

import numpy as np

from image_workflow.errors import UserError

#: The arrays of a data set, and the IDX file that each is parsed from.
IDX_FILES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "test-images": "t10k-images-idx3-ubyte",
    "test-labels": "t10k-labels-idx1-ubyte",
}

ONE_DATA_SET = "Correct the data set's entry, so that its four files are of one data set."


def find_array(folder: Path, name: str) -> np.ndarray:
    """Return an array as a memory map, from ``{name}.npy`` anywhere below a folder.

    Raises
    ------
    UserError
        If there is no such file.
    """
    path = next(folder.rglob(f"{name}.npy"), None)
    if path is None:
        raise UserError(f"expected {name}.npy in the data folder {folder}, found none.")
    return np.load(path, mmap_mode="r")


def check_sets(folder: Path) -> None:
    """Raise UserError unless the training set can train a model, and the test set measure it.

    Parameters
    ----------
    folder : pathlib.Path
        Has the four arrays of a data set.
    """
    arrays = load_arrays(folder)
    train, test = (arrays[f"{part}-images"].shape[1:] for part in ("train", "test"))
    if train != test:
        turned = "The test images seem to be turned. " if train == test[::-1] else ""
        raise UserError(
            f"expected training and test images of one size, found {train[0]} x {train[1]} in "
            f"{folder}/train-images.npy and {test[0]} x {test[1]} in {folder}/test-images.npy. "
            f"{turned}{ONE_DATA_SET}"
        )
    learned, tested = (counted_labels(arrays[f"{part}-labels"]) for part in ("train", "test"))
    if len(learned) < 2:
        raise UserError(
            f"expected at least two classes in the training set, found only the label "
            f"{next(iter(learned))} in {folder}/train-labels.npy. {ONE_DATA_SET}"
        )
    if unknown := tested.keys() - learned.keys():
        listed = ", ".join(f"{label} ({tested[label]:,} times)" for label in sorted(unknown))
        raise UserError(
            f"the test set has labels that the training set does not have: {listed}, in "
            f"{folder}/test-labels.npy. A model can only learn classes that it is shown. "
            f"{ONE_DATA_SET}"
        )


def counted_labels(labels: np.ndarray) -> dict[int, int]:
    """Return the number of images of each label."""
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set as memory maps, in the order of ``IDX_FILES``."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in IDX_FILES}


def check_arrays(found: dict[str, str], expected: dict[str, str], folder: Path, where: str) -> None:
    """Raise UserError unless the arrays have the content of the expected IDX files.

    Parameters
    ----------
    found : dict of str
        The checksums of the arrays as uncompressed IDX files, by the name of the IDX file.
    expected : dict of str
        The expected checksums, by the name of the IDX file.
    folder : pathlib.Path
        Where the arrays were read from.
    where : str
        What has the expected checksums.
    """
    for name, file in IDX_FILES.items():
        if found[file] != expected[file]:
            raise UserError(
                f"{folder / name}.npy is not the array that {where} describes: expected sha256 "
                f"{expected[file]} of its IDX payload, found {found[file]}. Run again to "
                "repeat parse."
            )
