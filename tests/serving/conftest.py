"""Fixtures of the tests that serve a model."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import serving
from registration import registered


@pytest.fixture(scope="session")
def registered_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of the digits, and a registry with their model."""
    folder = tmp_path_factory.mktemp("digits")
    with contextlib.chdir(folder):
        registered(serving.write_digits(Path("results"), "sqlite:///registry/mlflow.db"))
    return folder


@pytest.fixture(scope="session")
def server(
    registered_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[serving.Server]:
    """A server of that model, from the results alone."""
    folder = tmp_path_factory.mktemp("results alone")
    shutil.copytree(registered_digits / "results", folder / "results")
    with serving.serving(folder) as running:
        yield running
