"""Describe the machine that trains a model.

A model of the solver newton has the same bytes on every processor. Models of other solvers depend
on the machine.
"""

import platform
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info


def machine() -> dict:
    """Return the processor, and the code paths that BLAS and NumPy use on it in this process.

    Returns
    -------
    dict
        ``processor`` (its model name), ``blas`` (each BLAS library in use, with its version and
        kernels), and ``numpy_simd`` (the SIMD features that NumPy uses beyond its baseline).
    """
    blas = {
        f"{found['internal_api']} {found['version']} {found.get('architecture', '')}".strip()
        for found in threadpool_info()
        if found["user_api"] == "blas"
    }
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "processor": processor(),
        "blas": sorted(blas),
        "numpy_simd": simd.get("found", []),
    }


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model name as Linux reports it, otherwise as Python reports it."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
