"""Measure how long Snakemake takes with nothing to do, for a dry run, and for one changed step.

The data set is scikit-learn's digits, so that the start-up takes most of the time. For comparison,
the same is measured in a workflow of two rules that do nothing, and so is the import of Snakemake.
Prints tables and writes benchmarks/start.json.
"""

import argparse
import functools
import itertools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import (
    SCRIPTS,
    Measurement,
    alternate,
    median,
    run,
    save,
    snakemake,
    table,
    workflow_copy,
)

TWO_RULES = """\
rule second:
    input:
        "first.txt",
    output:
        "second.txt",
    params:
        seed=config.get("seed", 42),
    shell:
        "echo {params.seed} > {output}"


rule first:
    output:
        "first.txt",
    shell:
        "echo > {output}"
"""

DIGITS = {"dataset": "digits"}
IMPORT, IDLE = "snakemake --version", "ours: nothing to do"
CHANGED, SCRIPT = "ours: one changed step, the preview", "the changed step's script alone"


def prepare(folder: Path) -> dict[str, Path]:
    """Make the workflows to measure, by name, and run those that must be finished."""
    folders = {name: workflow_copy(folder / name) for name in ("fresh", "finished", "changed")}
    run(snakemake("--cores", "2", **DIGITS), folders["finished"])
    run(snakemake("--cores", "2", "results/preview.png", **DIGITS), folders["changed"])
    for name in ("two rules", "two rules, changed"):
        folders[name] = folder / name
        folders[name].mkdir()
        (folders[name] / "Snakefile").write_text(TWO_RULES)
        run(snakemake("--cores", "1"), folders[name])
    return folders


def contestants(folders: dict[str, Path]) -> dict[str, Callable[[], Measurement]]:
    """Return a function that measures, for each row of the table."""
    seeds = itertools.count(100)

    def change(folder, *arguments, **config):
        # Always a new seed: Snakemake would see a change back to an earlier one as well.
        command = snakemake("--cores", "1", *arguments, seed=next(seeds), **config)
        return run(command, folder)

    draw = [sys.executable, str(SCRIPTS / "preview.py")]
    draw += ["--images", "results/arrays/train-images.npy"]
    draw += ["--labels", "results/arrays/train-labels.npy"]
    draw += ["--dataset-file", "results/dataset.json", "--output", "preview.png"]
    two_rules = folders["two rules"]
    idle, dry = snakemake("--cores", "1", **DIGITS), snakemake("-n", **DIGITS)
    return {
        IMPORT: functools.partial(run, [*snakemake()[:3], "--version"]),
        "two rules: nothing to do": functools.partial(run, snakemake("--cores", "1"), two_rules),
        "two rules: nothing to do, dry run": functools.partial(run, snakemake("-n"), two_rules),
        "two rules: one changed step": functools.partial(change, folders["two rules, changed"]),
        IDLE: functools.partial(run, idle, folders["finished"]),
        "ours: nothing to do, dry run": functools.partial(run, dry, folders["finished"]),
        "ours: everything to do, dry run": functools.partial(run, dry, folders["fresh"]),
        CHANGED: functools.partial(change, folders["changed"], "results/preview.png", **DIGITS),
        SCRIPT: functools.partial(run, draw, folders["changed"]),
    }


def show_changed_step(measured: dict[str, list[Measurement]]) -> dict[str, float]:
    """Print and return the parts of the seconds of one changed step, computed by subtraction."""
    imports = median(measured[IMPORT])
    parts = {
        "import of Snakemake": imports,
        "rules, their code and earlier results": median(measured[IDLE]) - imports,
        "the script alone": median(measured[SCRIPT]),
    }
    whole = median(measured[CHANGED])
    parts["rest: start of the job, and notes of its results"] = whole - sum(parts.values())
    print("Parts of the seconds of one changed step, by subtraction")
    table(["part", "seconds"], ([part, f"{seconds:.2f}"] for part, seconds in parts.items()))
    return parts


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folders = prepare(Path(temporary))
        measured = alternate(contestants(folders), options.repetitions)
    table(
        ["start", "seconds", "CPU seconds", "peak MiB"],
        (
            [
                name,
                f"{median(runs):.2f}",
                f"{median(runs, 'cpu_seconds'):.2f}",
                f"{median(runs, 'peak_mib'):.0f}",
            ]
            for name, runs in measured.items()
        ),
    )
    parts = show_changed_step(measured)
    save("start", measured, seconds_of_one_changed_step=parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="start.py", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
