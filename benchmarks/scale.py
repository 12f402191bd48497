"""Measure each job of the workflow on MNIST x1, x5 and x20: its time, its memory, its disk.

The larger training sets are shifted copies of MNIST's; the test set is MNIST's. Each run goes from
gzipped IDX files to the registered model, in a temporary folder on the disk of TMPDIR. Then it is
called again, with nothing to do. Prints a table of the jobs of each run, with the resources that
the rules state, draws docs/scale.png, and writes benchmarks/scale.json.

With --large, MNIST x135 follows: 8.1 million images. All sizes take ten minutes, and 10 GB of disk.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from measure import (
    BENCHMARKS,
    TOP,
    Measurement,
    process_tree,
    run,
    save,
    snakemake,
    table,
    target,
    workflow_copy,
)

LARGE = 135
LIMIT_MIB = 2048  # of the own memory of each job
SAMPLING_SECONDS = 0.1  # time between two samples of all processes
TICKS = os.sysconf("SC_CLK_TCK")
SNAKEMAKE = "snakemake"  # The process that starts the jobs, which counts as a job of its own.
DRAWN = {"the whole run": "0.2", "parse_train": "#0072b2", "train": "#d55e00"}
IMAGES_OF_MNIST = 60_000


# ---- The jobs of a run ---------------------------------------------------------------------


@dataclass
class Job:
    """What a job used, and what its rule states.

    Attributes
    ----------
    seconds : float
        Wall-clock time, as Snakemake measured it.
    cpu_seconds : float
    peak_mib : float
        The peak resident memory of its largest process, with the pages of mapped files.
    own_mib : float
        The largest sample of the memory of its processes without the content of files.
    written_mib : float
        What it wrote to the disk.
    stated : dict
        The resources that its rule states.
    """

    seconds: float
    cpu_seconds: float = 0
    peak_mib: float = 0
    own_mib: float = 0
    written_mib: float = 0
    stated: dict | None = None


class Watch(threading.Thread):
    """Sample all processes of a run, and add them up for each job."""

    def __init__(self):
        super().__init__()
        self.ended = threading.Event()
        self.used: dict[int, tuple[str, float, float, float]] = {}
        self.own: dict[str, float] = {}

    def run(self):
        while not self.ended.wait(SAMPLING_SECONDS):
            own = {}
            for pid, job in jobs_of_processes(os.getpid()).items():
                try:
                    status, cpu_seconds, written_mib = sampled(pid)
                except (OSError, KeyError, IndexError):  # It has just ended.
                    continue
                self.used[pid] = job, cpu_seconds, status["VmHWM"] / 1024, written_mib
                own[job] = own.get(job, 0) + (status["RssAnon"] + status["RssShmem"]) / 1024
            for job, mib in own.items():
                self.own[job] = max(self.own.get(job, 0), mib)

    def job(self, name: str, seconds: float, stated: dict | None) -> Job:
        """Return what a job used."""
        processes = [used for used in self.used.values() if used[0] == name]
        return Job(
            seconds,
            sum(cpu_seconds for _, cpu_seconds, _, _ in processes),
            max((peak for *_, peak, _ in processes), default=0),
            self.own.get(name, 0),
            # The kernel adds what its ended children wrote to what a process wrote.
            max((written for *_, written in processes), default=0),
            stated,
        )


def jobs_of_processes(ancestor: int) -> dict[int, str]:
    """Return the name of the job of each process below another one.

    The command of a job names its record. A process that a job starts belongs to it.
    """
    found = {}
    for pid, parent in process_tree(ancestor):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        record = re.search(r"--record[\0 ]results/records/(\w+)", command)
        if pid != ancestor:
            found[pid] = record[1] if record else found.get(parent, SNAKEMAKE)
    return found


def sampled(pid: int) -> tuple[dict[str, int], float, float]:
    """Return the memory of a process in KiB, its CPU seconds, and the MiB that it has written."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    sizes = {name: int(status[name].split()[0]) for name in ("VmHWM", "RssAnon", "RssShmem")}
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    disk = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return sizes, (int(fields[11]) + int(fields[12])) / TICKS, int(disk["write_bytes"]) / 2**20


