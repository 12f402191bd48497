"""The evaluation: the figures of metrics.json, against figures computed by hand."""

import json
from argparse import Namespace
from pathlib import Path

import joblib
import numpy as np

import evaluate
from lib.model import features, unfitted
from samples import labelled_images

KEYS = [
    "accuracy",
    "regularization_rate",
    "n_train",
    "n_test",
    "classes",
    "per_class",
    "confusion_matrix",
]


def measured(truth: list[int], predicted: list[int]) -> dict:
    return evaluate.metrics(
        np.array(truth, np.uint8), np.array(predicted, np.uint8), rate=0.8, n_train=100
    )


def test_figures_are_those_computed_by_hand():
    figures = measured(truth=[0, 0, 0, 0, 1, 1, 5, 5], predicted=[0, 0, 1, 5, 1, 0, 5, 5])
    assert figures == {
        "accuracy": 5 / 8,
        "regularization_rate": 0.8,
        "n_train": 100,
        "n_test": 8,
        "classes": [0, 1, 5],
        "per_class": [
            {"class": 0, "precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7, "support": 4},
            {"class": 1, "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2},
            {"class": 5, "precision": 2 / 3, "recall": 1.0, "f1": 4 / 5, "support": 2},
        ],
        "confusion_matrix": [[2, 1, 1], [1, 1, 0], [0, 0, 2]],
    }


def test_keys_have_a_fixed_order():
    figures = measured([1, 2], [2, 2])
    assert list(figures) == KEYS
    assert list(figures["per_class"][0]) == ["class", "precision", "recall", "f1", "support"]


def test_a_class_that_is_not_in_the_test_set_has_no_support():
    figures = measured(truth=[1, 1], predicted=[1, 9])
    assert figures["classes"] == [1, 9]
    assert figures["per_class"][1] == {
        "class": 9,
        "precision": 0,
        "recall": 0,
        "f1": 0,
        "support": 0,
    }
    assert figures["confusion_matrix"] == [[1, 1], [0, 0]]


def test_a_class_that_is_never_predicted_has_precision_0():
    figures = measured(truth=[1, 2], predicted=[1, 1])
    assert figures["per_class"][1]["precision"] == 0
    assert figures["confusion_matrix"] == [[1, 0], [1, 0]]


def test_the_file_has_the_figures_of_the_model(tmp_path: Path):
    images, labels = labelled_images(80, 4, 4, classes=[2, 3, 4])
    train, test = slice(0, 60), slice(60, 80)
    model = unfitted(0.5, 42).fit(features(images[train]), labels[train])
    joblib.dump(model, tmp_path / "model.pkl")
    for name, array in {
        "test-images": images[test],
        "test-labels": labels[test],
        "train-labels": labels[train],
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    options = Namespace(
        model=tmp_path / "model.pkl",
        test_images=tmp_path / "test-images.npy",
        test_labels=tmp_path / "test-labels.npy",
        train_labels=tmp_path / "train-labels.npy",
        output=tmp_path / "metrics.json",
        record=None,
    )
    evaluate.main(options)
    figures = json.loads(options.output.read_text())
    assert list(figures) == KEYS
    assert figures["accuracy"] == model.score(features(images[test]), labels[test])
    assert (figures["n_train"], figures["n_test"]) == (60, 20)
    assert figures["regularization_rate"] == 0.5
    assert sum(map(sum, figures["confusion_matrix"])) == 20
