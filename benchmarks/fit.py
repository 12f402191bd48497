"""Compare fits of the same objective: ours, the tutorial's estimator, scikit-learn's alternatives.

Each fit has a process of its own, which loads the arrays of the workflow. The seconds are those of
the fit alone. The peak memory is that of the whole process, including the data. At the middle rate,
our fits and the tutorial's are repeated. To save minutes, the alternatives are measured once, and
only at this rate, and the tutorial's estimator is measured once at each other rate. Prints tables
and writes benchmarks/fit.json.
"""

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
from pathlib import Path

from measure import (
    BENCHMARKS,
    SCRIPTS,
    TOP,
    Measurement,
    alternate,
    median,
    memory,
    run,
    save,
    table,
    target,
)

RATES, MIDDLE = (0.01, 0.5, 10.0), 0.5
# Estimators by their name in the table: their name in one_fit.py, and their number of threads.
TUTORIAL, OURS_1, OURS_2 = (
    "liblinear, n_jobs=1, as in the tutorial",
    "ours, 1 thread",
    "ours, 2 threads",
)
MAIN = {
    TUTORIAL: ("tutorial", 1),
    "liblinear, n_jobs=2": ("tutorial", 2),
    OURS_1: ("ours", 1),
    OURS_2: ("ours", 2),
}
ALTERNATIVES = {
    f"{solver}, float32, 2 threads": (solver, 2)
    for solver in ("newton-cholesky", "lbfgs", "newton-cg")
}


@dataclasses.dataclass(frozen=True)
class Fit:
    """A fit to measure: an estimator at a rate.

    Attributes
    ----------
    name : str
        The estimator's name in the table.
    rate : float
    model : pathlib.Path
        The file that the fit writes.
    """

    name: str
    rate: float
    model: Path

    @property
    def key(self) -> str:
        """The name in the table and in the results."""
        return f"{self.rate:g}: {self.name}"

    @property
    def once(self) -> bool:
        """Whether to measure the fit only once, because it takes long."""
        estimator, _ = (MAIN | ALTERNATIVES)[self.name]
        return estimator != "ours" and (self.rate != MIDDLE or self.name in ALTERNATIVES)


def fits_to_measure(rates: list[float], folder: Path) -> dict[str, Fit]:
    """Return the fits by key. Their models go to ``folder``."""
    fits = {}
    for rate in rates:
        for name in MAIN | (ALTERNATIVES if rate == MIDDLE else {}):
            fit = Fit(name, rate, folder / f"{len(fits)}.pkl")
            fits[fit.key] = fit
    return fits


def measured_fit(folder: Path, estimator: str, rate: float, threads: int, output: Path):
    """Fit in a process of its own; return a measurement with the seconds of the fit alone."""
    command = [sys.executable, str(BENCHMARKS / "one_fit.py"), "--estimator", estimator]
    command += ["--data-folder", str(folder), "--regularization", str(rate)]
    command += ["--threads", str(threads), "--output", str(output)]
    measured = run(command, watch=True)
    return dataclasses.replace(measured, seconds=json.loads(measured.output)["seconds"])


def measure(fits: dict[str, Fit], folder: Path, repetitions: int) -> dict[str, list[Measurement]]:
    """Measure the fits in turn."""
    contestants = {}
    for key, fit in fits.items():
        estimator, threads = (MAIN | ALTERNATIVES)[fit.name]
        contestants[key] = functools.partial(
            measured_fit, folder, estimator, fit.rate, threads, fit.model
        )
    return alternate(contestants, repetitions, [key for key, fit in fits.items() if fit.once])


def objective(model, images, labels, rate: float) -> float:
    """Return liblinear's objective, summed over the classes. It penalises the intercept too."""
    import numpy as np

    from image_workflow.models.estimator import BLOCK, features, weights

    coefficients, intercepts = weights(model)
    total = ((coefficients**2).sum() + (intercepts**2).sum()) / 2
    for first in range(0, len(images), BLOCK):
        block = slice(first, first + BLOCK)
        sign = np.where(labels[block, np.newaxis] == model.classes_, 1.0, -1.0)
        margin = sign * (features(images[block]) @ coefficients.T + intercepts)
        total += np.logaddexp(0, -margin).sum() / rate
    return float(total)


