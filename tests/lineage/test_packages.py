"""The user's extra packages: lineage/packages.py."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml

from checkout import TOP
from image_workflow.backends import local
from image_workflow.backends.interface import Job
from image_workflow.errors import UserError
from image_workflow.lineage.packages import (
    Packages,
    check_installed,
    merged,
    read_packages,
    write_merged,
)
from image_workflow.lineage.pins import pinned_packages, pinned_versions
from samples import SETS
from training import training_settings

ENVIRONMENTS = sorted((TOP / "workflow/envs").glob("*.yaml"))
TRAIN = TOP / "workflow/envs/train.yaml"
NUMPY = pinned_packages(TRAIN)["numpy"]
SMOOTHING = {"var_smoothing": [1e-9, 1e-3]}
SECRET = "hunter2"
CONDA = """
name: mine
channels: [pytorch, conda-forge]
dependencies:
  - python=3.11
  - pip
  - pytorch::Faiss-CPU = 1.8
  - jpeg==9e
  - pip:
      - xgboost==2.1.0
"""


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def read(content: str | bytes, name: str = "mine.txt") -> Packages:
    """Return the packages in a file with this content."""
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_packages(path, ENVIRONMENTS)


def texts(content: str, name: str = "mine.txt") -> list[str]:
    return [pin.text for pin in read(content, name).pins]


def refusal(content: str | bytes, name: str = "mine.txt") -> str:
    """Return the sentence for a wrong file. It never contains a password."""
    with pytest.raises(UserError) as caught:
        read(content, name)
    assert SECRET not in str(caught.value)
    return str(caught.value)


# ---- requirements.txt ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# nothing\n\n", []),
        ("xgboost==2.1.0", ["xgboost==2.1.0"]),
        ("\ufeffXG_Boost == 2.1.0  # the best\r\n", ["xg-boost==2.1.0"]),
        ("b==1\na[y,x]==1+cpu\nb==1\n", ["a[x,y]==1+cpu", "b==1"]),
        (
            "a==1 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\n    # via b\nb==2",
            ["a==1", "b==2"],
        ),
        ("a==1 ; python_version < '3.11'\na==2 ; python_version >= '3.11'", ["a==2"]),
        (f"numpy=={NUMPY}", [f"numpy=={NUMPY}"]),
    ],
)
def test_requirements_are_read_as_pip_does(content: str, expected: list[str]):
    assert texts(content) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a==1\nxgboost", "mine.txt, line 2: xgboost has no exact version, which a training must"),
        ("xgboost>=2", "Write xgboost==VERSION."),
        ("xgboost==2.*", "Write xgboost==VERSION."),
        ("xgboost==2,<3", "Write xgboost==VERSION."),
        ("pytest>=7", f"Write pytest=={version('pytest')}."),
        ("numpy>=1", f"Write numpy=={NUMPY}."),
        (
            "numpy==1.26.0",
            f"mine.txt has numpy==1.26.0, and the workflow itself needs numpy=={NUMPY}.",
        ),
        ("a==1\na==2", "mine.txt has a==1 and a==2. Remove one of them."),
        ("--index-url=https://me:hunter2@example.org", "found the option --index-url."),
        ("-i https://me:hunter2@example.org", "found the option -i."),
        ("-ehunter2", "found the option -e."),
        ("-r hunter2.txt", "found the option -r."),
        ("a==1 --config-settings=hunter2", "line 1: expected a package with its version"),
        ("a @ https://me:hunter2@example.org/a.whl", "Write a==VERSION, because addresses"),
        (
            "git+https://hunter2@example.org/a",
            "line 1: expected a package with its version, such as",
        ),
        ("./hunter2.whl", "line 1: expected a package with its version, such as xgboost==2.1.0."),
        ("a==1\n\n\\\nhunter2 is no package", "mine.txt, line 3: expected a package"),
        ("a==1".encode("utf-16"), "mine.txt is not text in UTF-8. Save it as UTF-8."),
    ],
)
def test_wrong_requirements_are_refused(content: str | bytes, sentence: str):
    assert sentence in refusal(content)


@pytest.mark.parametrize("name", ["mine.txt", "mine.yaml"])
def test_a_missing_file_or_a_folder_is_reported(name: str):
    with pytest.raises(UserError, match=f"extra_packages names {name}, which does not exist."):
        read_packages(Path(name), ENVIRONMENTS)
    Path(name).mkdir()
    with pytest.raises(UserError, match=f"{name} cannot be read: Is a directory."):
        read_packages(Path(name), ENVIRONMENTS)


# ---- conda -----------------------------------------------------------------------------------


def test_a_conda_file_has_channels_and_packages_of_conda_and_pip():
    found = read(CONDA, "mine.yml")
    assert found.channels == ["pytorch", "conda-forge"]
    assert [(pin.text, pin.is_conda) for pin in found.pins] == [
        ("pytorch::faiss-cpu==1.8", True),
        ("jpeg==9e", True),
        ("python==3.11", True),
        ("xgboost==2.1.0", False),
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("dependencies: [a=1", "mine.yaml, line 1 is not valid YAML"),
        ("- a=1", "mine.yaml is no conda file: expected a list under the key dependencies."),
        ("dependencies: a=1", "mine.yaml is no conda file"),
        ("variables: {KEY: hunter2}\ndependencies: []", "mine.yaml: variables is not supported;"),
        ("dependencies: [xgboost]", "mine.yaml, entry 1 of dependencies: xgboost has no exact"),
        ("dependencies: [a=1, xgboost=2.*]", "entry 2 of dependencies: xgboost has no exact"),
        ("dependencies: [xgboost=2.1=py311_0]", "Write xgboost==VERSION."),
        ("dependencies: [python=3.12]", "the workflow itself needs python==3.11."),
        ("dependencies: [numpy=1.26]", f"the workflow itself needs numpy=={NUMPY}."),
        ("dependencies: [scikit_learn=1.0]", "mine.yaml has scikit_learn==1.0, and the workflow"),
        ("dependencies: [a=1, pip: [a==2]]", "mine.yaml has a==1 and a==2."),
        ("dependencies: [pip: ['-i https://hunter2']]", "mine.yaml, entry 1 of pip: expected"),
        ("dependencies: ['https://hunter2::a=1']", "entry 1 of dependencies: expected a package"),
        ("dependencies: [{pip: hunter2}]", "entry 1 of dependencies: expected a package"),
        ("channels: ['https://x/t/hunter2']\ndependencies: []", "expected a list of the channels'"),
        ("channels: 5\ndependencies: []", "expected a list of the channels' names"),
        ("channels: defaults\ndependencies: []", "expected a list of the channels' names"),
    ],
)
def test_a_wrong_conda_file_is_refused(content: str, sentence: str):
    assert sentence in refusal(content, "mine.yaml")


# ---- Installed versions ----------------------------------------------------------------------


def missing(content: str, name: str = "mine.txt") -> str:
    with pytest.raises(UserError) as caught:
        check_installed(read(content, name), ENVIRONMENTS)
    return str(caught.value)


def test_packages_must_be_installed_with_their_versions(monkeypatch: pytest.MonkeyPatch):
    found = version("pytest")
    check_installed(read(f"pytest=={found}"), ENVIRONMENTS)
    monkeypatch.setattr(sys, "executable", str(Path(".venv/bin/python").absolute()))
    assert missing("pytest==1.0\nno-such-package==2") == (
        f"mine.txt needs no-such-package==2 (not installed), pytest==1.0 (found {found}). Install "
        "what is missing: .venv/bin/python -m pip install -r mine.txt"
    )
    monkeypatch.setattr(sys, "executable", "/usr/bin/python")
    assert missing("pytest==1.0").endswith(": /usr/bin/python -m pip install -r mine.txt")


def test_packages_that_only_conda_knows_are_not_checked():
    found = version("pytest")
    check_installed(
        read(f"dependencies: [no-such-package=2, pytest={found}]", "mine.yaml"), ENVIRONMENTS
    )
    # conda's = would allow pytest 9.1 for 9, another version each time that it installs.
    assert "--sdm conda" in missing(f"dependencies: [pytest={found.split('.')[0]}]", "mine.yaml")
    assert "--sdm conda" in missing("dependencies: [pytest=1.0]", "mine.yaml")


def test_the_workflows_own_packages_are_not_checked():
    runtime = pinned_packages(TOP / "workflow/envs/azureml.yaml")["azureml-defaults"]
    check_installed(read(f"azureml-defaults=={runtime}"), ENVIRONMENTS)


# ---- Merge -----------------------------------------------------------------------------------


def test_the_packages_are_added_to_an_environment():
    before = yaml.safe_load(TRAIN.read_text())
    pip = before["dependencies"][-1]["pip"]
    content = CONDA + f"      - numpy=={NUMPY}\n      - scikit-learn[tests]==1.9.1\n"
    assert yaml.safe_load(merged(TRAIN, read(content, "mine.yaml"))) == {
        "channels": ["pytorch", "conda-forge", "nodefaults"],
        "dependencies": [
            *("python=3.11", "pip", "pytorch::faiss-cpu==1.8", "jpeg==9e"),
            {"pip": [*pip, "scikit-learn[tests]==1.9.1", "xgboost==2.1.0"]},
        ],
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids=lambda path: path.name)
def test_the_pins_of_every_environment_are_read_after_the_merge(environment: Path, tmp_path: Path):
    path = write_merged(environment, read("a[b]==1\nc==2"), tmp_path / "new")
    assert pinned_packages(path) == pinned_packages(environment) | {"a[b]": "1", "c": "2"}
    path = write_merged(environment, read("dependencies: [x::c=2]", "mine.yaml"), tmp_path / "new")
    assert pinned_packages(path) == pinned_packages(environment)
    assert pinned_versions(path) == pinned_versions(environment) | {"c": "2"}


def test_packages_that_the_workflow_has_change_no_environment():
    assert merged(TRAIN, read(f"numpy=={NUMPY}")) == TRAIN.read_text()


def test_only_the_packages_decide_the_digest_and_the_file(tmp_path: Path):
    first = read("a==1\nB_c==2", "first.txt")
    same = read("# comment\nb-c == 2\na==1 --hash=sha256:ab", "second.txt")
    other = read("a==1\nb-c==2.0", "first.txt")
    assert first.digest == same.digest != other.digest
    path = write_merged(TRAIN, first, tmp_path / "new")
    before = path.stat()
    assert write_merged(TRAIN, same, tmp_path / "new") == path
    assert path.stat() == before
    assert write_merged(TRAIN, other, tmp_path / "new") != path


# ---- Kept scores -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "are_kept"),
    [
        ({"estimator": "sklearn.naive_bayes.GaussianNB", "parameters": SMOOTHING}, False),
        ({"regularization": [1.0, 2.0]}, True),  # the default needs no other package
    ],
)
def test_scores_are_kept_for_the_same_version_of_the_users_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict, are_kept: bool
):
    for name, array in zip(("images", "labels"), SETS["two classes"], strict=True):
        np.save(tmp_path / f"train-{name}.npy", array)

    def kept(version: str) -> list[str]:
        """Train with this version of the package, and return the fingerprints of the scores."""
        monkeypatch.setattr(local, "installed_version", lambda package: version)
        places = tmp_path, TRAIN, tmp_path / "model.pkl", tmp_path / "candidates"
        job = Job(TOP / "workflow/scripts/fit.py", training_settings(**changes), *places, threads=1)
        local.LocalTrainer().train(job, "a test")
        scores = sorted((tmp_path / "candidates").iterdir())
        return [json.loads(score.read_text())["fingerprint"] for score in scores]

    assert (kept("1.0") == kept("2.0")) is are_kept
