"""Make a training set of shifted copies of another set's images, as gzipped IDX files.

Prints the sha256 of each file's uncompressed content, and its name.
"""

import argparse
import gzip
import hashlib
import itertools
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from image_workflow.data import idx

# Up to six pixels in each direction, the smallest shifts first. The first copy is not shifted.
PIXELS = range(-6, 7)
SHIFTS = sorted(
    ((down, right) for down in PIXELS for right in PIXELS), key=lambda shift: np.hypot(*shift)
)


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images (n, rows, columns) shifted by some pixels, with zeros at the free edges."""
    moved = np.roll(images, (down, right), axis=(1, 2))
    moved[:, slice(0, down) if down >= 0 else slice(down, None)] = 0
    moved[:, :, slice(0, right) if right >= 0 else slice(right, None)] = 0
    return moved


def read(path: Path, dimensions: int) -> np.ndarray:
    """Return the array of a gzipped IDX file."""
    with gzip.open(path) as stream:
        shape = idx.read_header(stream, dimensions)
        return np.frombuffer(stream.read(), np.uint8).reshape(shape)


def write(path: Path, shape: tuple[int, ...], copies: Iterable[np.ndarray]) -> None:
    """Write copies of an array one after the other as gzipped IDX, and print its sha256."""
    digest = hashlib.sha256()
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for part in itertools.chain([idx.header(shape)], copies):
            stream.write(part)
            digest.update(part)
    print(digest.hexdigest(), path)


def main(options: argparse.Namespace) -> None:
    images, labels = read(options.images, 3), read(options.labels, 1)
    count, shifts = options.times * len(images), SHIFTS[: options.times]
    copies = (shifted(images, *shift).data for shift in shifts)
    write(options.images_out, (count, *images.shape[1:]), copies)
    write(options.labels_out, (count,), (labels.data for _ in shifts))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="shifted.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="gzipped IDX images")
    parser.add_argument("--labels", type=Path, required=True, help="gzipped IDX labels")
    parser.add_argument(
        "--times", type=int, required=True, help=f"the number of copies, up to {len(SHIFTS)}"
    )
    parser.add_argument("--images-out", type=Path, required=True)
    parser.add_argument("--labels-out", type=Path, required=True)
    main(parser.parse_args())
