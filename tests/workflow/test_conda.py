"""The environments for `snakemake --sdm conda`.

Conda is not needed here: a program cannot import what its environment would not have. That the
environments pin the locked versions is tested in tests/tools/test_lock_files.py.
"""

import importlib.metadata
import json
import re

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from checkout import TOP, Checkout
from image_workflow.lineage.pins import pinned_packages
from samples import labelled_images

RULES = "\n".join(path.read_text() for path in sorted((TOP / "workflow/rules").glob("*.smk")))
# Runs at the start of each Python. Optional dependencies are missing as well.
PATCH = """
import json, sys
from pathlib import Path

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

hidden = json.loads(Path(__file__).with_name("hidden.json").read_text())
programs = [Path(word).stem for word in sys.orig_argv[1:] if word.endswith(".py")]
if programs and programs[0] in hidden:
    Hidden.names = hidden[programs[0]]
    sys.meta_path.insert(0, Hidden())
"""


def environments() -> dict[str, str]:
    """Return the environment of each rule that has one. A rule's program has the rule's name."""
    rules = re.split(r"^ *rule (\w+):$", RULES, flags=re.M)[1:]
    found = zip(rules[::2], rules[1::2], strict=True)
    names = {rule: re.search(r"\.\./envs/(\w+\.yaml)", text) for rule, text in found}
    return {rule: name[1] for rule, name in names.items() if name}


def with_dependencies(packages: list[str]) -> set[str]:
    """Return the names of packages, and of all packages that they need."""
    found, left = set(), [Requirement(package) for package in packages]
    while left:
        one = left.pop()
        if (name := canonicalize_name(one.name)) not in found:
            found.add(name)
            for text in importlib.metadata.requires(name) or []:
                each = Requirement(text)
                if each.marker is None or each.marker.evaluate({"extra": ""}):
                    left.append(each)
    return found


def hidden_modules(environment: str) -> list[str]:
    """Return the installed modules that this environment does not have."""
    pins = pinned_packages(TOP / "workflow/envs" / environment)
    # conda's Python has pip and setuptools.
    there = with_dependencies(list(pins)) | {"pip", "setuptools"}
    modules = importlib.metadata.packages_distributions().items()
    return [
        name
        for name, packages in modules
        if there.isdisjoint(canonicalize_name(package) for package in packages)
    ]


@pytest.fixture
def limited(checkout: Checkout) -> Checkout:
    """A checkout in which each program has only the packages of its environment."""
    hidden = {rule: hidden_modules(environment) for rule, environment in environments().items()}
    assert "mlflow" in hidden["train"] and "mlflow" not in hidden["register"]
    (checkout.path / "hidden.json").write_text(json.dumps(hidden))
    return checkout


def finish(checkout: Checkout, *arguments: str, **config) -> None:
    """Run snakemake to its end with the packages hidden."""
    ended = checkout.snakemake_with_patch(PATCH, *arguments, **config)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_rule_has_an_environment_or_runs_on_this_machine():
    rules = set(re.findall(r"^ *rule (\w+):$", RULES, re.M))
    others = rules - environments().keys()
    assert others == {name for name in others if name.startswith("azureml_")} | {"report"}


def test_each_program_needs_only_the_packages_of_its_environment(
    limited: Checkout, digits_run: Checkout
):
    images = digits_run.path / "results/arrays/test-images.npy"
    (limited.path / "pictures.npy").write_bytes(images.read_bytes())
    digits = {"dataset": "digits", "predict": "pictures.npy"}
    finish(limited, "all", "results/report.html", "results/predictions.csv", **digits)
    finish(limited, "verify", **digits)
    name = "results/model.pkl"
    assert (limited.path / name).read_bytes() == (digits_run.path / name).read_bytes()


@pytest.mark.parametrize("suffix", ["png", "csv"])
def test_the_conversion_needs_only_the_packages_of_its_environment(limited: Checkout, suffix: str):
    """Pictures need Pillow, and tables need pandas."""
    images, labels = labelled_images(20, 5, 5, classes=[0, 1])
    if suffix == "csv":
        header = ",".join(["label", *(f"pixel{number}" for number in range(25))])
        rows = np.column_stack([labels, images.reshape(20, 25)])
        np.savetxt(limited.path / "own.csv", rows, "%d", ",", header=header, comments="")
        config = {"dataset": "own.csv"}
    else:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            (limited.path / f"own/{label}").mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(limited.path / f"own/{label}/{number}.png")
        config = {"dataset": "own"}
    finish(limited, "results/dataset.json", **config)


def test_a_package_that_is_missing_in_an_environment_is_noticed(limited: Checkout):
    hidden = json.loads((limited.path / "hidden.json").read_text())
    hidden["parse"].append("numpy")
    (limited.path / "hidden.json").write_text(json.dumps(hidden))
    ended = limited.snakemake_with_patch(PATCH, "results/dataset.json", dataset="digits")
    assert ended.returncode == 1
    assert "No module named 'numpy'" in ended.stdout + ended.stderr
