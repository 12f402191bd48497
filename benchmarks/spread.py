"""Fit eight candidates on MNIST x20 side by side, as jobs on two nodes of a Slurm cluster.

It starts a cluster of its own on this machine, see tests/support/slurm.py, which needs root and
Debian's slurm-wlm and munge. The nodes share the cores of this machine, so the run is no faster
than one process: the table shows what runs when, and what a job costs beside its program. Prints a
table of the jobs, compares the results with those of one process, and writes
benchmarks/spread.json.
"""

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from measure import TOP, Measurement, jobs, run, save, snakemake, table, target
from scale import prepare

sys.path.append(str(TOP / "tests/support"))

from slurm import Cluster, running_cluster

PYTHON = TOP / ".venv-slurm/bin/python"
RATES = "[0.1,0.2,0.5,1,2,5,10,20]"
RESULTS = ["results/model.pkl", "results/sweep.json"]
#: The cluster has no accounting. A candidate gets one thread, as the machine has few cores.
OPTIONS = ["--profile", "profiles/slurm", "--slurm-status-command", "squeue"]
OPTIONS += ["--set-threads", "score_candidate=1"]


def timed(cluster: Cluster, folder: Path) -> list[dict]:
    """Return the jobs of a folder, with their seconds and those of their programs."""
    programs = jobs(folder)
    found = cluster.jobs(folder)
    for job in found:
        job["name"] = job["rule"].removeprefix("rule_").replace("_wildcards_", "_")
        begin, end = (datetime.fromisoformat(job[key]) for key in ("start", "end"))
        job["seconds"] = (end - begin).total_seconds()
        job["program"] = programs[job["name"]]
    return found


def side_by_side(found: list[dict]) -> int:
    """Return how many jobs have run at the same time, at most."""
    return max(sum(job["start"] <= at["start"] < job["end"] for job in found) for at in found)


def measure(folder: Path, config: dict) -> tuple[dict[str, Measurement], list[dict]]:
    """Train in the folder on a cluster, and again in one process."""
    with running_cluster() as cluster:
        command = snakemake(*RESULTS, *OPTIONS, **config)
        spread = run([str(PYTHON), *command[1:]], folder)
        found = timed(cluster, folder)
    made = [(folder / name).read_bytes() for name in RESULTS]
    for path in (folder / "results/candidates").iterdir():
        path.unlink()
    together = run(snakemake(*RESULTS, "--cores", "all", "--forcerun", "train", **config), folder)
    assert [(folder / name).read_bytes() for name in RESULTS] == made
    return {"cluster": spread, "one process": together}, found


def main(options: argparse.Namespace) -> None:
    config = {"dataset": "large", "regularization": RATES}
    with tempfile.TemporaryDirectory() as temporary:
        folder = prepare(options.data_folder, Path(temporary), options.times, 1)
        arrays = [
            f"results/arrays/{p}-{k}.npy" for p in ("train", "test") for k in ("images", "labels")
        ]
        run(snakemake(*arrays, "--cores", "all", **config), folder)
        measured, found = measure(folder, config)
    candidates = [job for job in found if job["name"].startswith("score_candidate")]
    rows = []
    for job in found:
        times = [job[key].partition("T")[2] for key in ("start", "end")]
        seconds = f"{job['seconds']:.0f}", f"{job['program']:.1f}"
        rows.append([job["name"], job["node"], *times, *seconds])
    table(["job", "node", "start", "end", "seconds", "seconds of its program"], rows)
    print("model.pkl and sweep.json have the same bytes as those of one process.")
    for name, measurement in measured.items():
        print(f"{name}: {measurement.seconds:.0f} s, {measurement.cpu_seconds:.0f} s of CPU")
    save(
        "spread",
        {name: [measurement] for name, measurement in measured.items()},
        jobs=found,
        targets=[
            target(
                f"candidates side by side on MNIST x{options.times}", side_by_side(candidates), 8
            ),
            target("nodes", len({job["node"] for job in candidates}), 2),
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="spread.py", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="the size of the training set")
    parser.add_argument(
        "--data-folder", type=Path, default=TOP / "results/raw", help="MNIST's four IDX files"
    )
    main(parser.parse_args())
