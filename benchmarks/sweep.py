"""Compare a sweep of eight regularization rates with eight fits by the tutorial's estimator.

A sweep is all of `snakemake --cores 2 results/model.pkl` from the arrays on: it fits each rate on
five sixths of the training set, measures it on the rest, and fits the best rate anew on everything.
The eight fits, one after the other, select nothing, and only the seconds of the fits themselves
count. They take a quarter of an hour: by default they are measured once, with sweeps before, amid
and after them, so that a slow hour hits both. Prints tables, writes benchmarks/sweep.json.
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
# How many of the eight fits run between two sweeps.
HALF = len(RATES) // 2


def measured_sweep(folder: Path, dataset: str) -> Measurement:
    """Run a sweep in a copy of the workflow in which only downloads and arrays are there."""
    for path in (folder / "results").iterdir():
        if path.name not in ("raw", "arrays"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    rates = f"[{','.join(map(str, RATES))}]"
    config = {"dataset": dataset, "solver": "newton", "regularization": rates}
    return run(snakemake("--cores", "2", "results/model.pkl", **config), folder, watch=True)


def main(options: argparse.Namespace) -> None:
    sweeps, fits, details = [], [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = workflow_copy(Path(temporary, "copy"))
        arrays = [f"results/arrays/{part}-images.npy" for part in ("train", "test")]
        run(snakemake("--cores", "1", *arrays, dataset=options.dataset), folder)

        def sweep():
            sweeps.append(measured_sweep(folder, options.dataset))
            print(f"sweep: {sweeps[-1].seconds:.1f} s", file=sys.stderr, flush=True)
            log = (folder / "results/logs/train.log").read_text(encoding="utf-8")
            details.append(seconds_of_fits(log))

        sweep()
        for _ in range(options.repetitions):
            repetition = {}
            for rates in (RATES[:HALF], RATES[HALF:]):
                for rate in rates:
                    given = "tutorial", rate, 1, folder / "tutorial.pkl"
                    repetition[rate] = measured_fit(folder / "results/arrays", *given)
                    print(f"liblinear, {rate:g}: {repetition[rate].seconds:.1f} s", file=sys.stderr)
                sweep()
            fits.append(repetition)
        chosen = json.loads((folder / "results/sweep.json").read_text(encoding="utf-8"))
    measured = {SWEEP: sweeps}
    measured |= {f"liblinear, rate {rate:g}": [each[rate] for each in fits] for rate in RATES}
    eight = sum(median(measured[f"liblinear, rate {rate:g}"]) for rate in RATES)
    ratio = eight / median(sweeps)
    peak = max(memory(those) for name, those in measured.items() if name != SWEEP)
    table(
        ["eight rates", "runs", "seconds", "times as fast", "peak MiB"],
        [
            [FITS, str(options.repetitions), f"{eight:.1f}", "1.0", f"{peak:.0f}"],
            [
                SWEEP,
                str(len(sweeps)),
                f"{median(sweeps):.1f}",
                f"{ratio:.1f}",
                f"{memory(sweeps):.0f}",
            ],
        ],
    )
    print(
        "Where the seconds of the last sweep go; the best rate was", chosen["regularization_rate"]
    )
    rest = sweeps[-1].seconds - sum(seconds for _, seconds in details[-1])
    table(
        ["fit", "seconds"],
        [
            *([fit, f"{seconds:.1f}"] for fit, seconds in details[-1]),
            ["the rest: starting Snakemake and Python, scoring", f"{rest:.1f}"],
        ],
    )
    found = target("sweep of 8 rates, times as fast as 8 fits", ratio, 30)
    save(
        "sweep",
        measured,
        seconds_of_eight_fits=eight,
        times_as_fast=ratio,
        seconds_of_fits=details,
        chosen=chosen,
        targets=[found],
    )


def seconds_of_fits(log: str) -> list[tuple[str, float]]:
    """Return each fit of a training's log with its seconds: the last that its steps name."""
    steps = re.findall(r"(rate \S+), step (\d+): .* (\S+) s$", log, re.M)
    following = [step for _, step, _ in steps[1:]] + ["0"]
    return [
        (rate, float(seconds))
        for (rate, _, seconds), after in zip(steps, following, strict=True)
        if after == "0"
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="sweep.py", description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="digits, for a quick look")
    parser.add_argument("--repetitions", type=int, default=1, help="of the eight fits")
    main(parser.parse_args())
