"""The summary that `make run` prints."""

import json
import subprocess
import sys
from pathlib import Path

from checkout import TOP
from show_receipt import summary

RECEIPT = {
    "name": "sklearn_mnist",
    "version": 3,
    "registry_uri": "sqlite:///registry/mlflow.db",
    "portal_url": None,
    "metrics": {"accuracy": 0.91934, "regularization_rate": 0.5},
    "parameters": {
        "regularization": "0.5",
        "solver": "newton",
        "estimator": "logistic_regression",
        "dataset": "mnist",
        "seed": "42",
    },
}


def second_line(estimator: str, **parameters: str) -> str:
    """Return the summary's second line for another estimator, after the accuracy."""
    chosen = parameters | {"estimator": estimator, "dataset": "mnist", "seed": "42"}
    receipt = RECEIPT | {"metrics": {"accuracy": 0.97901}, "parameters": chosen}
    start, line = "accuracy    0.9790 on the test set, ", summary(receipt).splitlines()[1]
    assert line.startswith(start)
    return line.removeprefix(start)


def test_the_summary_has_three_lines():
    assert summary(RECEIPT).splitlines() == [
        "registered  sklearn_mnist version 3",
        "accuracy    0.9193 on the test set, at regularization rate 0.5",
        "look at it  make ui",
    ]


def test_the_summary_names_another_estimator_and_its_parameters():
    path = "sklearn.neural_network.MLPClassifier"
    shown = second_line(path, early_stopping="true", hidden_layer_sizes="[300]")
    assert shown == "MLPClassifier with early_stopping=true, hidden_layer_sizes=[300]"
    assert second_line("my_model.py:build") == "my_model.py:build"
    shown = second_line(path, alpha="0.1", hidden_layer_sizes=str([100] * 50))
    assert shown.startswith("MLPClassifier with alpha=0.1, hidden_layer_sizes=[100, 100,")
    assert shown.endswith(" ...")
    assert len(shown) <= 100


def test_the_summary_names_the_web_page_of_a_registry():
    receipt = RECEIPT | {"registry_uri": "https://mlflow.example.org"}
    page = "https://mlflow.example.org/#/models/sklearn_mnist/versions/3"
    assert summary(receipt).endswith(f"look at it  {page}?workflowType=machine_learning")
    receipt = RECEIPT | {"portal_url": "https://ml.azure.com/runs/a"}
    assert summary(receipt).endswith("look at it  https://ml.azure.com/runs/a")


def test_the_program_prints_the_summary(tmp_path: Path):
    (tmp_path / "registered.json").write_text(json.dumps(RECEIPT))
    command = [sys.executable, TOP / "tools/show_receipt.py", "registered.json"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert said == summary(RECEIPT) + "\n"
