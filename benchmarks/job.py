"""Compare the whole job: ours, from downloaded files to the receipt, and the tutorial's script.

Ours verifies, parses, previews, trains, measures and registers, in a fresh copy of the workflow
each time; the script loads, previews, trains, measures and saves. On two cores it is run once, for
the bytes of its model. Prints tables, also of the seconds of each of our jobs, and writes
benchmarks/job.json.
"""

import argparse
import functools
import hashlib
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from measure import (
    BENCHMARKS,
    Measurement,
    alternate,
    jobs,
    median,
    run,
    save,
    snakemake,
    table,
    target,
    workflow_copy,
)

TUTORIAL = "the tutorial's script"
OURS = "snakemake --cores 1, the same rate"
ON_TWO = "snakemake --cores 2, the same rate"
DEFAULT = "snakemake --cores 1, as configured"
RATE = {"regularization": 0.5, "solver": "newton"}


def measured_job(template: Path, details: list[dict], cores: int, config: dict) -> Measurement:
    """Run the workflow in a copy of ``template``; add what it made to ``details``."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(template, Path(temporary, "copy")))
        command = snakemake("--cores", str(cores), "results/registered.json", **config)
        measured = run(command, folder)
        details.append(
            {
                "accuracy": json.loads((folder / "results/metrics.json").read_text())["accuracy"],
                "model_sha256": digest(folder / "results/model.pkl"),
                "seconds_of_jobs": {
                    name: seconds
                    for name, seconds in jobs(folder).items()
                    if not name.startswith("download")
                },
            }
        )
    return measured


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def show_jobs(measured: list[Measurement], details: list[dict], name: str) -> None:
    """Print where the seconds of one contestant go."""
    every = [each["seconds_of_jobs"] for each in details]
    rows = {job: statistics.median(each[job] for each in every) for job in every[0]}
    rows["Snakemake itself"] = statistics.median(
        one.seconds - sum(each.values()) for one, each in zip(measured, every, strict=True)
    )
    print(f"Where the seconds go: {name}")
    table(["job", "seconds"], ([job, f"{seconds:.2f}"] for job, seconds in rows.items()))


def main(options: argparse.Namespace) -> None:
    dataset = {"dataset": options.dataset}
    with tempfile.TemporaryDirectory() as temporary:
        template = workflow_copy(Path(temporary, "template"))
        raw = [f"results/raw/{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
        run(snakemake("--cores", "1", *raw, **dataset), template)
        script = [sys.executable, str(BENCHMARKS / "tutorial.py"), "--jobs", "1"]
        script += ["--data-folder", str(template / "results/raw")]
        script += ["--regularization", str(RATE["regularization"])]
        script += ["--output", str(Path(temporary, "tutorial.pkl"))]
        details = {OURS: [], ON_TWO: [], DEFAULT: []}
        settings = {OURS: (1, dataset | RATE), ON_TWO: (2, dataset | RATE), DEFAULT: (1, dataset)}
        contestants = {TUTORIAL: functools.partial(run, script)} | {
            name: functools.partial(measured_job, template, details[name], *settings[name])
            for name in settings
        }
        measured = alternate(contestants, options.repetitions, once={ON_TWO})
    accuracy = {name: details[name][-1]["accuracy"] for name in details}
    accuracy[TUTORIAL] = float(measured[TUTORIAL][-1].output.split()[-1])
    ratios = {name: median(measured[TUTORIAL]) / median(measured[name]) for name in measured}
    table(
        ["job", "seconds", "times as fast", "peak MiB of a process", "accuracy"],
        (
            [
                name,
                f"{median(those):.1f}",
                f"{ratios[name]:.1f}",
                f"{median(those, 'peak_mib'):.0f}",
                f"{accuracy[name]:.4f}",
            ]
            for name, those in measured.items()
        ),
    )
    show_jobs(measured[OURS], details[OURS], OURS)
    show_jobs(measured[DEFAULT], details[DEFAULT], DEFAULT)
    models = {each["model_sha256"] for name in (OURS, ON_TWO) for each in details[name]}
    targets = [
        target("cold job, times as fast as the tutorial's script", ratios[OURS], 4),
        target("different model.pkl of --cores 1 and 2", len(models), 1, most=True),
    ]
    save("job", measured, times_as_fast=ratios, details=details, targets=targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="job.py", description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="digits, for a quick look")
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
