"""Fixtures of the field cases."""

from argparse import Namespace
from pathlib import Path

import pytest

from registration import write_results


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """The options of register.py in a project whose registry is beside its results.

    The URI is absolute, because MLflow keeps connections to relative ones after a change of folder.
    """
    project = tmp_path / "project"
    (project / ".snakemake").mkdir(parents=True)
    monkeypatch.chdir(project)
    return write_results(Path(), f"sqlite:///{project}/registry/mlflow.db")
