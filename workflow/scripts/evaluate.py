"""Measure the model on the test set, and write metrics.json."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path
from textwrap import shorten

import numpy as np

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.imports import add_estimator_folder_option, fast_imports
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet, Metrics, Sweep, Training
from image_workflow.models.estimator import load_model, predict

with fast_imports(hide="pandas"):
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support


def measure(
    truth: np.ndarray, predicted: np.ndarray, names: dict[int, str], parameters: dict, n_train: int
) -> Metrics:
    """Return the metrics of a model's predictions.

    Parameters
    ----------
    truth, predicted : ndarray, shape (n_test,)
        The labels of the test set, and the model's predictions.
    names : dict of str
        The name of each class, by its label.
    parameters : dict
        The value of each parameter of the model's estimator.
    n_train : int
        How many images the model was trained on.

    Returns
    -------
    Metrics
        A class that was never predicted has precision 0.

    Raises
    ------
    UserError
        If the model predicted a label that no class has.
    """
    if unknown := set(predicted.tolist()) - names.keys():
        labels = shorten(", ".join(map(str, sorted(names))), 80, placeholder=" ...")
        raise UserError(
            f"the model predicted the label {min(unknown)}, and the data set has the labels "
            f"{labels}. Correct the predict of its class."
        )
    classes = np.union1d(truth, predicted)
    by_class = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    scores = "precision", "recall", "f1", "support"
    rows = np.array(by_class, dtype=object).T.tolist()
    return Metrics(
        accuracy=accuracy_score(truth, predicted),
        parameters=parameters,
        n_train=n_train,
        n_test=len(truth),
        classes=classes.tolist(),
        class_names=[names[label] for label in classes.tolist()],
        per_class=[
            {"class": label, "name": names[label]} | dict(zip(scores, row, strict=True))
            for label, row in zip(classes.tolist(), rows, strict=True)
        ],
        confusion_matrix=confusion_matrix(truth, predicted, labels=classes).tolist(),
    )


def main(options: argparse.Namespace) -> None:
    inputs = [options.model, options.training, options.sweep, options.dataset_file]
    inputs += [options.test_images, options.test_labels]
    checksums = checked_inputs(options.record, inputs)
    sha256 = Training.read(options.training).model_sha256
    model = load_model(options.model, sha256, options.estimator_folder)
    truth = np.load(options.test_labels)
    predicted = predict(model, np.load(options.test_images, mmap_mode="r"))
    data_set = DataSet.read(options.dataset_file)
    parameters = Sweep.read(options.sweep).parameters
    metrics = measure(truth, predicted, data_set.class_names(), parameters, data_set.n_train)
    metrics.write(options.output)
    write_record(options.record, outputs=[options.output], inputs=checksums)
    log.info("accuracy %.4f on %d test images", metrics.accuracy, metrics.n_test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    add_estimator_folder_option(parser)
    parser.add_argument("--test-images", type=Path, required=True, help=".npy of the test images")
    parser.add_argument("--test-labels", type=Path, required=True, help=".npy of their labels")
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="metrics.json")
    add_record_option(parser)
    run(parser, main)
