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
}


def test_the_summary_has_three_lines():
    assert summary(RECEIPT).splitlines() == [
        "registered  sklearn_mnist version 3",
        "accuracy    0.9193 on the test set, at regularization rate 0.5",
        "look at it  make ui",
    ]


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