def measured_jobs(command: list[str], folder: Path) -> tuple[Measurement, dict[str, Job]]:
    """Run the workflow in a folder; return what the run and each of its jobs used."""
    watch = Watch()
    watch.start()
    try:
        measured = run([*command, "--benchmark-extended"], folder)
    finally:
        watch.ended.set()
        watch.join()
    found = {}
    for path in sorted(folder.glob("results/benchmarks/*.jsonl"), key=os.path.getmtime):
        content = json.loads(path.read_text().splitlines()[0])
        found[path.stem] = watch.job(path.stem, content["s"], content["resources"])
    found[SNAKEMAKE] = watch.job(SNAKEMAKE, measured.seconds, None)
    return measured, found


# ---- The runs ------------------------------------------------------------------------------


def prepare(raw: Path, folder: Path, times: int, test_times: int) -> Path:
    """Make the IDX files of a set, and a copy of the workflow that has it as data set ``large``."""
    copy = workflow_copy(folder / "copy")
    (source := folder / "source").mkdir()
    files = {}
    for part, copies in (("train", times), ("t10k", test_times)):
        make = [sys.executable, str(BENCHMARKS / "shifted.py"), "--times", str(copies)]
        for kind, name in {"images": "images-idx3", "labels": "labels-idx1"}.items():
            file = f"{part}-{name}-ubyte.gz"
            make += [f"--{kind}", str(raw / file), f"--{kind}-out", str(source / file)]
        printed = run(make).output.splitlines()
        files |= {Path(path).stem: sha256 for sha256, path in map(str.split, printed)}
    entry = {"prepare": "mnist", "files": files, "sources": [{"folder": str(source)}]}
    # JSON is YAML too.
    (copy / "config/my_datasets.yaml").write_text(json.dumps({"large": entry}))
    return copy


def measure(
    raw: Path, times: int, test_times: int, regularization: str
) -> tuple[Measurement, Measurement, dict[str, Job]]:
    """Run the workflow on a set; return the run, the same call once more, and the jobs."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = prepare(raw, Path(temporary), times, test_times)
        config = {"dataset": "large", "regularization": regularization}
        command = snakemake("--cores", "2", "results/registered.json", **config)
        measured, jobs = measured_jobs(command, copy)
        again = run(command, copy)
        receipt = json.loads((copy / "results/registered.json").read_text())
    print(f"x{times}: accuracy {receipt['metrics']['accuracy']:.4f}", file=sys.stderr, flush=True)
    return measured, again, jobs


def show(times: int, measured: Measurement, again: Measurement, jobs: dict[str, Job]) -> None:
    """Print the table of a run."""
    head = ["job", "seconds", "CPU seconds", "peak MiB", "own MiB", "mem_mb stated"]
    head += ["written MiB", "disk_mb stated", "runtime stated"]
    lines = []
    for name, job in jobs.items():
        stated = dict.fromkeys(("mem_mb", "disk_mb", "runtime"), "") | (job.stated or {})
        lines.append(
            [
                *(name, f"{job.seconds:.1f}", f"{job.cpu_seconds:.1f}"),
                *(f"{job.peak_mib:.0f}", f"{job.own_mib:.0f}", str(stated["mem_mb"])),
                "" if name == SNAKEMAKE else f"{job.written_mib:.0f}",
                *(str(stated["disk_mb"]), str(stated["runtime"])),
            ]
        )
    print(
        f"\nMNIST x{times}, {times * IMAGES_OF_MNIST:,} images: {measured.seconds:.1f} s, "
        f"{measured.cpu_seconds:.1f} CPU seconds; with nothing to do {again.seconds:.1f} s"
    )
    table(head, lines)


def show_growth(runs: dict[int, tuple[Measurement, Measurement, dict[str, Job]]]) -> None:
    """Print the table of docs/scale.md: a row for each size."""
    head = ["images", "run, s", "run, CPU s", "parse_train, s", "train, s", "train, CPU s"]
    head += ["train, own MiB", "others, own MiB", "nothing to do, s"]
    lines = []
    for times, (measured, again, jobs) in runs.items():
        parse, train = jobs["parse_train"], jobs["train"]
        lines.append(
            [
                f"{times * IMAGES_OF_MNIST:,}",
                *(f"{measured.seconds:.0f}", f"{measured.cpu_seconds:.0f}"),
                f"{parse.seconds:.1f}",
                *(f"{train.seconds:.0f}", f"{train.cpu_seconds:.0f}", f"{train.own_mib:.0f}"),
                *(f"{max_own(jobs, without=['train']):.0f}", f"{again.seconds:.1f}"),
            ]
        )
    table(head, lines)


# ---- The picture ---------------------------------------------------------------------------


def draw(runs: dict[int, tuple[Measurement, Measurement, dict[str, Job]]], path: Path) -> None:
    """Draw time and own memory against the number of images, with logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    seconds, mib = figure.subplots(1, 2)
    counts = [times * IMAGES_OF_MNIST for times in runs]
    jobs = [{"the whole run": each[2][SNAKEMAKE]} | each[2] for each in runs.values()]
    for job, color in DRAWN.items():
        place = 7 if job == "the whole run" else -14
        draw_line(seconds, counts, [each[job].seconds for each in jobs], job, color, place)
        if job != "the whole run":
            draw_line(mib, counts, [each[job].own_mib for each in jobs], job, color, 7)
    others = [max_own(each, without=DRAWN) for each in jobs]
    draw_line(mib, counts, others, "the largest other job", "#009e73", -14)
    mib.axhline(LIMIT_MIB, color="0.5", linewidth=0.8)
    mib.annotate("2 GiB", (counts[0], LIMIT_MIB), (0, 4), textcoords="offset points", color="0.4")
    for axes, title in ((seconds, "seconds"), (mib, "own memory without mapped files, MiB")):
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("training images")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.12, y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.92")
    lines = seconds.get_lines() + mib.get_lines()
    named = {line.get_label(): line for line in lines if not line.get_label().startswith("_")}
    figure.legend(named.values(), named, loc="outside lower center", ncols=4, frameon=False)
    # Without the Software entry, the bytes depend only on the picture.
    figure.savefig(path, metadata={"Software": None})


