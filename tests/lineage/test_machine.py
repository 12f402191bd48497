"""Test the description of the machine that trains a model: lineage/machine.py."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.lineage.machine import machine, processor


def machine_with(**variables: str) -> dict:
    """Return the description by a process with these environment variables."""
    code = (
        "import json, scipy.linalg; from image_workflow.lineage.machine import machine;"
        "print(json.dumps(machine()))"
    )
    environment = os.environ | {"PYTHONPATH": str(TOP / "workflow/scripts")} | variables
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


def test_machine_has_a_processor_and_blas_libraries():
    found = machine()
    assert found["processor"]
    assert all(isinstance(name, str) for name in found["blas"])
    assert found["blas"] == sorted(set(found["blas"]))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="Nehalem's kernels are for x86-64")
def test_machine_names_the_kernels_in_use():
    blas = machine_with(OPENBLAS_CORETYPE="Nehalem")["blas"]
    assert all(name.endswith(" Nehalem") for name in blas if name.startswith("openblas"))


def test_machine_names_the_simd_features_in_use():
    features = machine()["numpy_simd"]
    if features:
        fewer = machine_with(NPY_DISABLE_CPU_FEATURES=features[-1])
        assert fewer["numpy_simd"] == features[:-1]


def test_processor_has_a_name_even_without_cpuinfo(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Example CPU @ 2.0 GHz\n")
    assert processor(cpuinfo) == "Example CPU @ 2.0 GHz"
    assert processor(tmp_path / "missing")
