"""Measure the model on the test set and write metrics.json."""

import argparse
from pathlib import Path

import joblib
import numpy as np

from lib.command import log, run
from lib.files import write_json
from lib.imports import quick_imports
from lib.model import predict, regularization_rate
from lib.record import add_record_option, write_record

with quick_imports(without="pandas"):
    from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support


def metrics(truth: np.ndarray, predicted: np.ndarray, rate: float, n_train: int) -> dict:
    """Return what metrics.json has, in its order.

    Parameters
    ----------
    truth, predicted : ndarray, shape (n_test,)
        The test set's labels, and the model's.
    rate : float
        The regularization rate of the model.
    n_train : int
        How many images it was trained on.

    Returns
    -------
    dict
        ``confusion_matrix`` has a row for each true class and a column for each predicted one,
        both in the order of ``classes``. A class that was never predicted has precision 0.
    """
    classes = np.union1d(truth, predicted)
    by_class = precision_recall_fscore_support(truth, predicted, labels=classes, zero_division=0)
    names = "precision", "recall", "f1", "support"
    return {
        "accuracy": accuracy_score(truth, predicted),
        "regularization_rate": rate,
        "n_train": n_train,
        "n_test": len(truth),
        "classes": classes.tolist(),
        "per_class": [
            {"class": label} | dict(zip(names, row, strict=True))
            for label, row in zip(
                classes.tolist(), np.array(by_class, dtype=object).T.tolist(), strict=True
            )
        ],
        "confusion_matrix": confusion_matrix(truth, predicted, labels=classes).tolist(),
    }


def main(options: argparse.Namespace) -> None:
    model = joblib.load(options.model)
    truth = np.load(options.test_labels)
    predicted = predict(model, np.load(options.test_images, mmap_mode="r"))
    n_train = len(np.load(options.train_labels, mmap_mode="r"))
    measured = metrics(truth, predicted, regularization_rate(model), n_train)
    write_json(options.output, measured)
    inputs = [options.model, options.test_images, options.test_labels, options.train_labels]
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("accuracy %.4f on %d test images", measured["accuracy"], measured["n_test"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="evaluate.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the model, model.pkl")
    parser.add_argument("--test-images", type=Path, required=True, help=".npy of the test images")
    parser.add_argument("--test-labels", type=Path, required=True, help=".npy of their labels")
    parser.add_argument("--train-labels", type=Path, required=True, help="counted for n_train")
    parser.add_argument("--output", type=Path, required=True, help="metrics.json")
    add_record_option(parser)
    run(parser, main)
