"""Make small images for tests, and their IDX files."""

import gzip
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from image_workflow.data import idx

#: Without a time stamp, the names of tests with such content are the same in all processes.
gzipped = partial(gzip.compress, mtime=0)

# Up to 5 random images of up to 6 x 7 pixels.
IMAGES = arrays.arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7)))


def labelled_images(
    count: int, rows: int, columns: int, classes: list[int], seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images and their labels. The brightness of an image depends on its class.

    The first labels are all classes in their order, so that no class is missing.
    """
    random = np.random.default_rng(seed)
    numbers = np.concatenate([np.arange(len(classes)), random.integers(len(classes), size=count)])
    numbers = numbers[:count]
    noise = random.integers(0, 120, (count, rows, columns))
    brightness = 120 * numbers // max(len(classes) - 1, 1)
    images = noise + brightness[:, np.newaxis, np.newaxis]
    return images.astype(np.uint8), np.array(classes, np.uint8)[numbers]


def write_data_set(folder: Path, train: tuple, test: tuple) -> dict[str, str]:
    """Write a data set's four gzipped IDX files; return the sha256 of each payload by name."""
    folder.mkdir(parents=True)
    files = {}
    for part, pair in (("train", train), ("t10k", test)):
        for kind, array in zip(("images-idx3", "labels-idx1"), pair, strict=True):
            name = f"{part}-{kind}-ubyte"
            idx.write(folder / f"{name}.gz", array)
            files[name] = idx.payload_sha256(array)
    return files


SETS = {
    "two classes": labelled_images(60, 5, 4, classes=[4, 9]),
    "three classes": labelled_images(90, 5, 4, classes=[0, 7, 255]),
    "ten classes": labelled_images(300, 8, 8, classes=list(range(10))),
}
