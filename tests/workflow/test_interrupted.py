"""Kill runs of the workflow, and check that the next call ends with the same results."""

import errno
import fcntl
import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from checkout import ENVIRONMENT, Checkout, command
from samples import labelled_images, write_data_set

TARGETS = ["results/metrics.json", "results/preview.png", "results/confusion.png"]
# The temporary file that a rule writes before it renames the file to its output.
PARTIAL_FILES = {
    "download": "results/raw/.train-images-idx3-ubyte.gz.*.part",
    "parse": "results/arrays/.train-images.npy.*.part",
}
# An output of each rule that the tests interrupt.
OUTPUTS = {
    "download": "results/raw/train-images-idx3-ubyte.gz",
    "parse": "results/arrays/train-images.npy",
    "train": "results/model.pkl",
}


def make_slow_to_read(path: Path) -> None:
    """Insert 300,000 empty gzip members into a .gz file, so that reading takes seconds."""
    payload = gzip.decompress(path.read_bytes())
    half = len(payload) // 2
    empty = gzip.compress(b"", mtime=0) * 300_000
    path.write_bytes(gzip.compress(payload[:half]) + empty + gzip.compress(payload[half:]))


@pytest.fixture(scope="module")
def slow_checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout whose data set takes seconds to download, to parse and to train on."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("slow"))
    images, labels = labelled_images(2000, 28, 28, classes=list(range(8)))
    folder = checkout.path / "data/slow"
    files = write_data_set(folder, (images[:1900], labels[:1900]), (images[1900:], labels[1900:]))
    make_slow_to_read(folder / "train-images-idx3-ubyte.gz")
    entry = {"slow": {"files": files, "sources": [{"folder": str(folder)}]}}
    with open(checkout.path / "config/datasets.yaml", "a", encoding="utf-8") as registry:
        yaml.safe_dump(entry, registry)
    settings = checkout.path / "config/config.yaml"
    # liblinear takes long enough at one rate that a test can kill it while it trains.
    changed = {"dataset": "slow", "regularization": 0.5, "solver": "liblinear"}
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | changed))
    return checkout


