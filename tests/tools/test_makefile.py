"""Each target of the Makefile installs the environments that it needs, and no other."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
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
        ("setup-slurm", {"slurm"}),
        ("azureml-demo", {"azureml"}),
        ("test-quick", {"dev"}),
        ("test", {"dev"}),
        ("test-registry", {"dev"}),
        ("test-azureml", {"dev", "azureml"}),
        ("test-slurm", {"dev", "slurm"}),
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


# ---- Inherited settings of pip and Python ----------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Return a folder with a wheel of a module numpy, which pip installs instead of an index."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    info = "numpy-1.0.dist-info"
    files = {
        "numpy.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "".join(
            f"{name},,\n" for name in ("numpy.py", *(f"{info}/{n}" for n in ("METADATA", "WHEEL")))
        ),
    }
    with zipfile.ZipFile(folder / "numpy-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return folder


def set_up(
    clone: Path, mirror: Path, variables: dict[str, str], configuration: str
) -> subprocess.CompletedProcess:
    """Run make setup with a lock file that has one package."""
    (wheel,) = mirror.iterdir()
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    shutil.copy(TOP / "Makefile", clone)
    (clone / "requirements").mkdir()
    (clone / "requirements/local.txt").write_text(f"numpy==1.0 --hash=sha256:{digest}\n")
    (clone / "pip.conf").write_text(configuration)
    environment = {"PATH": os.environ["PATH"], "HOME": str(clone), "PIP_NO_INDEX": "1"}
    environment |= {"PIP_FIND_LINKS": str(mirror), "PIP_CONFIG_FILE": str(clone / "pip.conf")}
    return subprocess.run(
        [MAKE, "setup", f"PYTHON={sys.executable}"],
        cwd=clone,
        env=environment | variables,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("variables", "configuration"),
    [
        # Field case asv 522.
        ({"PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1"}, "[install]\nroot = elsewhere\n"),
        ({"PIP_PREFIX": "elsewhere", "PYTHONPATH": "foreign"}, "[global]\nuser = true\n"),
        ({"PIP_TARGET": "elsewhere", "VIRTUAL_ENV": "/opt"}, "[install]\ntarget = elsewhere\n"),
    ],
)
def test_packages_go_into_the_environment(
    tmp_path: Path, mirror: Path, variables: dict[str, str], configuration: str
):
    clone = tmp_path / "a clone"
    # With this on its path, pip would take the package for installed.
    shutil.unpack_archive(next(mirror.iterdir()), clone / "foreign", "zip")
    ended = set_up(clone, mirror, variables, configuration)
    assert ended.returncode == 0, ended.stderr
    assert list((clone / ".venv").glob("lib/python3.*/site-packages/numpy.py"))
    assert (clone / ".venv/installed").exists()
    assert not (clone / "elsewhere").exists()


def test_an_environment_without_its_packages_is_not_taken_for_installed(
    tmp_path: Path, mirror: Path
):
    clone = tmp_path / "clone"
    clone.mkdir()
    ended = set_up(clone, mirror, {"PIP_DRY_RUN": "1"}, "")
    assert ended.returncode != 0
    assert "The packages of requirements/local.txt are not in .venv. Look for an op" in ended.stderr
    assert not (clone / ".venv/installed").exists()
