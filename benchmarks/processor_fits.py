"""Fit under the BLAS kernels that the environment chooses, and save the coefficients.

Saves the coefficients of the models before rounding, with their grids, and the coefficients of the
sweep's candidates, which are not rounded. benchmarks/processors.py compares them.
"""

import argparse
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import threadpoolctl

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from image_workflow.lineage.results import RATE
from image_workflow.models.estimator import weights
from image_workflow.models.settings import LOGISTIC_REGRESSION, TrainingSettings
from image_workflow.models.solvers import fit_newton
from image_workflow.models.sweep import candidate_fit, held_out
from image_workflow.newton import estimator
from image_workflow.newton.rounding import rounded

SEED, FRACTION = 42, 0.16667


def fit_before_rounding(images, labels, rate: float, threads: int) -> dict[str, np.ndarray]:
    """Fit, and return the weights (k, d) before rounding, the grid (k,), and the seconds."""
    kept = {}

    def keep_and_round(W, grid):
        kept.update(weights=W.copy(), grid=grid.copy())
        return rounded(W, grid)

    with mock.patch.object(estimator, "rounded", keep_and_round):
        start = time.perf_counter()
        fit_newton(images, labels, rate, SEED, threads)
        kept["seconds"] = time.perf_counter() - start
    return kept


def fit_candidates(images, labels, mask, rates: list[float], threads: int) -> dict:
    """Fit the sweep's candidates, and return their weights (k, d) by rate."""
    settings = TrainingSettings(
        LOGISTIC_REGRESSION, {RATE: sorted(rates)}, FRACTION, "newton", SEED
    )
    fit = candidate_fit((images[~mask], labels[~mask]), settings.points(), settings, threads)
    return {point[RATE]: np.column_stack(weights(fit(point))) for point in settings.points()}


def main(options: argparse.Namespace) -> None:
    images = np.load(options.data_folder / "train-images.npy", mmap_mode="r")
    labels = np.load(options.data_folder / "train-labels.npy")
    threads, arrays = options.threads, {}
    for rate in options.rates:
        fit = fit_before_rounding(images, labels, rate, threads)
        arrays |= {f"{name} {rate:g}": value for name, value in fit.items()}
    if options.sweep_rates:
        mask = held_out(labels, FRACTION, SEED)
        candidates = fit_candidates(images, labels, mask, options.sweep_rates, threads)
        arrays |= {f"candidate {rate:g}": W for rate, W in candidates.items()}
        arrays["held out"] = mask
    kernels = {library.get("architecture", "") for library in threadpoolctl.threadpool_info()}
    np.savez(options.output, kernels=sorted(kernels), **arrays)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="processor_fits.py", description=__doc__)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument("--rates", type=float, nargs="+", required=True, help="of the models")
    parser.add_argument(
        "--sweep-rates", type=float, nargs="*", default=[], help="of the sweep's candidates"
    )
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the .npz to write")
    main(parser.parse_args())
