"""Run the workflow with a real SDK and the emulator, for the tests in tests/azureml.

The tests run with SDK v2, or with SDK v1 if the environment variable SDK is v1.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from azureml_emulator import Emulator
from checkout import TOP, Checkout


class Interpreters(NamedTuple):
    """The interpreter of Snakemake and an SDK, and the interpreter of the emulator's jobs."""

    client: Path
    job: Path


#: The jobs of SDK v2 run with the interpreter of the tests, which has no Azure package.
SDKS = {
    "v2": Interpreters(TOP / ".venv-azureml/bin/python", Path(sys.executable)),
    "v1": Interpreters(
        TOP / ".venv-azureml-v1/bin/python", TOP / ".venv-azureml-v1-job/bin/python"
    ),
}
SDK = os.environ.get("SDK", "v2")
CLIENT, JOB = SDKS[SDK]


def is_installed(sdk: str) -> bool:
    """Tell whether the interpreters of an SDK are installed."""
    client, job = SDKS[sdk]
    return client.exists() and job.exists()


needs_sdk = pytest.mark.skipif(
    not is_installed(SDK),
    reason=f"the Azure ML SDK {SDK} is not installed (make .venv-azureml/installed, or for v1 "
    "make .venv-azureml-v1/installed .venv-azureml-v1-job/installed with CPython 3.11)",
)
needs_both = pytest.mark.skipif(
    not all(map(is_installed, SDKS)), reason="both SDKs of Azure ML are not installed"
)

#: What the emulator calls a step, which differs between the SDKs.
STEPS = {
    "v1": {"submit": "submit_run", "register": "register_model"},
    "v2": {"submit": "submit_job", "register": "create_model_version"},
}[SDK]

MODEL, TRAINING, RECEIPT = "results/model.pkl", "results/training.json", "results/registered.json"
HANDLE = "results/azureml/handle.json"
KINDS = "images", "labels"

#: The configuration of tests that choose nothing else: little data, and one fit.
DEFAULTS = {"dataset": "digits", "regularization": 0.5}


class Cloud:
    """A checkout, and the emulated workspace that its Snakemake uses."""

    def __init__(self, checkout: Checkout, emulator: Emulator, client: Path = CLIENT):
        self.path, self.emulator, self.client = checkout.path, emulator, client
        self.home = self.path.parent / "home"
        emulator.write_config(self.path)
        # The emulator answers at once, so poll often and give up early.
        self.configure(poll_seconds=0.3, patience_seconds=60)

    def copied(self, folder: Path) -> "Cloud":
        """Return a copy of this checkout, in the same workspace."""
        copy = Cloud.__new__(Cloud)
        copy.path = Checkout(self.path).copied(folder / "checkout").path
        copy.emulator, copy.home, copy.client = self.emulator, self.home, self.client
        return copy

    def configure(self, **values) -> None:
        """Change numbers in the section azureml of config.yaml."""
        path = self.path / "config/config.yaml"
        lines = path.read_text().splitlines(keepends=True)
        for key, value in values.items():
            (index,) = (i for i, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
            lines[index] = f"  {key}: {value}\n"
        path.write_text("".join(lines))

    def start(self, *arguments: str, env: dict | None = None, **config) -> subprocess.Popen:
        """Start snakemake in a process group of its own, and write its output to output.txt."""
        values = [f"{key}={value}" for key, value in (DEFAULTS | config).items()]
        with open(self.path / "output.txt", "w") as output:
            return subprocess.Popen(
                [self.client, "-m", "snakemake", "--cores", "1", *arguments, "--config", *values],
                cwd=self.path,
                env=os.environ | self.emulator.environment(self.home) | (env or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, timeout: float = 120, **options) -> tuple[int, str]:
        """Run snakemake to its end, and return the exit code and the output."""
        process = self.start(*arguments, **options)
        try:
            code = process.wait(timeout)
        finally:
            kill_process_group(process)
        return code, self.said()

    def succeed(self, *arguments: str, **options) -> str:
        """Run snakemake, assert that it succeeds, and return its output."""
        code, output = self.run(*arguments, **options)
        assert code == 0, output
        return output

    def fail(self, *arguments: str, **options) -> str:
        """Run snakemake, assert that it fails with exit code 1, and return its output."""
        code, output = self.run(*arguments, **options)
        assert code == 1, output
        # Users read one sentence on the terminal. Tracebacks go to the log file.
        assert "Traceback" not in output
        return output

    def said(self) -> str:
        """Return the output of the last snakemake until now."""
        return (self.path / "output.txt").read_text()

    def json(self, name: str) -> dict:
        """Return the content of a JSON file of the checkout."""
        return json.loads((self.path / name).read_text())

    def exists(self, name: str) -> bool:
        """Tell whether a file of the checkout exists."""
        return (self.path / name).exists()

    def runs(self) -> list[tuple[str, str]]:
        """Return the id and the status of each run in the workspace."""
        return [(run["runId"], run["status"]) for run in self.emulator.state()["runs"]]

    def statuses(self) -> list[str]:
        """Return the status of each run in the workspace."""
        return [status for _, status in self.runs()]

    def submitted(self) -> int:
        """Return the number of submissions that the service answered with success."""
        steps = ("submit_run", "submit_job")
        lines = self.emulator.requests()
        return sum(line["step"] in steps and line["status"] in (200, 201) for line in lines)

    def models(self) -> list[str]:
        """Return the ids of all registered versions that are not archived."""
        models = self.emulator.state()["models"]
        return [model["id"] for model in models if not model.get("isArchived")]


def kill_process_group(process: subprocess.Popen) -> None:
    """Kill all processes of a process group, and wait for its leader."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition is true. Fail after the given number of seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def parsed(tmp_path_factory) -> Checkout:
    """Return a checkout with the digits' data and its pictures, and without a model."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("parsed") / "checkout")
    arrays = [f"results/arrays/{part}-{kind}.npy" for part in ("train", "test") for kind in KINDS]
    described = [f"results/{name}" for name in ("dataset.json", "preview.png", "class_balance.png")]
    subprocess.run(
        [CLIENT, "-m", "snakemake", *arrays, *described, "--config", "dataset=digits"],
        cwd=checkout.path,
        check=True,
        capture_output=True,
    )
    return checkout


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    """Run an emulator with an empty workspace."""
    with Emulator(tmp_path / "emulator", python=JOB) as running:
        yield running


@pytest.fixture
def bare(parsed: Checkout, emulator: Emulator, tmp_path: Path) -> Cloud:
    """Return a checkout with the parsed digits, and a workspace without a cluster."""
    return Cloud(parsed.copied(tmp_path / "checkout"), emulator)


@pytest.fixture
def cloud(bare: Cloud) -> Cloud:
    """Return a checkout with the parsed digits, and a workspace with the configured cluster."""
    put_compute(bare.emulator, "cpu-cluster")
    return bare


def put_compute(emulator: Emulator, name: str, kind: str = "AmlCompute") -> None:
    """Add a compute target to the workspace, ready for use."""
    target = emulator.arm.compute(
        name, {"properties": {"computeType": kind}}, "2026-01-01T00:00:00.000000Z"
    )
    emulator.arm.computes[name] = target | {"provisioningState": "Succeeded"}
