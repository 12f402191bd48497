"""Each target of the Makefile installs the environments that it needs, and no other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import TOP

MAKE = shutil.which("make")
V1 = {"azureml-v1", "azureml-v1-job"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the Makefile and the lock files, where nothing is installed."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(TOP / "Makefile", folder)
    shutil.copytree(TOP / "requirements", folder / "requirements")
    return folder


def plan(clone: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess:
    """Let make print what it would do; ``path`` is where it looks for programs."""
    environment = {} if path is None else {"PATH": path}
    return subprocess.run(
        [MAKE, "--dry-run", *arguments], cwd=clone, env=environment, capture_output=True, text=True
    )


def installed(planned: subprocess.CompletedProcess) -> set[str]:
    """Return the lock files that make would install."""
    assert planned.returncode == 0, planned.stderr
    return set(re.findall(r"--require-hashes -r requirements/(\S+)\.txt", planned.stdout))


@pytest.mark.parametrize(
    ("target", "locks"),
    [
        ("run", {"local"}),
        ("setup", {"local"}),
        ("setup-azureml", {"azureml"}),
        ("azureml-demo", {"azureml"}),
        ("test-quick", {"dev"}),
        ("test", {"dev"}),
        ("test-azureml", {"dev", "azureml"}),
    ],
)
def test_a_target_installs_what_it_needs(clone: Path, target: str, locks: set[str], tmp_path: Path):
    # None of these needs CPython 3.11: no python3.11 is in the path.
    planned = plan(clone, target, f"PYTHON={sys.executable}", path=str(tmp_path))
    assert installed(planned) == locks


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="needs CPython 3.11")
@pytest.mark.parametrize(
    ("arguments", "locks"),
    [(["setup-azureml-v1"], {"azureml-v1"}), (["azureml-demo", "SDK=v1"], V1)],
)
def test_sdk_v1_has_environments_of_its_own(clone: Path, arguments: list[str], locks: set[str]):
    assert installed(plan(clone, *arguments, f"PYTHON={sys.executable}")) == locks


@pytest.mark.parametrize("arguments", [["setup-azureml-v1"], ["azureml-demo", "SDK=v1"]])
def test_without_python_3_11_sdk_v1_says_what_it_needs(
    clone: Path, arguments: list[str], tmp_path: Path
):
    planned = plan(clone, *arguments, "PYTHON=python3.13", path=str(tmp_path))
    assert planned.returncode != 0
    assert "The Azure ML SDK v1 needs CPython 3.11. Install it, or name it: make" in planned.stderr
