"""The workflow with the real SDK, sent to the emulator: what the tests of the cloud share."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azureml_emulator import Emulator
from checkout import TOP, Checkout

#: The interpreter of the client, and that of the jobs that the emulator runs.
CLIENT = TOP / ".venv-azureml/bin/python"
JOB = TOP / ".venv-azureml-job/bin/python"

INSTALLED = all((python.parents[1] / "installed").exists() for python in (CLIENT, JOB))

needs_sdk = pytest.mark.skipif(
    not INSTALLED,
    reason="the Azure ML SDK v1 is not installed: it needs CPython 3.11 (make setup-azureml)",
)

MODEL, TRAINING, RECEIPT = "results/model.pkl", "results/training.json", "results/registered.json"
HANDLE = "results/azureml/handle.json"

#: What a test that does not choose a rate runs with: little data, and one fit.
DEFAULTS = {"dataset": "digits", "regularization": 0.5}


class Cloud:
    """A checkout whose snakemake talks to an emulated workspace."""

    def __init__(self, checkout: Checkout, emulator: Emulator):
        self.path, self.emulator = checkout.path, emulator
        self.home = self.path.parent / "home"
        emulator.write_config(self.path)
        # As fast as the emulator is, and as impatient as a test.
        self.configure(poll_seconds=0.3, patience_seconds=60, metrics_seconds=20)

    def copied(self, folder: Path) -> "Cloud":
        """Return a copy of this checkout, in the same workspace."""
        copy = Cloud.__new__(Cloud)
        copy.path = Checkout(self.path).copied(folder / "checkout").path
        copy.emulator, copy.home = self.emulator, self.home
        return copy

    def configure(self, **values) -> None:
        """Change numbers of the section azureml in config.yaml."""
        path = self.path / "config/config.yaml"
        lines = path.read_text().splitlines(keepends=True)
        for key, value in values.items():
            (at,) = (i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
            lines[at] = f"  {key}: {value}\n"
        path.write_text("".join(lines))

    def start(self, *arguments: str, env: dict | None = None, **config) -> subprocess.Popen:
        """Start snakemake in a process group of its own; its words go to said.txt."""
        values = [f"{key}={value}" for key, value in (DEFAULTS | config).items()]
        with open(self.path / "said.txt", "w") as said:
            return subprocess.Popen(
                [CLIENT, "-m", "snakemake", "--cores", "1", *arguments, "--config", *values],
                cwd=self.path,
                env=os.environ | self.emulator.environment(self.home) | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, timeout: float = 120, **options) -> tuple[int, str]:
        """Run snakemake to its end; return the exit code, and what it said."""
        process = self.start(*arguments, **options)
        try:
            code = process.wait(timeout)
        finally:
            kill(process)
        return code, self.said()

    def succeed(self, *arguments: str, **options) -> str:
        """Run snakemake, which has to succeed, and return what it said."""
        code, said = self.run(*arguments, **options)
        assert code == 0, said
        return said

    def fail(self, *arguments: str, **options) -> str:
        """Run snakemake, which has to fail with exit code 1, and return what it said."""
        code, said = self.run(*arguments, **options)
        assert code == 1, said
        # What a user reads is a sentence; tracebacks are for the log.
        assert "Traceback" not in said
        return said

    def said(self) -> str:
        """Return what the last snakemake has said until now."""
        return (self.path / "said.txt").read_text()

    def json(self, name: str) -> dict:
        """Return the content of a JSON file of the checkout."""
        return json.loads((self.path / name).read_text())

    def exists(self, name: str) -> bool:
        """Tell whether a file of the checkout is there."""
        return (self.path / name).exists()

    def runs(self) -> list[tuple[str, str]]:
        """Return id and status of all runs in the workspace."""
        return [(run["runId"], run["status"]) for run in self.emulator.state()["runs"]]

    def statuses(self) -> list[str]:
        """Return the statuses of all runs in the workspace."""
        return [status for _, status in self.runs()]

    def submitted(self) -> int:
        """Return how many submissions the service has taken."""
        steps = [(line["step"], line["status"]) for line in self.emulator.requests()]
        return steps.count(("submit_run", 200))

    def models(self) -> list[str]:
        """Return the ids of all registered models."""
        return [model["id"] for model in self.emulator.state()["models"]]


def kill(process: subprocess.Popen) -> None:
    """Kill whatever is left of a process group of ours, and wait for its leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def parsed(tmp_path_factory) -> Checkout:
    """A checkout in which everything is done that comes before training."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("parsed") / "checkout")
    arrays = [f"results/arrays/{part}-{kind}.npy" for part in ("train", "test") for kind in KINDS]
    subprocess.run(
        [CLIENT, "-m", "snakemake", *arrays, "results/preview.png", "--config", "dataset=digits"],
        cwd=checkout.path,
        check=True,
        capture_output=True,
    )
    return checkout


KINDS = "images", "labels"


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """A fresh workspace."""
    with Emulator(tmp_path / "emulator", python=JOB) as running:
        yield running


@pytest.fixture
def bare(parsed: Checkout, emulator: Emulator, tmp_path: Path) -> Cloud:
    """A checkout with parsed digits, and a workspace without a cluster."""
    return Cloud(parsed.copied(tmp_path / "checkout"), emulator)


@pytest.fixture
def cloud(bare: Cloud) -> Cloud:
    """A checkout with parsed digits, and a workspace that has the cluster."""
    put_compute(bare.emulator, "cpu-cluster")
    return bare


def put_compute(emulator: Emulator, name: str, kind: str = "AmlCompute") -> None:
    """Put a compute target into the workspace, ready for use."""
    target = emulator.arm.compute(name, {"properties": {"computeType": kind}}, "2026-01-01T00:00Z")
    emulator.arm.computes[name] = target | {"provisioningState": "Succeeded"}
