"""Predict the classes of pictures: photographs, drawings, folders of them, or arrays of bytes."""

import image_workflow.start  # noqa: F401

import argparse
import csv
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from image_workflow.command import log, run
from image_workflow.conversion.unlabelled import Unlabelled, read_unlabelled
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.imports import add_estimator_folder_option, make_importable
from image_workflow.inference.classifier import ImageClassifier, Predictions
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import Receipt
from image_workflow.models.loading import classifier_of_results

LIKELIEST = 3  # classes whose probabilities are shown
MOST = 100  # images in the picture
MODEL_FILES = "model.pkl", "training.json", "dataset.json"
REGISTRY = "sqlite:///registry/mlflow.db"


def predictions_of(classifier: ImageClassifier, images: np.ndarray) -> Predictions:
    """Return the predictions, or raise UserError if the user's own class fails."""
    try:
        return classifier.predict(images)
    except Exception as error:
        logging.exception("predict failed")
        raise UserError(
            f"the model's predict failed on {len(images):,} images: {type(error).__name__}: "
            f"{error}. Correct the class of the estimator, and train it again."
        ) from error


def likeliest(predictions: Predictions) -> list[list[tuple[str, float]]]:
    """Return the likeliest classes of each image with their probabilities; none if unknown."""
    if predictions.probabilities is None:
        return [[] for _ in predictions.labels]
    order = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :LIKELIEST]
    return [
        [(predictions.class_names[number], float(row[number])) for number in chosen]
        for row, chosen in zip(predictions.probabilities, order, strict=True)
    ]


def lines(names: list[str], predictions: Predictions) -> Iterator[str]:
    """Yield a line of text for each image."""
    for name, label, classes in zip(names, predictions.labels, likeliest(predictions), strict=True):
        shown = ", ".join(f"{each} {probability:.1%}" for each, probability in classes)
        yield f"{name}: {label}" + (f"  ({shown})" if shown else "")


def write_table(path: Path, names: list[str], predictions: Predictions) -> None:
    """Write a CSV file with a row for each image."""
    header = ["file", "label"]
    for place in range(1, LIKELIEST + 1):
        header += [f"class_{place}", f"probability_{place}"]
    with (
        replacing(path) as (part,),
        open(part, "w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        for name, label, classes in zip(
            names, predictions.labels, likeliest(predictions), strict=True
        ):
            cells = [cell for each, value in classes for cell in (each, f"{value:.6g}")]
            table.writerow([name, label, *cells, *[""] * (len(header) - 2 - len(cells))])


def draw(unlabelled: Unlabelled, predictions: Predictions):
    """Return a figure of the first images as the model saw them, with the predicted classes."""
    # Matplotlib takes a second to import, and most calls need no picture.
    from image_workflow.pictures.style import IMAGE_COLOURS
    from image_workflow.pictures.tiles import draw_tiles

    count = min(MOST, len(unlabelled.names))
    labels = predictions.labels[:count]
    names = [Path(name).name for name in unlabelled.names[:count]]
    notes = [f"{classes[0][1]:.1%}" for classes in likeliest(predictions)[:count] if classes]
    total = len(unlabelled.names)
    which = f"The first {count} of {total:,} pictures" if total > count else "The pictures"
    return draw_tiles(
        list(unlabelled.images[:count]),
        [[name, f"→ {label}"] for name, label in zip(names, labels, strict=True)],
        IMAGE_COLOURS["as_is"],
        limits=(0, 255),
        title=f"{which} as the model sees them, with the predicted classes",
        notes=notes,
    )


@contextmanager
def chosen_classifier(options: argparse.Namespace) -> Iterator[ImageClassifier]:
    """Yield the classifier in results/, or of a registered version."""
    if not options.registered:
        yield classifier_of_results(options.model, options.estimator_folder)
        return
    if options.registry_uri.startswith("azureml:"):
        raise in_azure(options, options.registry_uri)
    # MLflow takes seconds to import.
    from image_workflow.backends.mlflow.versions import NotRegistered, registered_classifier

    if options.estimator_folder:
        make_importable(options.estimator_folder)
    try:
        with registered_classifier(options.registered, options.registry_uri) as classifier:
            yield classifier
    except NotRegistered as error:
        receipt = options.model / "registered.json"
        if receipt.exists() and (found := Receipt.read(receipt)).registry == "azureml":
            raise in_azure(options, f"the workspace {found.workspace['name']}") from error
        raise


def in_azure(options: argparse.Namespace, where: str) -> UserError:
    """Return the error for a version that is registered in Azure ML."""
    return UserError(
        f"{options.registered} is not in MLflow: your model is registered in {where}. "
        f"{options.model / 'model.pkl'} is the same model. Leave out --registered to use it."
    )


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.model / name for name in MODEL_FILES])
    with chosen_classifier(options) as classifier:
        unlabelled = read_unlabelled(
            options.files, classifier, options.skip_unreadable, options.threads
        )
        predictions = predictions_of(classifier, unlabelled.images)
    outputs = list(filter(None, [options.output, options.picture]))
    if options.output:
        write_table(options.output, unlabelled.names, predictions)
    else:
        print(*lines(unlabelled.names, predictions), sep="\n", flush=True)
    if options.picture:
        from image_workflow.pictures.style import save

        save(draw(unlabelled, predictions), options.picture)
    write_record(options.record, outputs=outputs, inputs=inputs)
    if outputs:
        log.info("%s: %d pictures", ", ".join(map(str, outputs)), len(unlabelled.names))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a picture, a folder of pictures, or a .npy file"
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        default=Path("results"),
        help="the folder of the results, with model.pkl (default: results)",
    )
    parser.add_argument(
        "--registered",
        metavar="VERSION",
        help="take a registered version instead: NAME, NAME/VERSION or NAME@ALIAS",
    )
    parser.add_argument(
        "--registry-uri",
        metavar="URI",
        default=REGISTRY,
        help=f"its MLflow store (default: {REGISTRY})",
    )
    add_estimator_folder_option(parser)
    parser.add_argument(
        "--output", type=Path, metavar="CSV", help="write the predictions to a table"
    )
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw what the model saw")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out files that cannot be read"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for reading pictures")
    add_record_option(parser)
    run(parser, main)
