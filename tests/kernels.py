"""The processors that this one can pass for, by the variables that OpenBLAS and NumPy read.

``OPENBLAS_CORETYPE`` names the kernels by which matrices are multiplied, and
``NPY_DISABLE_CPU_FEATURES`` the instructions that NumPy's own loops are not to use. A processor
would crash with kernels that are made for a newer one.
"""

import numpy  # noqa: F401  threadpoolctl asks the library that it loads
import threadpoolctl

try:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
except ImportError:  # NumPy 1
    from numpy.core._multiarray_umath import __cpu_dispatch__, __cpu_features__

#: What a processor must have, by kernels that differ in NumPy's wheels, the oldest first. Zen's are
#: those of Haswell, and those of Cooperlake and Sapphire Rapids those of SkylakeX.
KERNELS = {
    "Prescott": ("SSE3",),
    "Nehalem": ("SSE42",),
    "Sandybridge": ("AVX",),
    "Haswell": ("AVX2", "FMA3"),
    "SkylakeX": ("AVX512_SKX",),
}


def names() -> list[str]:
    """Return the kernels that this processor can run, the oldest first; none if not on x86."""
    chosen = {library.get("architecture") for library in threadpoolctl.threadpool_info()}
    if chosen <= {None} or not __cpu_features__.get("SSE3"):
        return []
    return [name for name, needed in KERNELS.items() if all(map(__cpu_features__.get, needed))]


def simd_levels() -> dict[str, str]:
    """Return what NPY_DISABLE_CPU_FEATURES is to be, by a level's name, the highest first."""
    # NumPy complains about others.
    can_be_off = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    avx512 = [name for name in can_be_off if name.startswith("AVX512")]
    levels = {"no AVX-512": avx512, "no SIMD": can_be_off}
    return {"all SIMD": ""} | {name: " ".join(off) for name, off in levels.items() if off}


def environments() -> dict[str, dict[str, str]]:
    """Return each processor's variables by its name, such as "Haswell, no AVX-512".

    Every kernel comes with all SIMD instructions, and the oldest and the newest with fewer as well.
    """
    found, levels = names(), simd_levels()
    return {
        f"{kernel}, {level}": {"OPENBLAS_CORETYPE": kernel, "NPY_DISABLE_CPU_FEATURES": off}
        for level, off in levels.items()
        for kernel in (found if level == "all SIMD" else dict.fromkeys(found[:1] + found[-1:]))
    }
