"""The registration receipt's parts: the state of the code, and what is said to a reader."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import TOP
from lib.files import write_json
from lib.receipt import git_state, read_sweep, summary, with_rate

RECEIPT = {
    "name": "sklearn_mnist",
    "version": 3,
    "registry_uri": "sqlite:///registry/mlflow.db",
    "metrics": {"accuracy": 0.91934, "regularization_rate": 0.5},
}

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git checkout with one commit and no changes."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "train.py").write_text("one")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=first")
    return tmp_path


@needs_git
def test_a_checkout_has_its_commit(repository: Path):
    commit = git(repository, "rev-parse", "HEAD").strip()
    (repository / "untracked").touch()
    (repository / "scripts").mkdir()
    assert git_state(repository) == {"commit": commit, "dirty": False}
    assert git_state(repository / "scripts") == {"commit": commit, "dirty": False}


@needs_git
def test_a_change_of_a_tracked_file_is_dirt(repository: Path):
    (repository / "train.py").write_text("two")
    assert git_state(repository)["dirty"] is True


@needs_git
def test_a_folder_outside_a_checkout_has_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_a_machine_without_git_has_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


@pytest.mark.parametrize(
    ("rate", "said"), [(0.5, "0.5"), (2.0, "2"), (1e6, "1000000"), (0.123456789, "0.123456789")]
)
def test_the_parameters_have_the_rate_that_was_measured(rate: float, said: str):
    parameters = with_rate(["dataset=a=b", "seed=42"], {"regularization_rate": rate})
    assert parameters == {"regularization": said, "dataset": "a=b", "seed": "42"}


SWEEP = {"regularization_rate": 1, "candidates": [{"regularization_rate": 1}] * 2}


def test_a_sweep_is_read_where_there_is_one(tmp_path: Path):
    for candidates, expected in (([{"regularization_rate": 1}] * 2, SWEEP), ([], None)):
        write_json(tmp_path / "sweep.json", SWEEP | {"candidates": candidates})
        assert read_sweep(tmp_path / "sweep.json") == expected


def test_the_summary_is_three_lines():
    assert summary(RECEIPT, ".venv/bin/mlflow").splitlines() == [
        "registered  sklearn_mnist version 3",
        "accuracy    0.9193 on the test set, at regularization rate 0.5",
        "look at it  .venv/bin/mlflow ui --backend-store-uri sqlite:///registry/mlflow.db",
    ]


def test_a_registry_with_a_web_page_is_looked_at_there():
    receipt = RECEIPT | {"registry_uri": "https://mlflow.example.org"}
    assert summary(receipt, "mlflow").endswith("look at it  https://mlflow.example.org")


def test_show_receipt_prints_the_summary(tmp_path: Path):
    (tmp_path / "registered.json").write_text(json.dumps(RECEIPT))
    command = [sys.executable, TOP / "workflow/scripts/show_receipt.py", "registered.json"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    mlflow = os.path.relpath(Path(sys.executable).parent / "mlflow", tmp_path)
    assert said == summary(RECEIPT, mlflow) + "\n"
