"""Draw the model's coefficients of each class as an image."""

import argparse
from pathlib import Path

import joblib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from image_workflow.command import log, run
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet
from image_workflow.models.estimator import weights
from image_workflow.pictures.style import (
    DPI,
    SIGNED_COLOURS,
    Figure,
    axes_at,
    save,
)
from image_workflow.pictures.tiles import draw_tiles

FOOTER = 125


def draw(coefficients: np.ndarray, shape: tuple[int, int], names: list[str]) -> Figure:
    """Return a figure with an image for each class, all with the same colours.

    Parameters
    ----------
    coefficients : ndarray of float64, shape (k, rows * columns)
        k is the number of classes. For two classes it is 1, for the second class.
    shape : pair of int
        The rows and columns of an image.
    names : list of str
        The names of all classes.
    """
    # A few extreme coefficients would make all others pale.
    limit = float(np.quantile(np.abs(coefficients), 0.995, method="higher")) or 1.0
    several = len(coefficients) > 1
    captions = [[name] for name in names] if several else [[names[1], f"rather than {names[0]}"]]
    images = coefficients.reshape(-1, *shape)
    figure = draw_tiles(
        images,
        captions,
        SIGNED_COLOURS,
        limits=(-limit, limit),
        title="Weight of each pixel",
        footer=FOOTER,
    )
    width, height = figure.get_size_inches() * DPI
    bar_width = min(500, width - 70)
    bar = axes_at(figure, (width - bar_width) / 2, height - FOOTER + 20, bar_width, 24)
    figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), SIGNED_COLOURS),
        cax=bar,
        orientation="horizontal",
        extend="both",
        label="against  ←  coefficient  →  for the class",
    )
    return figure


def main(options: argparse.Namespace) -> None:
    model = joblib.load(options.model)
    data_set = DataSet.read(options.dataset_file)
    names = data_set.class_names()
    coefficients, _ = weights(model)
    shape = data_set.rows, data_set.columns
    classes = model.classes_.tolist()
    save(draw(coefficients, shape, [names[label] for label in classes]), options.output)
    inputs = [options.model, options.dataset_file]
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d classes", options.output, len(classes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_weights.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
