"""Fixtures of the field cases."""

from argparse import Namespace
from pathlib import Path

import pytest

from registration import write_results


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """The options of register.py in a project whose registry is beside its results."""
    project = tmp_path / "project"
    (project / ".snakemake").mkdir(parents=True)
    monkeypatch.chdir(project)
    return write_results(Path(), "sqlite:///registry/mlflow.db")
