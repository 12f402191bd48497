"""Test the metrics in metrics.json against values computed by hand."""

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np

import evaluate
from image_workflow.lineage.results import Metrics
from image_workflow.models.estimator import features, tutorial_estimator
from picture_checks import data_set_of
from samples import labelled_images

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
        np.array(truth, np.uint8), np.array(predicted, np.uint8), NAMES, rate=0.8, n_train=100
    )


def test_metrics_equal_those_computed_by_hand():
    metrics = measure(truth=[0, 0, 0, 0, 1, 1, 5, 5], predicted=[0, 0, 1, 5, 1, 0, 5, 5])
    assert asdict(metrics) == {
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
    metrics = asdict(measure([1, 2], [2, 2]))
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


def test_file_has_the_metrics_of_the_model(tmp_path: Path):
    images, labels = labelled_images(80, 4, 4, classes=[2, 3, 4])
    train, test = slice(0, 60), slice(60, 80)
    model = tutorial_estimator(0.5, 42).fit(features(images[train]), labels[train])
    joblib.dump(model, tmp_path / "model.pkl")
    for name, array in {
        "test-images": images[test],
        "test-labels": labels[test],
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    # The data set has two more classes, which neither the test set nor the predictions have.
    names = ["none", "nothing", "two", "drei", "quatre"]
    data_set_of(names, [0, 0, 25, 20, 15], [0, 0, 8, 7, 5]).write(tmp_path / "dataset.json")
    options = Namespace(
        model=tmp_path / "model.pkl",
        test_images=tmp_path / "test-images.npy",
        test_labels=tmp_path / "test-labels.npy",
        dataset_file=tmp_path / "dataset.json",
        output=tmp_path / "metrics.json",
        record=None,
    )
    evaluate.main(options)
    metrics = json.loads(options.output.read_text())
    assert list(metrics) == KEYS
    assert metrics["accuracy"] == model.score(features(images[test]), labels[test])
    assert (metrics["n_train"], metrics["n_test"]) == (60, 20)
    assert metrics["regularization_rate"] == 0.5
    assert metrics["classes"] == [2, 3, 4]
    assert metrics["class_names"] == ["two", "drei", "quatre"]
    assert sum(map(sum, metrics["confusion_matrix"])) == 20
