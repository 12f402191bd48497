"""What is recorded of the machine that trains."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lib.machine import machine, processor

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


def machine_with(**variables: str) -> dict:
    """Return the record of a process with these environment variables."""
    code = (
        "import json, scipy.linalg; from lib.machine import machine; print(json.dumps(machine()))"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)} | variables
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


def test_it_names_the_processor_and_what_was_chosen_for_it():
    found = machine()
    assert found["processor"]
    assert all(isinstance(name, str) for name in found["blas"])
    assert found["blas"] == sorted(set(found["blas"]))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Nehalem's kernels are for x86-64")
def test_it_tells_the_kernels_in_use():
    blas = machine_with(OPENBLAS_CORETYPE="Nehalem")["blas"]
    assert all(name.endswith(" Nehalem") for name in blas if name.startswith("openblas"))


def test_it_tells_the_simd_features_in_use():
    features = machine()["numpy_simd"]
    if features:
        fewer = machine_with(NPY_DISABLE_CPU_FEATURES=features[-1])
        assert fewer["numpy_simd"] == features[:-1]


def test_a_processor_without_a_name_has_pythons(tmp_path: Path):
    named = tmp_path / "cpuinfo"
    named.write_text("processor\t: 0\nmodel name\t: Example CPU @ 2.0 GHz\n")
    assert processor(named) == "Example CPU @ 2.0 GHz"
    assert processor(tmp_path / "missing")
