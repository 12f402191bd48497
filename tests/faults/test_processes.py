"""Kill runs at random moments, and run with the variables that other tools leave behind."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from checkout import ENVIRONMENT, TOP, Checkout, command

#: How often each kind of kill is tried.
TIMES = int(os.environ.get("KILLS", 60)) // 6
SECONDS = 4  # until the kill, at most
KINDS = {
    f"{number.name} to {'all processes' if group else 'Snakemake alone'}": (number, group)
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
    for group in (True, False)
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Checkout], subprocess.Popen]]:
    """Return a function that starts a run of the digits. All that it says goes into a file."""
    processes = []

    def run(checkout: Checkout) -> subprocess.Popen:
        with open(tmp_path / "said", "a") as said:
            processes.append(
                subprocess.Popen(
                    command(dataset="digits"),
                    cwd=checkout.path,
                    env=ENVIRONMENT,
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            )
        return processes[-1]

    yield run
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_reads_the_snakefile(checkout: Checkout, process: subprocess.Popen) -> None:
    """Wait until Snakemake itself has been imported, and the run has an id."""
    running = checkout.path / ".snakemake/running"
    before = running.read_text() if running.exists() else ""
    while process.poll() is None and (not running.exists() or running.read_text() in ("", before)):
        time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_after_kills_at_random_moments_ends_as_a_fresh_one(
    tmp_path: Path,
    start: Callable[[Checkout], subprocess.Popen],
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
    kind: str,
):
    """Each call but the first goes on from what the killed one left, and is killed itself."""
    checkout = Checkout.fresh(tmp_path / "checkout")
    number, group = KINDS[kind]
    moments = random.Random(kind)
    codes = set()
    for _ in range(TIMES):
        process = start(checkout)
        wait_until_it_reads_the_snakefile(checkout, process)
        time.sleep(moments.uniform(0, SECONDS))
        if process.poll() is None:
            (os.killpg if group else os.kill)(process.pid, number)
        codes.add(process.wait())
    said = (tmp_path / "said").read_text()
    assert "Traceback" not in said and "Exception ignored" not in said
    checkout.finish(dataset="digits")
    then = check_as_fresh(checkout)
    checkout.environment = {}
    assert "Nothing to be done" in checkout.finish(dataset="digits").stderr
    answers = [line for line in said.splitlines() if "interrupted;" in line or "Waiting" in line]
    message = max(answers, key=answers.count, default="none")
    report_fault(f"{TIMES} x {kind}", message, " ".join(map(str, sorted(codes))), then, count=TIMES)


VARIABLES = {
    "PYTHONSAFEPATH": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONHASHSEED": "7",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "LC_ALL": "C",
    "PYTHONSTARTUP": "foreign.py",
    "PYTHONINSPECT": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "GIT_DIR": str(TOP / ".git"),
    "GIT_WORK_TREE": str(TOP),
    "VIRTUAL_ENV": "/opt/other",
    "CONDA_PREFIX": "/opt/conda",
}


def test_variables_of_other_tools_change_nothing(
    checkout: Checkout, check_as_fresh: Callable[[Checkout], str], report_fault: Callable
):
    for name in ("numpy", "random", "sklearn"):
        (checkout.path / "foreign").mkdir(exist_ok=True)
        (checkout.path / f"foreign/{name}.py").write_text("raise SystemExit('foreign')")
    checkout.environment = VARIABLES | {"PYTHONPATH": str(checkout.path / "foreign")}
    # PYTHONWARNINGS=error fails while Snakemake itself is imported, which is done here already.
    checkout.environment["PYTHONWARNINGS"] = "error"
    ended = checkout.finish(dataset="digits")
    then = check_as_fresh(checkout)
    assert checkout.receipt()["git"] == {"commit": None, "dirty": None}
    names = ", ".join(sorted(checkout.environment))
    report_fault(names, "none", ended.returncode, then, count=len(checkout.environment))
