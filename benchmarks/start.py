"""Measure what Snakemake takes with nothing to do, for a dry run, and for one changed step.

The data set is scikit-learn's digits, so that no job hides the start-up. The floor is the same in a
workflow of two rules that does nothing, and below it what importing Snakemake takes. Prints a
table, writes benchmarks/start.json.
"""

import argparse
import functools
import itertools
import sys
import tempfile
from pathlib import Path

from measure import SCRIPTS, alternate, median, run, save, snakemake, table, workflow_copy

TOY = """\
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


def main(options: argparse.Namespace) -> None:
    digits = {"dataset": "digits"}
    with tempfile.TemporaryDirectory() as temporary:
        fresh = workflow_copy(Path(temporary, "fresh"))
        finished = workflow_copy(Path(temporary, "finished"))
        changed = workflow_copy(Path(temporary, "changed"))
        run(snakemake("--cores", "2", **digits), finished)
        run(snakemake("--cores", "2", "results/preview.png", **digits), changed)
        toy, toy_changed = Path(temporary, "toy"), Path(temporary, "toy changed")
        for folder in (toy, toy_changed):
            folder.mkdir()
            (folder / "Snakefile").write_text(TOY)
            run(snakemake("--cores", "1"), folder)
        draw = [sys.executable, str(SCRIPTS / "preview.py")]
        draw += ["--images", "results/arrays/train-images.npy"]
        draw += ["--labels", "results/arrays/train-labels.npy", "--output", "preview.png"]
        seeds = itertools.count(100)

        def change(folder, *arguments, **config):
            # Another seed each time: a step that was changed back and forth is changed as well.
            command = snakemake("--cores", "1", *arguments, seed=next(seeds), **config)
            return run(command, folder)

        idle, dry = snakemake("--cores", "1", **digits), snakemake("-n", **digits)
        toy_idle, toy_dry = snakemake("--cores", "1"), snakemake("-n")
        contestants = {
            "snakemake --version": functools.partial(run, [*snakemake()[:3], "--version"]),
            "two rules: nothing to do": functools.partial(run, toy_idle, toy),
            "two rules: nothing to do, dry run": functools.partial(run, toy_dry, toy),
            "two rules: one changed step": functools.partial(change, toy_changed),
            "ours: nothing to do": functools.partial(run, idle, finished),
            "ours: nothing to do, dry run": functools.partial(run, dry, finished),
            "ours: everything to do, dry run": functools.partial(run, dry, fresh),
            "ours: one changed step, the preview": functools.partial(
                change, changed, "results/preview.png", **digits
            ),
            "the changed step's script alone": functools.partial(run, draw, changed),
        }
        measured = alternate(contestants, options.repetitions)
    table(
        ["start", "seconds", "CPU seconds", "peak MiB"],
        (
            [
                name,
                f"{median(those):.2f}",
                f"{median(those, 'cpu_seconds'):.2f}",
                f"{median(those, 'peak_mib'):.0f}",
            ]
            for name, those in measured.items()
        ),
    )
    step = median(measured["ours: one changed step, the preview"])
    imports = median(measured["snakemake --version"])
    parts = {
        "importing Snakemake": imports,
        "reading rules, their code and what was made": median(measured["ours: nothing to do"])
        - imports,
        "the script alone": median(measured["the changed step's script alone"]),
    }
    parts["the rest: starting the job, and noting what it made"] = step - sum(parts.values())
    print("Where the seconds of one changed step go, by subtraction")
    table(["part", "seconds"], ([part, f"{seconds:.2f}"] for part, seconds in parts.items()))
    save("start", measured, seconds_of_one_changed_step=parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="start.py", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