def max_own(jobs: dict[str, Job], without=()) -> float:
    """Return the largest own memory of a job in MiB."""
    return max(job.own_mib for name, job in jobs.items() if name not in without)


def draw_line(
    axes, counts: list[int], values: list[float], label: str, color: str, place: int
) -> None:
    """Draw values, with the last one so many points above its point."""
    axes.loglog(counts, values, "o-", color=color, label=label)
    text = f"{values[-1]:,.0f}" if values[-1] >= 10 else f"{values[-1]:.1f}"
    at = counts[-1], values[-1]
    axes.annotate(text, at, (0, place), textcoords="offset points", ha="center")


# ---- Targets -------------------------------------------------------------------------------


def targets_of(runs: dict[int, tuple[Measurement, Measurement, dict[str, Job]]]) -> list[dict]:
    """Print which targets are met, and return them for the results."""
    targets = []
    for times, (_, _, jobs) in runs.items():
        what = f"x{times}, own memory of each job in MiB"
        targets.append(target(what, max_own(jobs), LIMIT_MIB, most=True))
    if LARGE in runs:
        seconds = runs[LARGE][2]["train"].seconds
        targets.append(target(f"x{LARGE}, seconds from arrays to model", seconds, 600, most=True))
    return targets


def main(options: argparse.Namespace) -> None:
    runs = {}
    for times in [*options.times, *([LARGE] if options.large else [])]:
        runs[times] = measure(
            options.data_folder, times, options.test_times, options.regularization
        )
        show(times, *runs[times])
    show_growth(runs)
    targets = targets_of(runs)
    draw(runs, options.picture)
    save(
        "scale",
        {f"x{times}": [measured] for times, (measured, _, _) in runs.items()},
        again={f"x{times}": asdict(again) for times, (_, again, _) in runs.items()},
        jobs={
            f"x{times}": {name: asdict(job) for name, job in jobs.items()}
            for times, (_, _, jobs) in runs.items()
        },
        targets=targets,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scale.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/raw")
    parser.add_argument("--times", type=int, nargs="*", default=[1, 5, 20])
    parser.add_argument("--test-times", type=int, default=1, help="copies of MNIST's test set")
    parser.add_argument("--large", action="store_true", help=f"also x{LARGE}")
    parser.add_argument(
        "--regularization", default="0.5", help="a rate, or a list: '[0.1, 0.5, 2, 10]'"
    )
    parser.add_argument("--picture", type=Path, default=TOP / "docs/scale.png")
    main(parser.parse_args())
