"""A run that was killed is taken up by the same command, and ends with the same bytes."""

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

from checkout import ENVIRONMENT, Checkout
from samples import labelled_images, write_data_set

TARGETS = ["results/metrics.json", "results/preview.png"]
# The unfinished file of a rule that is at its work.
UNFINISHED = {
    "download": "results/raw/.train-images-idx3-ubyte.gz.*.part",
    "parse": "results/arrays/.train-images.npy.*.part",
}
MADE = {
    "download": "results/raw/train-images-idx3-ubyte.gz",
    "parse": "results/arrays/train-images.npy",
    "train": "results/model.pkl",
}


def slow_to_read(path: Path) -> None:
    """Put half a million empty gzip members into the middle of a .gz file: seconds to read."""
    payload = gzip.decompress(path.read_bytes())
    half = len(payload) // 2
    empty = gzip.compress(b"", mtime=0) * 500_000
    path.write_bytes(gzip.compress(payload[:half]) + empty + gzip.compress(payload[half:]))


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a data set that takes seconds to download, to parse and to train on."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("slow"))
    images, labels = labelled_images(2000, 28, 28, classes=list(range(8)))
    folder = checkout.path / "data/slow"
    files = write_data_set(folder, (images[:1900], labels[:1900]), (images[1900:], labels[1900:]))
    slow_to_read(folder / "train-images-idx3-ubyte.gz")
    entry = {"slow": {"files": files, "sources": [{"folder": str(folder)}]}}
    with open(checkout.path / "config/datasets.yaml", "a", encoding="utf-8") as registry:
        yaml.safe_dump(entry, registry)
    settings = checkout.path / "config/config.yaml"
    # Whoever gives one rate, and to liblinear, waits longest for the training itself.
    changed = {"dataset": "slow", "regularization": 0.5, "solver": "liblinear"}
    settings.write_text(yaml.safe_dump(yaml.safe_load(settings.read_text()) | changed))
    return checkout


@pytest.fixture(scope="module")
def undisturbed(slow: Checkout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run that nobody disturbs makes of that data set."""
    checkout = slow.copied(tmp_path_factory.mktemp("undisturbed"))
    checkout.finish(*TARGETS)
    return results(checkout)


def results(checkout: Checkout) -> dict[str, bytes]:
    folder = checkout.path / "results"
    files = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in files if path.parent.name not in ("logs", "benchmarks", "records")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start Snakemake; whatever is left of it and its jobs ends with the test."""
    processes = []

    def start(checkout: Checkout, *arguments: str, **config) -> subprocess.Popen:
        processes.append(checkout.start(*(arguments or TARGETS), **config))
        return processes[-1]

    yield start
    for process in processes:
        kill_group(process)


def kill_group(process: subprocess.Popen) -> None:
    """Kill Snakemake, if it lives, and every job of it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kill_snakemake_alone(process: subprocess.Popen) -> None:
    """Kill Snakemake, and wait until its job has come to its end."""
    process.kill()
    process.wait()
    deadline = time.monotonic() + 60
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


def at_work(rule: str, checkout: Checkout) -> bool:
    """Say whether the rule has begun its work; training has when the first class is fitted."""
    if rule in UNFINISHED:
        return any(checkout.path.glob(UNFINISHED[rule]))
    log = checkout.path / "results/logs/train.log"
    return log.exists() and "1 of 8 fitted" in log.read_text()


def wait_for(rule: str, checkout: Checkout, process: subprocess.Popen) -> None:
    """Return as soon as the rule is at work."""
    while not at_work(rule, checkout):
        assert process.poll() is None, f"Snakemake ended before {rule} was seen at work"
        time.sleep(0.005)


@pytest.mark.parametrize("kill", [kill_group, kill_snakemake_alone])
def test_a_killed_run_is_taken_up(
    slow: Checkout,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    started: Callable[..., subprocess.Popen],
    kill: Callable[[subprocess.Popen], None],
):
    checkout = slow.copied(tmp_path)
    for rule, made in MADE.items():
        process = started(checkout)
        wait_for(rule, checkout, process)
        assert not (checkout.path / made).exists(), f"{rule} was not hit in the middle"
        kill(process)
        # A job that outlives Snakemake finishes its work; nobody knows about it.
        assert (checkout.path / made).exists() == (kill is kill_snakemake_alone)
    checkout.finish(*TARGETS)
    assert results(checkout) == undisturbed


def test_a_job_that_outlives_snakemake_is_waited_for(
    slow: Checkout, tmp_path: Path, started: Callable[..., subprocess.Popen]
):
    checkout = slow.copied(tmp_path)
    process = started(checkout)
    wait_for("download", checkout, process)
    process.kill()
    process.wait()
    refused = checkout.snakemake(*TARGETS)
    assert refused.returncode == 1
    assert (
        "a job of an earlier run is still at work in this folder; wait for it to end, or stop it, "
        "and run again."
    ) in refused.stdout + refused.stderr
    # A dry run changes nothing, so it is allowed. The test images may have been downloaded before.
    assert checkout.planned(*TARGETS)["download"] in (1, 2)
    kill_group(process)
    checkout.finish("results/raw/train-images-idx3-ubyte.gz")


def test_a_job_that_begins_after_its_run_has_ended_does_nothing(digits_run: Checkout):
    """As when Snakemake is killed while Python starts: the job has no lock yet."""
    command = [sys.executable, "workflow/scripts/draw_sweep.py", "--sweep", "results/sweep.json"]
    command += ["--output", "results/late.png"]
    environment = ENVIRONMENT | {"SNAKEMAKE_RUN_ID": "an earlier run"}
    ended = subprocess.run(
        command, cwd=digits_run.path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "draw_sweep.py: the run that started this job has ended, and another has begun.\n"
    )
    assert not (digits_run.path / "results/late.png").exists()


def test_a_sweep_that_was_killed_goes_on_where_it_was(
    finished: Checkout, tmp_path: Path, started: Callable[..., subprocess.Popen]
):
    """The candidates that were finished stay as they are, and the others are fitted."""
    rates = "[0.1,0.2,0.5,1,2,5,10,20]"
    liblinear = {"dataset": "digits", "solver": "liblinear", "regularization": rates}
    candidates = finished.path / "results/candidates"
    shutil.rmtree(candidates)
    undisturbed = finished.copied(tmp_path / "undisturbed")
    process = started(finished, "results/model.pkl", **liblinear)
    while not list(candidates.glob("*.json")):
        assert process.poll() is None, "Snakemake ended before a rate was tried"
        time.sleep(0.005)
    kill_group(process)
    assert not (finished.path / "results/sweep.json").exists()
    before = {path: path.stat().st_mtime_ns for path in candidates.glob("*.json")}
    assert 1 <= len(before) <= 7

    finished.finish("results/model.pkl", **liblinear)
    log = (finished.path / "results/logs/train.log").read_text()
    assert f"8 rates to compare on 240 of 1437 images, {len(before)} of them as before" in log
    assert {path: path.stat().st_mtime_ns for path in before} == before
    undisturbed.finish("results/model.pkl", **liblinear)
    assert results(finished) == results(undisturbed)


def test_a_second_snakemake_is_refused_while_the_first_lives(
    slow: Checkout, tmp_path: Path, started: Callable[..., subprocess.Popen]
):
    checkout = slow.copied(tmp_path)
    first = started(checkout)
    wait_for("download", checkout, first)
    second = checkout.snakemake(*TARGETS)
    assert first.poll() is None
    assert second.returncode != 0
    assert "Directory cannot be locked" in second.stdout + second.stderr
    wait_for("parse", checkout, first)
