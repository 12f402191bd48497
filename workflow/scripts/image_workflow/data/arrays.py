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


def load_arrays(folder: Path) -> dict[str, np.ndarray]:
    """Return the four arrays of a data set as memory maps, in the order of ``IDX_FILES``."""
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in IDX_FILES}
