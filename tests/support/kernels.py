"""List the processors that this one can imitate, by the variables of OpenBLAS and NumPy.

``OPENBLAS_CORETYPE`` chooses the kernels that multiply matrices. ``NPY_DISABLE_CPU_FEATURES``
disables instructions in NumPy's own loops. A processor can run only the kernels of older ones.
"""

import numpy  # noqa: F401  threadpoolctl describes the BLAS library that NumPy loads
import threadpoolctl

try:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
except ImportError:  # NumPy 1
    from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__

#: The CPU features that each kernel needs, from the oldest kernel to the newest. Only kernels that
#: differ in NumPy's wheels are listed: Zen uses Haswell's kernels, and Cooperlake and Sapphire
#: Rapids use SkylakeX's.
KERNELS = {
    "Prescott": ("SSE3",),
    "Nehalem": ("SSE42",),
    "Sandybridge": ("AVX",),
    "Haswell": ("AVX2", "FMA3"),
    "SkylakeX": ("AVX512_SKX",),
}


def names() -> list[str]:
    """Return the kernels that this processor can run, the oldest first; none except on x86."""
    in_use = {library.get("architecture") for library in threadpoolctl.threadpool_info()}
    if in_use <= {None} or not __cpu_features__.get("SSE3"):
        return []
    return [name for name, needed in KERNELS.items() if all(map(__cpu_features__.get, needed))]


def simd_levels() -> dict[str, str]:
    """Return a value of NPY_DISABLE_CPU_FEATURES for each level of SIMD code, the highest first."""
    # NumPy warns if other features are to be disabled.
    optional = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    avx512 = [name for name in optional if name.startswith("AVX512")]
    levels = {"no AVX-512": avx512, "no SIMD": optional}
    return {"all SIMD": ""} | {level: " ".join(off) for level, off in levels.items() if off}


def environments() -> dict[str, dict[str, str]]:
    """Return the variables of each processor, by its name, such as "Haswell, no AVX-512".

    Each kernel is combined with all SIMD code. The oldest and the newest kernel are also combined
    with the lower levels.
    """
    kernels = names()
    return {
        f"{kernel}, {level}": {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": disabled}
        for level, disabled in simd_levels().items()
        for kernel in (
            kernels if level == "all SIMD" else dict.fromkeys(kernels[:1] + kernels[-1:])
        )
    }
