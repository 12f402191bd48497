"""The summary that `make run` prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

from checkout import TOP
from show_receipt import summary

RECEIPT = {
    "name": "sklearn_mnist",
    "version": 3,
    "registry_uri": "sqlite:///registry/mlflow.db",
    "metrics": {"accuracy": 0.91934, "regularization_rate": 0.5},
}


def test_the_summary_has_three_lines():
    assert summary(RECEIPT, ".venv/bin/mlflow").splitlines() == [
        "registered  sklearn_mnist version 3",
        "accuracy    0.9193 on the test set, at regularization rate 0.5",
        "look at it  .venv/bin/mlflow ui --backend-store-uri sqlite:///registry/mlflow.db",
    ]


def test_the_summary_names_the_web_page_of_a_registry():
    receipt = RECEIPT | {"registry_uri": "https://mlflow.example.org"}
    assert summary(receipt, "mlflow").endswith("look at it  https://mlflow.example.org")


def test_the_program_prints_the_summary(tmp_path: Path):
    (tmp_path / "registered.json").write_text(json.dumps(RECEIPT))
    command = [sys.executable, TOP / "tools/show_receipt.py", "registered.json"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    mlflow = os.path.relpath(Path(sys.executable).parent / "mlflow", tmp_path)
    assert said == summary(RECEIPT, mlflow) + "\n"
