"""Draw 30 random training images with their labels above them."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from image_workflow.command import log, run
from image_workflow.files import replacing
from image_workflow.lineage.job_records import add_record_option, write_record

COUNT, COLUMNS = 30, 10


def draw(images: np.ndarray, labels: np.ndarray, seed: int) -> Figure:
    """Return a figure of up to 30 random images, ten in a row, dark on white.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
        0 is drawn white, 255 black.
    labels : ndarray of uint8, shape (n,)
        Each label is drawn above its image.
    seed : int
        Decides which images are drawn.
    """
    chosen = np.random.default_rng(seed).choice(len(images), min(COUNT, len(images)), replace=False)
    columns = min(COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    height_of_one = min(max(images.shape[1] / images.shape[2], 0.4), 2.5)
    figure = Figure(figsize=(columns, rows * (height_of_one + 0.38)), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.04)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, number in zip(axes, chosen, strict=False):
        axis.imshow(images[number], cmap="gray_r", vmin=0, vmax=255, interpolation="antialiased")
        axis.set_title(str(labels[number]), fontsize=13, pad=4)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_color("0.85")
    for empty in axes[len(chosen) :]:
        empty.set_axis_off()
    return figure


def main(options: argparse.Namespace) -> None:
    images = np.load(options.images, mmap_mode="r")
    labels = np.load(options.labels)
    figure = draw(images, labels, options.seed)
    with replacing(options.output) as (part,):
        # Without the Software entry, the bytes do not depend on the version of matplotlib.
        figure.savefig(part, format="png", metadata={"Software": None})
    inputs = [options.images, options.labels]
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d of %d images", options.output, min(COUNT, len(images)), len(images))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="preview.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="the .npy of the images")
    parser.add_argument("--labels", type=Path, required=True, help="the .npy of the labels")
    parser.add_argument("--seed", type=int, default=42, help="decides which images are drawn")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
