"""Compare fits of the same objective: ours, the tutorial's estimator, scikit-learn's alternatives.

Each fit has a process of its own, which loads the arrays that the workflow has made. Seconds are
those of the fit alone; the peak memory is the whole process's, data included. At the middle rate
everybody is measured in each repetition; at the other rates the tutorial's estimator is measured
once, and so are the alternatives, since it all takes minutes. Prints tables, writes
benchmarks/fit.json.
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
THREADS = "1 thread", "2 threads"
# Estimators by their name in the table: what one_fit.py calls them, and how many threads they get.
MAIN = {
    "liblinear, n_jobs=1, as in the tutorial": ("tutorial", 1),
    "liblinear, n_jobs=2": ("tutorial", 2),
    "ours, 1 thread": ("ours", 1),
    "ours, 2 threads": ("ours", 2),
}
ALTERNATIVES = {
    f"{solver}, float32, 2 threads": (solver, 2)
    for solver in ("newton-cholesky", "lbfgs", "newton-cg")
}


def measured_fit(folder: Path, estimator: str, rate: float, threads: int, output: Path):
    """Fit in a process of its own; the measurement's seconds are those of the fit alone."""
    command = [sys.executable, str(BENCHMARKS / "one_fit.py"), "--estimator", estimator]
    command += ["--data-folder", str(folder), "--regularization", str(rate)]
    command += ["--threads", str(threads), "--output", str(output)]
    measured = run(command, watch=True)
    return dataclasses.replace(measured, seconds=json.loads(measured.output)["seconds"])


def objective(model, images, labels, rate: float) -> float:
    """Return what liblinear minimises, summed over the classes; the intercept is penalised too."""
    import numpy as np

    from lib.model import BLOCK, features, weights

    coefficients, intercepts = weights(model)
    total = ((coefficients**2).sum() + (intercepts**2).sum()) / 2
    for at in range(0, len(images), BLOCK):
        here = slice(at, at + BLOCK)
        sign = np.where(labels[here, np.newaxis] == model.classes_, 1.0, -1.0)
        margin = sign * (features(images[here]) @ coefficients.T + intercepts)
        total += np.logaddexp(0, -margin).sum() / rate
    return float(total)


def quality(folder: Path, files: dict[str, Path], rates: dict[str, float]) -> dict[str, dict]:
    """Return objective and test accuracy of each saved model."""
    import joblib
    import numpy as np

    sys.path.append(str(SCRIPTS))
    from lib.model import predict

    images, labels, test_images, test_labels = (
        np.load(folder / f"{part}.npy", mmap_mode="r")
        for part in ("train-images", "train-labels", "test-images", "test-labels")
    )
    models = {name: joblib.load(file) for name, file in files.items()}
    return {
        name: {
            "objective": objective(model, images, labels, rates[name]),
            "accuracy": float(np.mean(predict(model, test_images) == test_labels)),
        }
        for name, model in models.items()
    }


def show_stages(folder: Path) -> dict:
    """Print and return where our fit's seconds go, and the floor of its products."""
    command = [sys.executable, str(BENCHMARKS / "fit_stages.py"), "--data-folder", str(folder)]
    command += ["--regularization", str(MIDDLE), "--threads", "2"]
    found = json.loads(run(command).output)
    print(f"Where the seconds of our fit go (rate {MIDDLE}, 2 threads, one more fit)")
    table(
        ["stage", "calls", "seconds"],
        (
            [text, str(stage["calls"]), f"{stage['seconds']:.2f}"]
            for text, stage in found["stages"].items()
        ),
    )
    floor = found["floor"]
    print(
        f"The floor of its passes: {floor['gflop']:.0f} GFLOP, which one large product of matrices "
        f"does at {floor['gflop_per_second']:.0f} GFLOP/s: {floor['seconds']:.2f} s."
    )
    return found


def main(options: argparse.Namespace) -> None:
    folder = options.data_folder.absolute()
    with tempfile.TemporaryDirectory() as temporary:
        contestants, files, rates, once = {}, {}, {}, set()
        for rate in options.rates:
            for name, (estimator, threads) in (
                MAIN | (ALTERNATIVES if rate == MIDDLE else {})
            ).items():
                key = f"{rate:g}: {name}"
                files[key], rates[key] = Path(temporary, f"{len(files)}.pkl"), rate
                contestants[key] = functools.partial(
                    measured_fit, folder, estimator, rate, threads, files[key]
                )
                if estimator != "ours" and (rate != MIDDLE or name in ALTERNATIVES):
                    once.add(key)
        measured = alternate(contestants, options.repetitions, once)
        # Not before: it takes memory.
        qualities = quality(folder, files, rates)
        threads_agree = {
            f"{rate:g}": len({files[f"{rate:g}: ours, {n}"].read_bytes() for n in THREADS}) == 1
            for rate in options.rates
        }
    ratios = show(options.rates, measured, qualities)
    print("The same bytes with 1 thread and 2, by rate:", threads_agree)
    stages = show_stages(folder)
    middle = f"{MIDDLE:g}: "
    tutorial, ours = (middle + name for name in (next(iter(MAIN)), "ours, 2 threads"))
    targets = [
        target("fit at rate 0.5, 2 threads, times as fast as the tutorial", ratios[ours], 18),
        target(
            "its objective less the tutorial's",
            qualities[ours]["objective"] - qualities[tutorial]["objective"],
            0,
            most=True,
        ),
    ]
    save(
        "fit",
        measured,
        times_as_fast=ratios,
        quality=qualities,
        same_bytes_with_1_and_2_threads=threads_agree,
        stages=stages,
        targets=targets,
    )


def show(
    rates: list[float], measured: dict[str, list[Measurement]], qualities: dict[str, dict]
) -> dict[str, float]:
    """Print the table; return how many times as fast as the tutorial's estimator each is."""
    ratios = {}
    for rate in rates:
        here = {key: those for key, those in measured.items() if key.startswith(f"{rate:g}: ")}
        base = median(next(iter(here.values())))
        ratios |= {key: base / median(those) for key, those in here.items()}
    head = ["rate: estimator", "fits", "seconds", "times as fast", "peak MiB"]
    head += ["objective", "accuracy"]
    table(
        head,
        (
            [
                key,
                str(len(those)),
                f"{median(those):.2f}",
                f"{ratios[key]:.1f}",
                f"{memory(those):.0f}",
                f"{qualities[key]['objective']:.3f}",
                f"{qualities[key]['accuracy']:.4f}",
            ]
            for key, those in measured.items()
        ),
    )
    return ratios


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fit.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/arrays")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=RATES, help=f"{MIDDLE} among them"
    )
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
