"""What the benchmarks share: whole processes measured in turn, tables, and results as JSON.

Only the standard library is imported here, and by a benchmark before it has measured: a new process
begins with the peak memory of the one that started it.
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
LOOKS = 0.5  # seconds between two looks at a process's memory


@dataclass
class Measurement:
    """What a process took, all that it started included.

    Attributes
    ----------
    seconds : float
        From its start to its end.
    cpu_seconds : float
        Of all cores, in the program and in the system.
    peak_mib : float
        The peak resident memory of the largest of its processes, as the kernel counted it.
    together_mib, own_mib : float or None
        The most that was seen of all its processes together, where pages that they share count
        once; and of this, what is not the content of a file. Only if asked for, on Linux.
    output : str
        What it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float
    together_mib: float | None
    own_mib: float | None
    output: str


def run(command: list[str], folder: Path = TOP, watch: bool = False) -> Measurement:
    """Run a command to its end and measure it as a whole.

    Parameters
    ----------
    command : list of str
    folder : pathlib.Path
        Where it runs.
    watch : bool
        Whether to look at its memory while it runs, see :class:`Measurement`.

    Raises
    ------
    SystemExit
        If it fails, with the last lines that it said.
    """
    together, own, ended = [], [], threading.Event()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=errors)
        watcher = threading.Thread(target=_watch, args=(process.pid, together, own, ended))
        if watch:
            watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        ended.set()
        if watch:
            watcher.join()
        said.seek(0)
        errors.seek(0)
        if status:
            last = "\n".join((said.read() + errors.read()).splitlines()[-20:])
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{last}")
        return Measurement(
            seconds=seconds,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            # macOS counts bytes, Linux KiB.
            peak_mib=usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
            together_mib=max(together, default=None),
            own_mib=max(own, default=None),
            output=said.read(),
        )


def call(function: Callable, *arguments) -> Measurement:
    """Measure the seconds of a call in this process; memory is not looked at."""
    start, start_cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - start_cpu
    return Measurement(seconds, cpu_seconds, 0, None, None, "")


def _watch(pid, together, own, ended):
    while not ended.wait(LOOKS):
        try:
            sizes = [_sizes(each) for each in _family(pid)]
        except (OSError, KeyError):  # one of them has just ended, or this is not Linux
            continue
        together.append(sum(size["Pss"] for size in sizes) / 1024)
        own.append(sum(size["Pss_Anon"] + size["Pss_Shmem"] for size in sizes) / 1024)


def _family(pid) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(child)


def _sizes(pid) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(size.split()[0]) for name, size in (line.split(":") for line in lines)}


def alternate(
    contestants: dict[str, Callable[[], Measurement]],
    repetitions: int,
    once: Collection[str] = (),
) -> dict[str, list[Measurement]]:
    """Measure each contestant in turn, and all of them anew in each repetition.

    So a machine that is slow for a while is slow for all of them.

    Parameters
    ----------
    contestants : dict
        A function that measures, by name.
    repetitions : int
    once : collection of str
        Who takes part in the first repetition only.
    """
    found = {name: [] for name in contestants}
    for repetition in range(repetitions):
        for name, measured in contestants.items():
            if repetition == 0 or name not in once:
                found[name].append(measured())
                print(f"{name}: {found[name][-1].seconds:.2f} s", file=sys.stderr, flush=True)
    return found


def median(measurements: Iterable[Measurement], field: str = "seconds") -> float:
    """Return the median of one field; None counts as 0."""
    return statistics.median(getattr(each, field) or 0 for each in measurements)


def memory(measurements: Iterable[Measurement]) -> float:
    """Return the median of the peak memory in MiB, of the largest process or of all together."""
    return statistics.median(max(each.peak_mib, each.together_mib or 0) for each in measurements)


def table(head: list[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a Markdown table, after an empty line."""
    print("", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", sep="\n")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def target(what: str, found: float, limit: float, most: bool = False) -> dict:
    """Print whether a target is met, and return it for the results.

    Parameters
    ----------
    what : str
        What is measured, with its unit.
    found, limit : float
    most : bool
        Whether ``limit`` is the most that is allowed; otherwise it is the least.
    """
    met = found <= limit if most else found >= limit
    bound = "at most" if most else "at least"
    print(f"target: {what}: {bound} {limit:g}; {found:.4g}: {'met' if met else 'MISSED'}")
    return {"what": what, bound.replace(" ", "_"): limit, "found": found, "met": met}


def machine() -> dict:
    """Return what the figures depend on: the machine, and the versions of what runs."""
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
    """Write benchmarks/<name>.json: the machine, the command, every measurement, and ``more``."""
    runs = {
        contestant: [
            {key: value for key, value in asdict(each).items() if key != "output"} for each in those
        ]
        for contestant, those in measured.items()
    }
    medians = {contestant: median(those) for contestant, those in measured.items()}
    command = ["python", f"benchmarks/{name}.py", *sys.argv[1:]]
    here = machine()
    versions = ", ".join(f"{package} {version}" for package, version in here["versions"].items())
    print(f"{here['cpu']}, {here['cores']} cores, {here['platform']}; {versions}")
    content = {"machine": here, "command": command, "median_seconds": medians}
    content |= more | {"measurements": runs}
    path = BENCHMARKS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"Written to {path.relative_to(TOP)}.", flush=True)


def workflow_copy(folder: Path) -> Path:
    """Make a folder with the workflow and its downloaded files, but without results.

    The files are what results/raw has, put where the registry looks for MNIST first; without them
    the copy downloads.
    """
    folder.mkdir(parents=True)
    shutil.copy(TOP / "Snakefile", folder)
    for part in ("workflow", "config", "profiles"):
        shutil.copytree(TOP / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    if (TOP / "results/raw").is_dir():
        shutil.copytree(TOP / "results/raw", folder / "data/mnist")
    return folder


def snakemake(*arguments: str, **config) -> list[str]:
    """Return a snakemake command that trains here; ``config`` becomes ``--config key=value``."""
    values = [f"{key}={value}" for key, value in {"backend": "local", **config}.items()]
    return [sys.executable, "-m", "snakemake", *arguments, "--config", *values]


def jobs(folder: Path) -> dict[str, float]:
    """Return the seconds of each job of a copy's last run, as Snakemake measured them."""
    files = sorted((folder / "results/benchmarks").rglob("*.jsonl"))
    return {path.stem: json.loads(path.read_text().splitlines()[0])["s"] for path in files}
