"""The configuration's extra_packages: what runs again, and which environments the rules have."""

import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from checkout import Checkout
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import Training

MODEL = """
import packaging
from sklearn.naive_bayes import GaussianNB

def build():
    return GaussianNB()
"""
OWN = {"dataset": "digits", "estimator": "my_model.py:build"}
RESULT = "results/metrics.json"
# A package that Snakemake needs, and the model's rules do not.
PIN = f"packaging=={version('packaging')}"
CONDA = """#!/bin/sh
case "$1" in
  info) echo '{"conda_prefix": "/conda", "root_prefix": "/conda", "platform": "linux-64"}' ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
  --version) echo "conda 24.9.2" ;;
esac
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a model that needs another package. Tests must not change the results."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("trained"))
    (checkout.path / "my_model.py").write_text(MODEL)
    (checkout.path / "mine.txt").write_text(f"{PIN}\n")
    checkout.finish(RESULT, extra_packages="mine.txt", **OWN)
    return checkout


def planned(checkout: Checkout, file: str, content: str) -> dict[str, int]:
    """Return the jobs of a dry run with these extra packages."""
    (checkout.path / file).write_text(content)
    return checkout.planned(RESULT, extra_packages=file, **OWN)


def environments(checkout: Checkout, **config) -> dict[str, Path]:
    """Return the file that each program gets as --environment."""
    said = checkout.finish("-n", "-p", "-F", **config).stdout
    found = re.findall(r"/(\w+\.py) .*? --environment (\S+)", said)
    return {program: Path(file) for program, file in found}


def test_the_training_lists_the_package(trained: Checkout):
    environment = Training.read(trained.path / "results/training.json").environment
    assert environment["packaging"] == version("packaging")
    assert environment["numpy"] == version("numpy")


def test_only_a_changed_pin_trains_again(trained: Checkout):
    assert planned(trained, "other.txt", f"# mine\n{PIN}  # comment\n") == {}
    more = f"{PIN}\nattrs=={version('attrs')}\n"
    assert planned(trained, "other.txt", more) == {"train": 1, "evaluate": 1}


def test_the_cloud_and_the_registry_get_the_package(trained: Checkout):
    before = environments(trained, **OWN)
    found = environments(trained, extra_packages="mine.txt", **OWN)
    for program, base in {"train.py": "azureml", "register.py": "train"}.items():
        own = trained.path / f"workflow/envs/{base}.yaml"
        expected = pinned_versions(own) | {"packaging": version("packaging")}
        assert pinned_versions(found[program]) == expected
        assert before[program] == own


def test_a_package_that_is_not_installed_is_reported_with_the_command(trained: Checkout):
    (trained.path / "other.txt").write_text("no-such-package==1.0\n")
    ended = trained.snakemake("-n", RESULT, extra_packages="other.txt", **OWN)
    assert ended.returncode != 0
    output = ended.stdout + ended.stderr
    assert "other.txt needs no-such-package==1.0 (not installed). Install what is" in output
    assert "Traceback" not in output


def test_conda_gets_the_package_for_the_rules_that_load_the_model(
    trained: Checkout, tmp_path: Path
):
    """Check the environments' files. conda itself is not called, only asked for its version."""
    conda = tmp_path / "conda"
    conda.write_text(CONDA)
    conda.chmod(0o755)
    (trained.path / "other.yaml").write_text("dependencies: [no-such-package=1.0]\n")
    trained.environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    options = "-n", "-F", "--sdm", "conda"
    missing = {"estimator": "no_such_package.Classifier", "extra_packages": "other.yaml"}
    said = trained.finish(*options, **OWN | missing)
    trained.environment = {}
    names = re.findall(r"Conda environment (\S+) will be created", said.stdout + said.stderr)
    merged = sorted(Path(name).name.split("-")[0] for name in names if "workflow/envs" not in name)
    assert merged == ["pictures", "register", "train"]
