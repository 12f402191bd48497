"""Two runs at once in one folder."""

import subprocess
import time
from collections.abc import Callable

from checkout import ENVIRONMENT, Checkout, command

DIGITS = {"dataset": "digits"}


def start(checkout: Checkout) -> subprocess.Popen:
    """Start a run of the digits."""
    return subprocess.Popen(
        command(**DIGITS),
        cwd=checkout.path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_run_is_refused_and_the_first_ends_well(
    finished: Checkout, check_as_fresh: Callable[[Checkout], str], report_fault: Callable
):
    (finished.path / "results/metrics.json").unlink()
    locks = finished.path / ".snakemake/locks"
    first = start(finished)
    while not (locks.exists() and list(locks.iterdir())):
        assert first.poll() is None
        time.sleep(0.01)
    second = finished.snakemake(**DIGITS)
    assert first.poll() is None
    first.communicate()
    assert (first.returncode, second.returncode) == (0, 1)
    (line,) = [line for line in second.stderr.splitlines() if "cannot be locked" in line]
    report_fault("a second run while one is at work", line, 1, check_as_fresh(finished))


def test_of_two_runs_that_start_at_once_one_ends_well(
    finished: Checkout, check_as_fresh: Callable[[Checkout], str], report_fault: Callable
):
    (finished.path / "results/metrics.json").unlink()
    runs = [start(finished) for _ in range(2)]
    said = [run.communicate()[1] for run in runs]
    codes = sorted(run.returncode for run in runs)
    assert codes in ([0, 0], [0, 1])  # [0, 0] if one began when the other had ended
    assert not any("Traceback" in text for text in said)
    refused = [line for text in said for line in text.splitlines() if "cannot be locked" in line]
    assert len(refused) == codes.count(1)
    message = refused[0] if refused else "none"
    report_fault("two runs that start at once", message, max(codes), check_as_fresh(finished))
