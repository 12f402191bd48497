"""Measure whole processes in turn, print tables, and save the results as JSON.

A new process inherits the peak memory of its parent. Therefore this module imports only the
standard library, and a benchmark imports larger packages only after it has measured.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = Path(__file__).parents[1]
BENCHMARKS = TOP / "benchmarks"
SCRIPTS = TOP / "workflow/scripts"
SAMPLING_SECONDS = 0.5  # time between two samples of the memory of a process


@dataclass
class Measurement:
    """Time and memory of a process, including all processes that it started.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    cpu_seconds : float
        CPU time of all cores, in the program and in the kernel.
    peak_mib : float
        The peak resident memory of the largest process, as the kernel counted it.
    together_mib : float or None
        The largest sample of the memory of all processes together. Shared pages count once. None if
        the memory was not sampled.
    own_mib : float or None
        The same without the content of files. None if the memory was not sampled.
    output : str
        The text that the process wrote to stdout.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    together_mib: float | None
    own_mib: float | None
    output: str


def run(command: list[str], folder: Path = TOP, watch: bool = False) -> Measurement:
    """Run a command to its end and measure it.

    Parameters
    ----------
    command : list of str
    folder : pathlib.Path
        The working directory.
    watch : bool
        Whether to sample the memory while the command runs. Works on Linux only.

    Raises
    ------
    SystemExit
        If the command fails. The message has the last lines of its output.
    """
    together, own, ended = [], [], threading.Event()
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=stderr)
        watcher = threading.Thread(target=_watch, args=(process.pid, together, own, ended))
        if watch:
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if watch:
            watcher.join()
        stdout.seek(0)
        stderr.seek(0)
        if status:
            last = "\n".join((stdout.read() + stderr.read()).splitlines()[-20:])
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{last}")
        return Measurement(
            seconds=seconds,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            # macOS counts bytes, Linux KiB.
            peak_mib=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
            together_mib=max(together, default=None),
            own_mib=max(own, default=None),
            output=stdout.read(),
        )


def call(function: Callable, *arguments) -> Measurement:
    """Measure the time of a call in this process. Its memory is not measured."""
    start, start_cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return Measurement(seconds, cpu_seconds, 0, None, None, "")


def _watch(pid, together, own, ended):
    while not ended.wait(SAMPLING_SECONDS):
        try:
            sizes = [_memory_sizes(each) for each, _ in process_tree(pid)]
        except (OSError, KeyError):  # A process has just ended, or this is not Linux.
            continue
        together.append(sum(size["Pss"] for size in sizes) / 1024)
        own.append(sum(size["Pss_Anon"] + size["Pss_Shmem"] for size in sizes) / 1024)


def process_tree(pid: int, parent: int | None = None) -> Iterator[tuple[int, int | None]]:
    """Yield a process and all below it, each with its parent, on Linux."""
    yield pid, parent
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from process_tree(int(child), pid)


def _memory_sizes(pid) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}


def alternate(
    contestants: dict[str, Callable[[], Measurement]],
    repetitions: int,
    once: Collection[str] = (),
) -> dict[str, list[Measurement]]:
    """Measure all contestants in turn, and repeat the whole round.

    If the machine is slow for a while, it is slow for all contestants.

    Parameters
    ----------
    contestants : dict
        By name, a function that measures.
    repetitions : int
    once : collection of str
        The contestants that are measured only in the first round.
    """
    results = {name: [] for name in contestants}
    for repetition in range(repetitions):
        for name, contestant in contestants.items():
            if repetition == 0 or name not in once:
                measurement = contestant()
                results[name].append(measurement)
                print(f"{name}: {measurement.seconds:.2f} s", file=sys.stderr, flush=True)
    return results


def median(measurements: Iterable[Measurement], field: str = "seconds") -> float:
    """Return the median of one field; None counts as 0."""
    return statistics.median(getattr(each, field) or 0 for each in measurements)


def memory(measurements: Iterable[Measurement]) -> float:
    """Return the median of the peak memory in MiB, of the largest process or of all together."""
    return statistics.median(max(each.peak_mib, each.together_mib or 0) for each in measurements)


def table(head: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print an empty line and a Markdown table."""
    print("", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", sep="\n")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def target(what: str, found: float, limit: float, most: bool = False) -> dict:
    """Print whether a target is met, and return it for the results.

    Parameters
    ----------
    what : str
        The measured quantity, with its unit.
    found, limit : float
    most : bool
        Whether ``limit`` is an upper limit; otherwise it is a lower limit.
    """
    met = found <= limit if most else found >= limit
    bound = "at most" if most else "at least"
    print(f"target: {what}: {bound} {limit:g}; {found:.4g}: {'met' if met else 'MISSED'}")
    return {"what": what, bound.replace(" ", "_"): limit, "found": found, "met": met}


def machine() -> dict:
    """Describe the machine and the versions of the packages, on which the results depend."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    packages = "numpy", "scipy", "scikit-learn", "snakemake"
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "platform": platform.platform(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **versions},
    }


def save(name: str, measured: dict[str, list[Measurement]], **more) -> None:
    """Write benchmarks/<name>.json: the machine, the command, all measurements, and ``more``."""
    fields = {
        contestant: [
            {key: value for key, value in asdict(each).items() if key != "output"}
            for each in measurements
        ]
        for contestant, measurements in measured.items()
    }
    medians = {contestant: median(measurements) for contestant, measurements in measured.items()}
    command = ["python", f"benchmarks/{name}.py", *sys.argv[1:]]
    here = machine()
    versions = ", ".join(f"{package} {version}" for package, version in here["versions"].items())
    print(f"{here['cpu']}, {here['cores']} cores, {here['platform']}; {versions}")
    content = {"machine": here, "command": command, "median_seconds": medians}
    content |= more | {"measurements": fields}
    path = BENCHMARKS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"Results written to {path.relative_to(TOP)}.", flush=True)


def workflow_copy(folder: Path) -> Path:
    """Make a folder with the workflow and its downloaded files, but without results.

    The files in results/raw are copied to data/mnist, the first source of MNIST. If those are not
    MNIST's, and downloads/ does not have MNIST either, the workflow in the copy downloads it.
    """
    folder.mkdir(parents=True)
    shutil.copy(TOP / "Snakefile", folder)
    for part in ("workflow", "config", "profiles"):
        shutil.copytree(TOP / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for source, copy in (("results/raw", "data/mnist"), ("downloads", "downloads")):
        if (TOP / source).is_dir():
            shutil.copytree(TOP / source, folder / copy)
    return folder


def snakemake(*arguments: str, **config) -> list[str]:
    """Return a snakemake command that trains on this machine, with ``config`` as its --config."""
    values = [f"{key}={value}" for key, value in {"backend": "local", **config}.items()]
    return [sys.executable, "-m", "snakemake", *arguments, "--config", *values]


def jobs(folder: Path) -> dict[str, float]:
    """Return the seconds of each job of the last run in a copy, as Snakemake measured them."""
    files = sorted((folder / "results/benchmarks").rglob("*.jsonl"))
    return {path.stem: json.loads(path.read_text().splitlines()[0])["s"] for path in files}
