"""Draw random training images with the names of their classes above them."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

import numpy as np

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet
from image_workflow.pictures.style import IMAGE_COLOURS, Figure, save
from image_workflow.pictures.tiles import draw_tiles

MOST = 100


def draw(
    images: np.ndarray,
    labels: np.ndarray,
    names: dict[int, str],
    polarity: str,
    count: int,
    seed: int,
) -> Figure:
    """Return a figure of random images.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
    labels : ndarray of uint8, shape (n,)
    names : dict of str
        The name of each class, by its label. It is drawn above the image.
    polarity : {"light_on_dark", "as_is"}
        Whether 0 is drawn white or black.
    count : int
        How many images to draw. If there are fewer, all are drawn.
    seed : int
        Decides which images are drawn.
    """
    random = np.random.default_rng(seed)
    chosen = random.choice(len(images), min(count, len(images)), replace=False)
    captions = [[names[label]] for label in labels[chosen].tolist()]
    colours = IMAGE_COLOURS[polarity]
    return draw_tiles([images[number] for number in chosen], captions, colours, limits=(0, 255))


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.images, options.labels, options.dataset_file])
    if not 1 <= options.count <= MOST:
        raise UserError(f"--count must be between 1 and {MOST}, found {options.count}.")
    images = np.load(options.images, mmap_mode="r")
    labels = np.load(options.labels)
    data_set = DataSet.read(options.dataset_file)
    names, polarity = data_set.class_names(), data_set.polarity
    save(draw(images, labels, names, polarity, options.count, options.seed), options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d of %d images", options.output, min(options.count, len(images)), len(images))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="preview.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="the .npy of the images")
    parser.add_argument("--labels", type=Path, required=True, help="the .npy of the labels")
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--count", type=int, default=30, help=f"how many images, 1 to {MOST}")
    parser.add_argument("--seed", type=int, default=42, help="decides which images are drawn")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
