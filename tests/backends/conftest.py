"""Fixtures of the tests that register a model."""

import shutil
from argparse import Namespace
from pathlib import Path

import mlflow
import pytest

from registration import write_results


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without experiments. To copy it is faster than to create one."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def registry_uri(tmp_path: Path, empty_store: Path) -> str:
    """The URI of an MLflow store without experiments."""
    (tmp_path / "registry").mkdir()
    shutil.copy(empty_store, tmp_path / "registry/mlflow.db")
    return f"sqlite:///{tmp_path}/registry/mlflow.db"


@pytest.fixture
def options(tmp_path: Path, registry_uri: str, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """The options of register.py for a small model that was trained and measured.

    The working directory has Snakemake's folder.
    """
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.chdir(tmp_path)
    return write_results(tmp_path, registry_uri)
