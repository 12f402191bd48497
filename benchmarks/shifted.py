"""Make a training set of shifted copies of another's images, as gzipped IDX, copy by copy."""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from lib import idx

# Up to six pixels each way, the smallest shifts first, of which the first is none.
REACH = range(-6, 7)
SHIFTS = sorted(((down, right) for down in REACH for right in REACH), key=lambda at: np.hypot(*at))


def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return images (n, rows, cols) moved by some pixels; what comes in is 0."""
    moved = np.roll(images, (down, right), axis=(1, 2))
    moved[:, slice(0, down) if down >= 0 else slice(down, None)] = 0
    moved[:, :, slice(0, right) if right >= 0 else slice(right, None)] = 0
    return moved


def main(options: argparse.Namespace) -> None:
    with gzip.open(options.images) as stream:
        images = np.frombuffer(stream.read(), np.uint8, offset=16)
    with gzip.open(options.images) as stream:
        shape = idx.read_header(stream, dimensions=3)
    with gzip.open(options.labels) as stream:
        labels = np.frombuffer(stream.read(), np.uint8, offset=8)
    images, times = images.reshape(shape), options.times
    count = times * len(images)
    with gzip.open(options.images_out, "wb", compresslevel=1) as stream:
        stream.write(idx.header((count, *shape[1:])))
        for down, right in SHIFTS[:times]:
            stream.write(shifted(images, down, right).data)
    with gzip.open(options.labels_out, "wb", compresslevel=1) as stream:
        stream.write(idx.header((count,)))
        for _ in range(times):
            stream.write(labels.data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="shifted.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="gzipped IDX images")
    parser.add_argument("--labels", type=Path, required=True, help="gzipped IDX labels")
    parser.add_argument("--times", type=int, required=True, help=f"up to {len(SHIFTS)}")
    parser.add_argument("--images-out", type=Path, required=True)
    parser.add_argument("--labels-out", type=Path, required=True)
    main(parser.parse_args())