@pytest.fixture(scope="module")
def expected_results(
    slow_checkout: Checkout, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """Return the results of a run that is not interrupted."""
    checkout = slow_checkout.copied(tmp_path_factory.mktemp("uninterrupted"))
    checkout.finish(*TARGETS)
    return results(checkout)


def results(checkout: Checkout) -> dict[str, bytes]:
    """Return the content of each result, without logs, benchmarks and records."""
    folder = checkout.path / "results"
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.parent.name not in ("logs", "benchmarks", "records")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.fixture
def start_snakemake() -> Iterator[Callable[..., subprocess.Popen]]:
    """Return a function that starts Snakemake. After the test, kill Snakemake and its jobs."""
    processes = []

    def start(checkout: Checkout, *arguments: str, **config) -> subprocess.Popen:
        processes.append(checkout.start(*(arguments or TARGETS), **config))
        return processes[-1]

    yield start
    for process in processes:
        kill_group(process)


def kill_group(process: subprocess.Popen) -> None:
    """Kill Snakemake, if it is still running, and all its jobs."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_snakemake_alone(process: subprocess.Popen) -> None:
    """Kill Snakemake. Its job goes on."""
    process.kill()
    process.wait()


def has_begun(rule: str, checkout: Checkout) -> bool:
    """Tell whether the rule has begun its work. Training has begun when one class is fitted."""
    if rule in PARTIAL_FILES:
        return any(checkout.path.glob(PARTIAL_FILES[rule]))
    log = checkout.path / "results/logs/train.log"
    return log.exists() and "1 of 8 fitted" in log.read_text()


def wait_until_begun(rule: str, checkout: Checkout, process: subprocess.Popen) -> None:
    """Wait until the rule has begun its work."""
    while not has_begun(rule, checkout):
        assert process.poll() is None, f"Snakemake ended before the test saw {rule} begin"
        time.sleep(0.005)


@pytest.mark.parametrize("kill", [kill_group, kill_snakemake_alone])
def test_the_call_after_a_killed_run_ends_with_the_same_results(
    slow_checkout: Checkout,
    expected_results: dict[str, bytes],
    tmp_path: Path,
    start_snakemake: Callable[..., subprocess.Popen],
    kill: Callable[[subprocess.Popen], None],
):
    checkout = slow_checkout.copied(tmp_path)
    for rule, output in OUTPUTS.items():
        process = start_snakemake(checkout)
        wait_until_begun(rule, checkout, process)
        assert not (checkout.path / output).exists(), f"{rule} had ended before it was killed"
        kill(process)
        # A job that survives Snakemake is waited for. It writes its output, which Snakemake does
        # not record.
        if kill is kill_group:
            assert not (checkout.path / output).exists()
    checkout.finish(*TARGETS)
    assert results(checkout) == expected_results


def test_a_call_waits_for_a_job_of_a_killed_run(finished: Checkout):
    target, digits = "results/metrics.json", {"dataset": "digits"}
    (finished.path / target).unlink()
    # What a killed Snakemake leaves, and the lock that its job holds.
    lock = finished.path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(f"{target}\n")
    with open(finished.path / ".snakemake/jobs", "a") as job:
        fcntl.flock(job, fcntl.LOCK_SH)
        # A dry run changes nothing, so it does not wait.
        assert finished.planned(target, **digits) == {"evaluate": 1}
        waiting = subprocess.Popen(
            command(target, **digits), cwd=finished.path, stderr=subprocess.PIPE, text=True
        )
        while not waiting.stderr.readline().startswith("Waiting for a job of an earlier run"):
            assert waiting.poll() is None
        third = finished.snakemake(target, **digits)
        assert third.returncode == 1
        assert "Directory cannot be locked" in third.stdout + third.stderr
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate()[1] == "snakemake: interrupted; no file is half-written.\n"
        assert waiting.returncode == -signal.SIGINT
        waiting = subprocess.Popen(
            command(target, **digits), cwd=finished.path, stderr=subprocess.PIPE, text=True
        )
        while not waiting.stderr.readline().startswith("Waiting for a job of an earlier run"):
            assert waiting.poll() is None
        assert not (finished.path / target).exists()
    waiting.communicate()
    assert waiting.returncode == 0
    assert (finished.path / target).exists()


def test_a_job_that_begins_after_another_run_has_begun_writes_nothing(digits_run: Checkout):
    """Start a job as if Snakemake had been killed before the job took its lock."""
    program = [sys.executable, "workflow/scripts/draw_sweep.py", "--sweep", "results/sweep.json"]
    program += ["--output", "results/late.png"]
    environment = ENVIRONMENT | {"SNAKEMAKE_RUN_ID": "an earlier run"}
    ended = subprocess.run(
        program, cwd=digits_run.path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr == ("draw_sweep.py: the run that started this job has ended.\n")
    assert not (digits_run.path / "results/late.png").exists()


def test_the_call_after_a_killed_comparison_fits_only_the_missing_rates(
    finished: Checkout, tmp_path: Path, start_snakemake: Callable[..., subprocess.Popen]
):
    rates = "[0.1,0.2,0.5,1,2,5,10,20]"
    liblinear = {"dataset": "digits", "solver": "liblinear", "regularization": rates}
    candidates = finished.path / "results/candidates"
    shutil.rmtree(candidates)
    uninterrupted = finished.copied(tmp_path / "uninterrupted")
    process = start_snakemake(finished, "results/model.pkl", **liblinear)
    while not list(candidates.glob("*.json")):
        assert process.poll() is None, "Snakemake ended before a rate was tried"
        time.sleep(0.005)
    kill_group(process)
    assert not (finished.path / "results/sweep.json").exists()
    before = {path: path.stat().st_mtime_ns for path in candidates.glob("*.json")}
    assert 1 <= len(before) <= 7

    finished.finish("results/model.pkl", **liblinear)
    log = (finished.path / "results/logs/train.log").read_text()
    assert f"8 candidates to compare on 240 of 1437 images, {len(before)} of them as before" in log
    assert {path: path.stat().st_mtime_ns for path in before} == before
    uninterrupted.finish("results/model.pkl", **liblinear)
    assert results(finished) == results(uninterrupted)


def test_a_second_call_is_refused_while_the_first_is_running(
    slow_checkout: Checkout, tmp_path: Path, start_snakemake: Callable[..., subprocess.Popen]
):
    checkout = slow_checkout.copied(tmp_path)
    first = start_snakemake(checkout)
    wait_until_begun("download", checkout, first)
    second = checkout.snakemake(*TARGETS)
    assert first.poll() is None
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr
    wait_until_begun("parse", checkout, first)


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "ENOTSUP"])
def test_without_kernel_locks_the_workflow_runs_and_removes_no_lock(checkout: Checkout, code: str):
    number = getattr(errno, code)
    reason = os.strerror(number)
    no_locks = (
        "import fcntl\n"
        "def flock(*_):\n"
        f"    raise OSError({number}, {reason!r})\n"
        "fcntl.flock = flock\n"
    )
    digits = {"dataset": "digits"}
    made = checkout.snakemake_with_patch(no_locks, "results/preview.png", **digits)
    assert made.returncode == 0, made.stderr
    message = f"This file system has no locks ({reason}): stale locks stay."
    assert made.stderr.count(message) == 1
    # Another run may hold this lock; without kernel locks that cannot be known.
    lock = checkout.path / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("results/model.pkl\n")
    refused = checkout.snakemake_with_patch(no_locks, "results/model.pkl", **digits)
    assert refused.returncode == 1
    assert "Directory cannot be locked" in refused.stdout + refused.stderr
    assert lock.exists()