def qualities(fits: dict[str, Fit], folder: Path) -> dict[str, dict]:
    """Return the objective and the test accuracy of each saved model."""
    import joblib
    import numpy as np

    sys.path.append(str(SCRIPTS))
    from image_workflow.models.estimator import predict

    images, labels, test_images, test_labels = (
        np.load(folder / f"{part}.npy", mmap_mode="r")
        for part in ("train-images", "train-labels", "test-images", "test-labels")
    )
    models = {key: joblib.load(fit.model) for key, fit in fits.items()}
    return {
        key: {
            "objective": objective(model, images, labels, fits[key].rate),
            "accuracy": float(np.mean(predict(model, test_images) == test_labels)),
        }
        for key, model in models.items()
    }


def show(
    rates: list[float], measured: dict[str, list[Measurement]], quality: dict[str, dict]
) -> dict[str, float]:
    """Print the table; return how many times as fast as the tutorial's estimator each fit is."""
    ratios = {}
    for rate in rates:
        at_rate = {key: fits for key, fits in measured.items() if key.startswith(f"{rate:g}: ")}
        base = median(at_rate[f"{rate:g}: {TUTORIAL}"])
        ratios |= {key: base / median(fits) for key, fits in at_rate.items()}
    head = ["rate: estimator", "fits", "seconds", "times as fast", "peak MiB"]
    head += ["objective", "accuracy"]
    table(
        head,
        (
            [
                key,
                str(len(fits)),
                f"{median(fits):.2f}",
                f"{ratios[key]:.1f}",
                f"{memory(fits):.0f}",
                f"{quality[key]['objective']:.3f}",
                f"{quality[key]['accuracy']:.4f}",
            ]
            for key, fits in measured.items()
        ),
    )
    return ratios


def show_stages(folder: Path) -> dict:
    """Print and return the seconds of each stage of our fit, and the floor of its products."""
    command = [sys.executable, str(BENCHMARKS / "fit_stages.py"), "--data-folder", str(folder)]
    command += ["--regularization", str(MIDDLE), "--threads", "2"]
    found = json.loads(run(command).output)
    print(f"Seconds of each stage of our fit (rate {MIDDLE}, 2 threads, one more fit)")
    table(
        ["stage", "calls", "seconds"],
        (
            [text, str(stage["calls"]), f"{stage['seconds']:.2f}"]
            for text, stage in found["stages"].items()
        ),
    )
    floor = found["floor"]
    print(
        f"Floor: its passes take {floor['gflop']:.0f} GFLOP. One large product of matrices runs at "
        f"{floor['gflop_per_second']:.0f} GFLOP/s, and would take {floor['seconds']:.2f} s."
    )
    return found


def main(options: argparse.Namespace) -> None:
    folder = options.data_folder.absolute()
    with tempfile.TemporaryDirectory() as temporary:
        fits = fits_to_measure(options.rates, Path(temporary))
        measured = measure(fits, folder, options.repetitions)
        # Only now: a larger process would raise the peak memory of its children.
        quality = qualities(fits, folder)
        same_bytes = {
            f"{rate:g}": fits[f"{rate:g}: {OURS_1}"].model.read_bytes()
            == fits[f"{rate:g}: {OURS_2}"].model.read_bytes()
            for rate in options.rates
        }
    ratios = show(options.rates, measured, quality)
    print("1 thread and 2 threads give the same bytes, by rate:", same_bytes)
    stages = show_stages(folder)
    ours, tutorial = f"{MIDDLE:g}: {OURS_2}", f"{MIDDLE:g}: {TUTORIAL}"
    difference = quality[ours]["objective"] - quality[tutorial]["objective"]
    targets = [
        target("fit at rate 0.5, 2 threads, times as fast as the tutorial", ratios[ours], 18),
        target("its objective minus the tutorial's", difference, 0, most=True),
    ]
    save(
        "fit",
        measured,
        times_as_fast=ratios,
        quality=quality,
        same_bytes_with_1_and_2_threads=same_bytes,
        stages=stages,
        targets=targets,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fit.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/arrays")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help=f"include {MIDDLE}")
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
