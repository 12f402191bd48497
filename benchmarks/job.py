"""Compare the whole job: the workflow, from downloaded files to the receipt, and the tutorial.

The workflow verifies, parses, trains, measures, draws and registers, in a fresh copy each time.
The tutorial's script loads, previews, trains, measures and saves. The workflow also runs once on
two cores, to compare the bytes of the model. Prints tables, also of the seconds of each job of the
workflow, and writes benchmarks/job.json.
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
ON_TWO_CORES = "snakemake --cores 2, the same rate"
AS_CONFIGURED = "snakemake --cores 1, as configured"
RATE = {"regularization": 0.5, "solver": "newton"}
# The cores and the configuration of each run of the workflow.
RUNS = {OURS: (1, RATE), ON_TWO_CORES: (2, RATE), AS_CONFIGURED: (1, {})}


def prepare(folder: Path, dataset: str) -> Path:
    """Make a copy of the workflow in which the downloads are done."""
    copy = workflow_copy(folder)
    raw = [f"results/raw/{part}-images-idx3-ubyte.gz" for part in ("train", "t10k")]
    run(snakemake("--cores", "1", *raw, dataset=dataset), copy)
    return copy


def tutorial_command(data_folder: Path, output: Path) -> list[str]:
    """Return the command that runs the tutorial's script."""
    command = [sys.executable, str(BENCHMARKS / "tutorial.py"), "--jobs", "1"]
    command += ["--data-folder", str(data_folder), "--output", str(output)]
    return [*command, "--regularization", str(RATE["regularization"])]


def measured_job(template: Path, details: list[dict], cores: int, config: dict) -> Measurement:
    """Run the workflow in a copy of ``template``, and append its results to ``details``."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(shutil.copytree(template, Path(temporary, "copy")))
        command = snakemake("--cores", str(cores), "results/registered.json", **config)
        measured = run(command, folder)
        model = (folder / "results/model.pkl").read_bytes()
        details.append(
            {
                "accuracy": json.loads((folder / "results/metrics.json").read_text())["accuracy"],
                "model_sha256": hashlib.sha256(model).hexdigest(),
                "seconds_of_jobs": {
                    name: seconds
                    for name, seconds in jobs(folder).items()
                    if not name.startswith("download")
                },
            }
        )
    return measured


def measure(dataset: str, repetitions: int) -> tuple[dict[str, list[Measurement]], dict]:
    """Measure the tutorial and the workflow; return the measurements and the workflow's results."""
    details = {name: [] for name in RUNS}
    with tempfile.TemporaryDirectory() as temporary:
        template = prepare(Path(temporary, "template"), dataset)
        script = tutorial_command(template / "results/raw", Path(temporary, "tutorial.pkl"))
        contestants = {TUTORIAL: functools.partial(run, script)}
        for name, (cores, config) in RUNS.items():
            contestants[name] = functools.partial(
                measured_job, template, details[name], cores, {"dataset": dataset} | config
            )
        return alternate(contestants, repetitions, once={ON_TWO_CORES}), details


def show(measured: dict[str, list[Measurement]], details: dict[str, list[dict]]) -> dict:
    """Print the table; return how many times as fast as the tutorial's script each run is."""
    accuracy = {name: details[name][-1]["accuracy"] for name in details}
    accuracy[TUTORIAL] = float(measured[TUTORIAL][-1].output.split()[-1])
    ratios = {name: median(measured[TUTORIAL]) / median(measured[name]) for name in measured}
    table(
        ["job", "seconds", "times as fast", "peak MiB of a process", "accuracy"],
        (
            [
                name,
                f"{median(runs):.1f}",
                f"{ratios[name]:.1f}",
                f"{median(runs, 'peak_mib'):.0f}",
                f"{accuracy[name]:.4f}",
            ]
            for name, runs in measured.items()
        ),
    )
    return ratios


def show_jobs(measured: list[Measurement], details: list[dict], name: str) -> None:
    """Print the seconds of each job in one of the runs."""
    seconds = [each["seconds_of_jobs"] for each in details]
    rows = {job: statistics.median(each[job] for each in seconds) for job in seconds[0]}
    rows["Snakemake itself"] = statistics.median(
        whole.seconds - sum(each.values()) for whole, each in zip(measured, seconds, strict=True)
    )
    print(f"Seconds of each job: {name}")
    table(["job", "seconds"], ([job, f"{median:.2f}"] for job, median in rows.items()))


def main(options: argparse.Namespace) -> None:
    measured, details = measure(options.dataset, options.repetitions)
    ratios = show(measured, details)
    for name in (OURS, AS_CONFIGURED):
        show_jobs(measured[name], details[name], name)
    models = {each["model_sha256"] for name in (OURS, ON_TWO_CORES) for each in details[name]}
    targets = [
        target("cold job, times as fast as the tutorial's script", ratios[OURS], 4),
        target("different model.pkl of --cores 1 and 2", len(models), 1, most=True),
    ]
    save("job", measured, times_as_fast=ratios, details=details, targets=targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="job.py", description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="use digits for a quick try")
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
