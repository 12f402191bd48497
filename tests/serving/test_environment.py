"""The environment of the server has the versions with which the model was measured."""

import pytest
from packaging.requirements import Requirement

from checkout import TOP
from lock import locked_versions

REQUIREMENTS = TOP / "requirements"


@pytest.mark.parametrize("name", ["numpy", "scipy", "scikit-learn", "joblib", "skops", "pillow"])
def test_a_package_that_the_model_needs_has_the_workflows_version(name: str):
    here, there = (
        locked_versions(REQUIREMENTS / lock)[name] for lock in ("local.txt", "serve.txt")
    )
    lines = (REQUIREMENTS / "serve.in").read_text(encoding="utf-8").splitlines()
    required = {Requirement(line).name: line for line in lines if line and line[0] != "#"}
    assert required[name] == f"{name}=={here}" == f"{name}=={there}"
