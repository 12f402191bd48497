"""Test the metrics in metrics.json against values computed by hand."""

import json
import re
from argparse import Namespace
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import evaluate
from image_workflow.errors import UserError
from image_workflow.lineage.results import RATE, Metrics, Sweep
from image_workflow.models.estimator import features, tutorial_estimator
from picture_checks import data_set_of
from samples import labelled_images
from training import write_training_file

KEYS = [
    "accuracy",
    "regularization_rate",
    "n_train",
    "n_test",
    "classes",
    "class_names",
    "per_class",
    "confusion_matrix",
]
NAMES = {0: "Äpfel", 1: "pears", 2: "plums", 5: "0", 9: "quinces"}


def measure(truth: list[int], predicted: list[int]) -> Metrics:
    return evaluate.measure(
        np.array(truth, np.uint8), np.array(predicted, np.uint8), NAMES, {RATE: 0.8}, n_train=100
    )


class Broken(ClassifierMixin, BaseEstimator):
    """A classifier whose predict returns ``found``, or raises it if it is an error."""

    def __init__(self, found: object):
        self.found = found

    def predict(self, rows: np.ndarray) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def test_metrics_equal_those_computed_by_hand():
    metrics = measure(truth=[0, 0, 0, 0, 1, 1, 5, 5], predicted=[0, 0, 1, 5, 1, 0, 5, 5])
    assert metrics.to_json() == {
        "accuracy": 5 / 8,
        "regularization_rate": 0.8,
        "n_train": 100,
        "n_test": 8,
        "classes": [0, 1, 5],
        "class_names": ["Äpfel", "pears", "0"],
        "per_class": [
            {"class": 0, "name": "Äpfel"}
            | {"precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "support": 4},
            {"class": 1, "name": "pears"}
            | {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2},
            {"class": 5, "name": "0"}
            | {"precision": 2 / 3, "recall": 1.0, "f1": 4 / 5, "support": 2},
        ],
        "confusion_matrix": [[2, 1, 1], [1, 1, 0], [0, 0, 2]],
    }


def test_keys_have_a_fixed_order():
    metrics = measure([1, 2], [2, 2]).to_json()
    assert list(metrics) == KEYS
    per_class = ["class", "name", "precision", "recall", "f1", "support"]
    assert list(metrics["per_class"][0]) == per_class


def test_class_that_the_test_set_lacks_has_no_support():
    metrics = measure(truth=[1, 1], predicted=[1, 9])
    assert metrics.classes == [1, 9]
    assert metrics.per_class[1] == {
        "class": 9,
        "name": "quinces",
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "support": 0,
    }
    assert metrics.confusion_matrix == [[1, 1], [0, 0]]


def test_class_that_is_never_predicted_has_precision_0():
    metrics = measure(truth=[1, 2], predicted=[1, 1])
    assert metrics.per_class[1]["precision"] == 0
    assert metrics.confusion_matrix == [[1, 0], [1, 0]]


def test_label_that_the_data_set_lacks_is_refused():
    with pytest.raises(UserError) as raised:
        measure(truth=[1, 2], predicted=[1, 7])
    assert str(raised.value) == (
        "the model predicted the label 7, and the data set has the labels 0, 1, 2, 5, 9. "
        "Correct the predict of its class."
    )


@pytest.fixture
def options(tmp_path: Path) -> Namespace:
    """The options of evaluate.py for 20 test images. There is no model yet."""
    images, labels = labelled_images(80, 4, 4, classes=[2, 3, 4])
    np.save(tmp_path / "test-images.npy", images[60:])
    np.save(tmp_path / "test-labels.npy", labels[60:])
    # The data set has two more classes, which neither the test set nor the predictions have.
    names = ["none", "nothing", "two", "drei", "quatre"]
    data_set_of(names, [0, 0, 25, 20, 15], [0, 0, 8, 7, 5]).write(tmp_path / "dataset.json")
    Sweep({RATE: 0.5}, n_train=60, n_validation=0, candidates=[]).write(tmp_path / "sweep.json")
    return Namespace(
        model=tmp_path / "model.pkl",
        training=tmp_path / "training.json",
        sweep=tmp_path / "sweep.json",
        estimator_folder=None,
        test_images=tmp_path / "test-images.npy",
        test_labels=tmp_path / "test-labels.npy",
        dataset_file=tmp_path / "dataset.json",
        output=tmp_path / "metrics.json",
        record=None,
    )


def test_file_has_the_metrics_of_the_model(options: Namespace):
    images, labels = labelled_images(80, 4, 4, classes=[2, 3, 4])
    train, test = slice(0, 60), slice(60, 80)
    model = tutorial_estimator(0.5, 42).fit(features(images[train]), labels[train])
    joblib.dump(model, options.model)
    write_training_file(options.model)
    evaluate.main(options)
    metrics = json.loads(options.output.read_text())
    assert list(metrics) == KEYS
    assert metrics["accuracy"] == model.score(features(images[test]), labels[test])
    assert (metrics["n_train"], metrics["n_test"]) == (60, 20)
    assert metrics["regularization_rate"] == 0.5
    assert metrics["classes"] == [2, 3, 4]
    assert metrics["class_names"] == ["two", "drei", "quatre"]
    assert sum(map(sum, metrics["confusion_matrix"])) == 20


def test_file_has_the_parameters_of_another_estimator(options: Namespace):
    parameters = {"alpha": 0.5, "hidden_layer_sizes": [50, 20], "solver": None}
    Sweep(parameters, n_train=60, n_validation=0, candidates=[]).write(options.sweep)
    # Any type of number will do as a label.
    joblib.dump(Broken(np.array([4.0] * 20)), options.model)
    write_training_file(options.model)
    evaluate.main(options)
    metrics = json.loads(options.output.read_text())
    assert list(metrics) == ["parameters" if key == RATE else key for key in KEYS]
    assert metrics["parameters"] == parameters
    assert metrics["accuracy"] == np.mean(np.load(options.test_labels) == 4)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "must return one label of 0 to 255 for each of 20 images, found an array of object"),
        ([2] * 19, "for each of 20 images, found an array of int64 of shape (19,)"),
        (np.zeros((20, 3)), "found an array of float64 of shape (20, 3)"),
        ([2.5] * 20, "found an array of float64 of shape (20,)"),
        (["3"] * 20, "must return one label of 0 to 255"),
        ([256] * 20, "must return one label of 0 to 255"),
        (["two"] * 20, "found an array of <U3"),
        ([[2], [2, 3]], "predict failed on 20 images: ValueError"),
        (KeyError("mine"), "predict failed on 20 images: KeyError: 'mine'. Correct its class"),
        ([1] * 20, None),
        ([5] * 20, "predicted the label 5, and the data set has the labels 0, 1, 2, 3, 4."),
    ],
)
def test_what_another_estimator_may_predict(options: Namespace, found: object, message: str | None):
    joblib.dump(Broken(found), options.model)
    write_training_file(options.model)
    if message is None:
        evaluate.main(options)
        return
    with pytest.raises(UserError, match=re.escape(message)):
        evaluate.main(options)
    assert not options.output.exists()
