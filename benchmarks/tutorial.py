"""Do the work of the tutorial's notebook in one script: load, preview, fit, measure, save.

benchmarks/job.py compares this script with the workflow. It reads all four files into memory, as
floating point, and fits by liblinear. The tutorial's LogisticRegression(solver="liblinear") is an
OneVsRestClassifier of it in current versions of scikit-learn.
"""

import argparse
import gzip
import struct
from pathlib import Path

import joblib
import matplotlib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

matplotlib.use("agg")
from matplotlib import pyplot


def load(path: Path, dimensions: int) -> np.ndarray:
    """Return the array of a gzipped IDX file, one row for each image or label.

    ``dimensions`` is 3 for images and 1 for labels.
    """
    with gzip.open(path) as stream:
        stream.read(4)
        shape = struct.unpack(f">{dimensions}I", stream.read(4 * dimensions))
        pixels = np.frombuffer(stream.read(int(np.prod(shape))), dtype=np.uint8)
    return pixels.reshape(shape[0], -1)


def load_all(folder: Path) -> tuple[np.ndarray, ...]:
    """Return training images and labels, test images and labels. Pixels are from 0 to 1."""
    train, train_labels, test, test_labels = (
        load(folder / f"{part}-{kind}-ubyte.gz", 3 if kind == "images-idx3" else 1)
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )
    return train / 255.0, train_labels.ravel(), test / 255.0, test_labels.ravel()


def preview(pixels: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Draw 30 random images in a row, with their labels above them."""
    side = round(pixels.shape[1] ** 0.5)
    pyplot.figure(figsize=(16, 6))
    for place, number in enumerate(np.random.default_rng().permutation(len(pixels))[:30], 1):
        axes = pyplot.subplot(1, 30, place)
        axes.axhline()
        axes.axvline()
        axes.text(10, -10, str(labels[number]), fontsize=18)
        axes.imshow(pixels[number].reshape(side, side), cmap="Greys")
    pyplot.savefig(path)


def main(options: argparse.Namespace) -> None:
    train, train_labels, test, test_labels = load_all(options.data_folder)
    preview(train, train_labels, options.output.with_suffix(".png"))
    binary = LogisticRegression(C=1 / options.regularization, solver="liblinear", random_state=42)
    model = OneVsRestClassifier(binary, n_jobs=options.jobs)
    model.fit(train, train_labels)
    print("accuracy", np.mean(model.predict(test) == test_labels))
    joblib.dump(model, options.output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tutorial.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, required=True, help="has the four .gz files")
    parser.add_argument("--regularization", type=float, default=0.5, help="the rate, 1 / C")
    parser.add_argument("--jobs", type=int, default=1, help="how many classes to fit at once")
    parser.add_argument("--output", type=Path, default=Path("sklearn_mnist_model.pkl"))
    main(parser.parse_args())
