"""The versions that a conda environment file pins, and those that are installed."""

import importlib.metadata
import sys
from pathlib import Path

import pytest

from image_workflow.lineage.pins import installed_version, pinned_packages, pinned_versions


def test_pins_are_read_from_the_pip_section(tmp_path: Path):
    path = tmp_path / "env.yaml"
    path.write_text(
        "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - a==1.0\n      - b-c[d]==2\n"
    )
    assert pinned_packages(path) == {"a": "1.0", "b-c[d]": "2"}
    assert pinned_versions(path) == {"python": "3.11", "a": "1.0", "b-c[d]": "2"}


def test_packages_of_conda_are_no_pip_requirements(tmp_path: Path):
    path = tmp_path / "env.yaml"
    path.write_text(
        "channels:\n  - c\ndependencies:\n  - python=3.11\n  - pip\n  - c::a=1.0\n  - b==2\n"
        "  - pip:\n      - d[e,f]==3+cpu\n"
    )
    assert pinned_packages(path) == {"d[e,f]": "3+cpu"}
    assert pinned_versions(path) == {"python": "3.11", "a": "1.0", "b": "2", "d[e,f]": "3+cpu"}


def test_the_installed_version_of_a_package_of_pip_or_conda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "conda-meta").mkdir()
    for name in ("py-torch-1.0-0", "torch-2.1.0-py311_0"):
        (tmp_path / "conda-meta" / f"{name}.json").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert installed_version("torch") == "2.1.0"
    assert installed_version("py") is None
    assert installed_version("pytest[dev]") == importlib.metadata.version("pytest")
