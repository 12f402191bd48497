"""Fit under the BLAS kernels that the environment names, and save the coefficients.

Those of the rates are saved as they are before rounding, with the grids; the sweep's candidates,
which are not rounded, as they are. Nothing is compared here: whoever started this does it.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import threadpoolctl

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from lib import sweep
from lib.model import weights
from lib.newton import estimator
from lib.solvers import fit_newton

SEED, FRACTION = 42, 0.16667


def fit_before_rounding(images, labels, rate: float, threads: int) -> dict[str, np.ndarray]:
    """Return the coefficients (k, d) before rounding, the grids (k,), and the fit's seconds."""
    found, rounded = {}, estimator.rounded

    def keeping(W, grid):
        found.update(weights=W.copy(), grid=grid.copy())
        return rounded(W, grid)

    estimator.rounded = keeping
    try:
        start = time.perf_counter()
        fit_newton(images, labels, rate, SEED, threads)
        found["seconds"] = time.perf_counter() - start
    finally:
        estimator.rounded = rounded
    return found


def candidates(images, labels, rates: list[float], threads: int) -> dict[float, np.ndarray]:
    """Return the coefficients (k, d) of the sweep's candidates, by their rate."""
    found = {}

    def keeping(images, labels, rate, *arguments, **options):
        model = fit_newton(images, labels, rate, *arguments, **options)
        found[rate] = np.column_stack(weights(model))
        return model

    sweep.SOLVERS = {"newton": keeping}
    nothing_kept = sweep.Candidates(None)
    sweep.sweep(images, labels, rates, FRACTION, "newton", SEED, threads, nothing_kept)
    return found


def main(options: argparse.Namespace) -> None:
    images = np.load(options.data_folder / "train-images.npy", mmap_mode="r")
    labels = np.load(options.data_folder / "train-labels.npy")
    threads, saved = options.threads, {}
    for rate in options.rates:
        found = fit_before_rounding(images, labels, rate, threads)
        saved |= {f"{name} {rate:g}": value for name, value in found.items()}
    if options.sweep_rates:
        found = candidates(images, labels, options.sweep_rates, threads)
        saved |= {f"candidate {rate:g}": W for rate, W in found.items()}
        saved["held out"] = sweep.held_out(labels, FRACTION, SEED)
    kernels = {library.get("architecture", "") for library in threadpoolctl.threadpool_info()}
    np.savez(options.output, kernels=sorted(kernels), **saved)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="processor_fits.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", required=True)
    parser.add_argument("--sweep-rates", type=float, nargs="*", default=[])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the .npz to write")
    main(parser.parse_args())
