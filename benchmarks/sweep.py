"""Compare a sweep of eight regularization rates with eight fits by the tutorial's estimator.

The sweep is the whole command `snakemake --cores 2 results/model.pkl`, with existing arrays: it
fits each rate on five sixths of the training set, scores it on the rest, and refits the best rate
on all images. The eight fits run one after the other and select nothing; only the seconds of the
fits themselves count. They take a quarter of an hour, so by default they are measured once. Sweeps
run before, between and after them, so that a slow hour slows both. Prints tables and writes
benchmarks/sweep.json.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from fit import measured_fit
from measure import (
    Measurement,
    median,
    memory,
    run,
    save,
    snakemake,
    table,
    target,
    workflow_copy,
)

RATES = (0.01, 0.1, 0.5, 0.8, 1.0, 2.0, 4.0, 10.0)
SWEEP = "sweep, with selection and refit"
FITS = "8 fits by liblinear, n_jobs=1"
HALF = len(RATES) // 2  # the number of fits between two sweeps


def liblinear(rate: float) -> str:
    """Return the name of a fit in the results."""
    return f"liblinear, rate {rate:g}"


def prepare(folder: Path, dataset: str) -> Path:
    """Make a copy of the workflow in which the arrays exist."""
    copy = workflow_copy(folder)
    arrays = [f"results/arrays/{part}-images.npy" for part in ("train", "test")]
    run(snakemake("--cores", "1", *arrays, dataset=dataset), copy)
    return copy


def delete_training(folder: Path) -> None:
    """Delete all results but the downloads, the arrays, and their records."""
    for path in (folder / "results").iterdir():
        if path.name not in ("raw", "arrays", "records"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for record in (folder / "results/records").iterdir():
        if not record.name.startswith(("download_", "parse_")):
            record.unlink()


def measured_sweep(folder: Path, dataset: str) -> Measurement:
    """Run a sweep in a copy of the workflow, without kept scores of earlier sweeps."""
    delete_training(folder)
    rates = f"[{','.join(map(str, RATES))}]"
    config = {"dataset": dataset, "solver": "newton", "regularization": rates}
    measured = run(snakemake("--cores", "2", "results/model.pkl", **config), folder, watch=True)
    print(f"sweep: {measured.seconds:.1f} s", file=sys.stderr, flush=True)
    return measured


def seconds_of_fits(log: str) -> list[tuple[str, float]]:
    """Return the name and the seconds of each fit in the log of a training.

    The last step of a fit has its seconds. The next line of a step begins with step 0.
    """
    steps = re.findall(r"(rate \S+), step (\d+): .* (\S+) s$", log, re.M)
    next_steps = [step for _, step, _ in steps[1:]] + ["0"]
    return [
        (rate, float(seconds))
        for (rate, _, seconds), next_step in zip(steps, next_steps, strict=True)
        if next_step == "0"
    ]


def measure(folder: Path, dataset: str, repetitions: int) -> tuple[dict, list]:
    """Measure the fits with sweeps between them.

    Returns
    -------
    measured : dict of list of Measurement
    seconds : list
        For each sweep, the result of :func:`seconds_of_fits`.
    """
    measured = {SWEEP: []} | {liblinear(rate): [] for rate in RATES}
    seconds = []

    def sweep():
        measured[SWEEP].append(measured_sweep(folder, dataset))
        log = (folder / "results/logs/train.log").read_text(encoding="utf-8")
        seconds.append(seconds_of_fits(log))

    sweep()
    for _ in range(repetitions):
        for rates in (RATES[:HALF], RATES[HALF:]):
            for rate in rates:
                model = folder / "tutorial.pkl"
                fit = measured_fit(folder / "results/arrays", "tutorial", rate, 1, model)
                measured[liblinear(rate)].append(fit)
                print(f"{liblinear(rate)}: {fit.seconds:.1f} s", file=sys.stderr, flush=True)
            sweep()
    return measured, seconds


def show(measured: dict[str, list[Measurement]], repetitions: int) -> tuple[float, float]:
    """Print the table; return the seconds of the eight fits, and how many sweeps they equal."""
    sweeps = measured[SWEEP]
    eight_fits = sum(median(measured[liblinear(rate)]) for rate in RATES)
    peak = max(memory(measured[liblinear(rate)]) for rate in RATES)
    ratio = eight_fits / median(sweeps)
    table(
        ["eight rates", "runs", "seconds", "times as fast", "peak MiB"],
        [
            [FITS, str(repetitions), f"{eight_fits:.1f}", "1.0", f"{peak:.0f}"],
            [
                SWEEP,
                str(len(sweeps)),
                f"{median(sweeps):.1f}",
                f"{ratio:.1f}",
                f"{memory(sweeps):.0f}",
            ],
        ],
    )
    return eight_fits, ratio


def show_last_sweep(measured: Measurement, fits: list[tuple[str, float]], best: float) -> None:
    """Print the seconds of each fit of the last sweep."""
    print(f"Seconds of each fit of the last sweep; the best rate was {best:g}")
    rest = measured.seconds - sum(seconds for _, seconds in fits)
    table(
        ["fit", "seconds"],
        [
            *([fit, f"{seconds:.1f}"] for fit, seconds in fits),
            ["rest: start of Snakemake and Python, scores", f"{rest:.1f}"],
        ],
    )


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = prepare(Path(temporary, "copy"), options.dataset)
        measured, seconds = measure(folder, options.dataset, options.repetitions)
        chosen = json.loads((folder / "results/sweep.json").read_text(encoding="utf-8"))
    eight_fits, ratio = show(measured, options.repetitions)
    show_last_sweep(measured[SWEEP][-1], seconds[-1], chosen["regularization_rate"])
    save(
        "sweep",
        measured,
        seconds_of_eight_fits=eight_fits,
        times_as_fast=ratio,
        seconds_of_fits=seconds,
        chosen=chosen,
        targets=[target("sweep of 8 rates, times as fast as 8 fits", ratio, 30)],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="sweep.py", description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="use digits for a quick try")
    parser.add_argument("--repetitions", type=int, default=1, help="of the eight fits")
    main(parser.parse_args())
