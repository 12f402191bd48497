"""Draw the model's coefficients of each class as an image."""

import image_workflow.start  # noqa: F401

import argparse
import math
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.imports import add_estimator_folder_option
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet, Training
from image_workflow.models.estimator import load_model, weights
from image_workflow.pictures.style import (
    DPI,
    SIGNED_COLOURS,
    SMALL,
    Figure,
    axes_at,
    save,
    widest,
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
    colours = figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), SIGNED_COLOURS),
        cax=bar,
        orientation="horizontal",
        extend="both",
        label="against  ←  coefficient  →  for the class",
    )
    texts = bar.xaxis.get_major_formatter().format_ticks(bar.get_xticks())
    if len(texts) * (widest(texts, SMALL) + 10) > bar_width:
        end = float(f"{0.7 * limit:.0e}")
        colours.set_ticks([-end, 0, end], labels=[f"{-end:g}", "0", f"{end:g}"])
    return figure


def checked(coefficients: np.ndarray, shape: tuple[int, int], classes: int) -> np.ndarray:
    """Return the coefficients of a model, or raise UserError if they are not one per pixel."""
    expected = (1 if classes == 2 else classes, math.prod(shape))
    if coefficients.shape == expected and np.isfinite(coefficients).all():
        return coefficients
    raise UserError(
        f"expected a finite coefficient for each class and pixel, an array of shape {expected}, "
        f"found {'NaN or infinity' if coefficients.shape == expected else coefficients.shape}. "
        "Correct the coef_ of the estimator's class, or derive it from ClassifierMixin only."
    )


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.model, options.training, options.dataset_file])
    sha256 = Training.read(options.training).model_sha256
    model = load_model(options.model, sha256, options.estimator_folder)
    data_set = DataSet.read(options.dataset_file)
    names = data_set.class_names()
    shape = data_set.rows, data_set.columns
    classes = np.ravel(model.classes_).tolist()
    coefficients = checked(weights(model)[0], shape, len(classes))
    save(draw(coefficients, shape, [names[label] for label in classes]), options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d classes", options.output, len(classes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_weights.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    add_estimator_folder_option(parser)
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
