"""Draw the test images that the model gets wrong, those that it is most confident about first."""

import image_workflow.start  # noqa: F401

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from image_workflow.command import log, run
from image_workflow.imports import add_estimator_folder_option, fast_imports
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet, Training
from image_workflow.models.confidences import PROBABILITY, confidences
from image_workflow.models.estimator import load_model, predict
from image_workflow.pictures.style import (
    IMAGE_COLOURS,
    LARGE,
    Figure,
    new_page,
    save,
    text_width,
    widest,
)
from image_workflow.pictures.tiles import draw_tiles, tile_width

with fast_imports(hide="pandas"):
    from sklearn.base import ClassifierMixin

MOST = 30


@dataclass(frozen=True)
class Mistakes:
    """The wrong predictions on the test set.

    The most confident come first, and equal ones in the order of the test set.

    Attributes
    ----------
    indices : ndarray of int, shape (n,)
        The images in the test set.
    predicted : ndarray, shape (n,)
        The labels that the model predicted.
    confidences : ndarray of float64, shape (n,)
        How confident the model is of them.
    kind : {"probability", "decision score"} or None
        What the confidences are; None if the model has none.
    """

    indices: np.ndarray
    predicted: np.ndarray
    confidences: np.ndarray
    kind: str | None


def find_mistakes(model: ClassifierMixin, images: np.ndarray, labels: np.ndarray) -> Mistakes:
    """Return all wrong predictions of a model.

    Parameters
    ----------
    model : fitted classifier
    images : ndarray of uint8, shape (n_test, rows, columns)
        May be a memory map.
    labels : ndarray of uint8, shape (n_test,)
    """
    predicted = predict(model, images)
    wrong = np.flatnonzero(predicted != labels)
    kind, found = confidences(model, images, wrong, predicted[wrong])
    order = np.argsort(-found, kind="stable")
    return Mistakes(wrong[order], predicted[wrong][order], found[order], kind)


def draw(
    mistakes: Mistakes,
    images: np.ndarray,
    labels: np.ndarray,
    names: dict[int, str],
    polarity: str,
) -> Figure:
    """Return a figure of the first mistakes, or one that says that there is none.

    Parameters
    ----------
    mistakes : Mistakes
    images : ndarray of uint8, shape (n_test, rows, columns)
        May be a memory map.
    labels : ndarray of uint8, shape (n_test,)
    names : dict of str
        The name of each class, by its label.
    polarity : {"light_on_dark", "as_is"}
        Whether 0 is drawn white or black.
    """
    total, n_test = len(mistakes.indices), f"{len(images):,} test images"
    if total == 0:
        return _message(f"No mistake in {n_test}")
    count = min(MOST, total)
    chosen = mistakes.indices[:count]
    pairs = [
        (names[true], f"→ {names.get(predicted, predicted)}")
        for true, predicted in zip(
            labels[chosen].tolist(), mistakes.predicted[:count].tolist(), strict=True
        )
    ]
    in_one_line = [[" ".join(pair)] for pair in pairs]
    fits = widest([line for (line,) in in_one_line]) <= tile_width(10)
    if total > count:
        first = f"The {count} most confident" if mistakes.kind else f"The first {count}"
        which = f"{first} of {total:,} mistakes"
    else:
        which = f"All {total} mistakes" if total > 1 else "The only mistake"
    what = f", {mistakes.kind}" if mistakes.kind else ""
    form = ".1%" if mistakes.kind == PROBABILITY else "#.4g"
    shown = mistakes.confidences[:count] if mistakes.kind else []
    return draw_tiles(
        [images[number] for number in chosen],
        in_one_line if fits else pairs,
        IMAGE_COLOURS[polarity],
        limits=(0, 255),
        title=f"{which} in {n_test}: true class → predicted class{what}",
        notes=[f"{confidence:{form}}" for confidence in shown],
    )


def _message(text: str) -> Figure:
    """Return a small figure with a line of text."""
    figure, page = new_page(round(text_width(text, LARGE)) + 80, 120)
    page.text(40, 60, text, size=LARGE, va="center")
    return figure


def main(options: argparse.Namespace) -> None:
    inputs = [options.model, options.training, options.images, options.labels]
    checksums = checked_inputs(options.record, [*inputs, options.dataset_file])
    sha256 = Training.read(options.training).model_sha256
    model = load_model(options.model, sha256, options.estimator_folder)
    images = np.load(options.images, mmap_mode="r")
    labels = np.load(options.labels)
    data_set = DataSet.read(options.dataset_file)
    mistakes = find_mistakes(model, images, labels)
    save(draw(mistakes, images, labels, data_set.class_names(), data_set.polarity), options.output)
    write_record(options.record, outputs=[options.output], inputs=checksums)
    total = len(mistakes.indices)
    log.info("%s: %d of %d mistakes", options.output, min(MOST, total), total)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_mistakes.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    add_estimator_folder_option(parser)
    parser.add_argument("--images", type=Path, required=True, help="the .npy of the test images")
    parser.add_argument("--labels", type=Path, required=True, help="the .npy of their labels")
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
