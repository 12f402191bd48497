"""Run the real SDK against the emulator, in client processes.

A function named `client_...` in a test file runs in a process of its own. Only environment
variables send this process to the emulator. It returns its result to the test as JSON. The client
functions show that the SDK can read the emulator's answers; they do not show that Azure gives the
same answers. The interpreter of SDK v2 runs the functions named `client_v2_...`. Their test files
import no pytest, which it does not have; `run_client` skips a test whose SDK is not installed.
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

import emulator_process
from azureml_emulator import Emulator
from emulator_process import capture, control, write_source

__all__ = ["capture", "control"]

#: The interpreter with SDK v1. It runs the client processes and the submitted scripts.
SDK_PYTHON = Path(__file__).parents[2] / ".venv-azureml-v1/bin/python"

#: The interpreter with SDK v2. It runs the client functions whose names begin with `client_v2_`.
SDK_V2_PYTHON = Path(__file__).parents[2] / ".venv-azureml/bin/python"

needs_sdk = pytest.mark.skipif(
    not (SDK_PYTHON.parents[1] / "installed").exists(),
    reason="the Azure ML SDK v1 is not installed: it needs CPython 3.11 (make setup-azureml-v1)",
)

#: The names and sizes of the MNIST files that the emulator serves.
MNIST_FILE_SIZES = {
    "t10k-images-idx3-ubyte.gz": 1000,
    "t10k-labels-idx1-ubyte.gz": 1001,
    "train-images-idx3-ubyte.gz": 1002,
    "train-labels-idx1-ubyte.gz": 1003,
}

#: A file size that makes the SDK's data engine upload the file in several blocks.
LARGE_FILE_SIZE = 12_000_000


# ---- Fixtures and functions for tests ------------------------------------------------------------


@pytest.fixture(scope="module")
def shared_emulator(request, tmp_path_factory):
    """Provide one emulator for a file's tests. Each test uses its own faults and its own names.

    Submitted scripts run with SDK v1, unless the test file names another interpreter in JOB_PYTHON.
    """
    folder = tmp_path_factory.mktemp("emulator")
    mnist = folder / "mnist"
    mnist.mkdir()
    for name, size in MNIST_FILE_SIZES.items():
        (mnist / name).write_bytes(bytes(size))
    python = getattr(request.module, "JOB_PYTHON", SDK_PYTHON)
    with Emulator(folder / "state", python=python, mnist=mnist) as emulator:
        yield emulator


@pytest.fixture
def set_fault(shared_emulator):
    """Return a function that activates a fault. Deactivate all faults at the end of the test."""
    yield shared_emulator.faults.set
    shared_emulator.faults.clear()


@pytest.fixture
def run_client(shared_emulator, tmp_path):
    """Return a function that runs a `client_...` function in a process and returns its result."""

    def run(function, timeout=60, **arguments):
        if not (sdk_python(function).parents[1] / "installed").exists():
            pytest.skip(f"{sdk_python(function).parents[1].name} is not installed")
        process = start_client(shared_emulator, tmp_path, function, **arguments)
        return client_result(process, tmp_path, timeout)

    return run


def sdk_python(function) -> Path:
    """Return the interpreter that runs a client function."""
    return SDK_V2_PYTHON if function.__name__.startswith("client_v2_") else SDK_PYTHON


def start_client(emulator: Emulator, folder: Path, function, **arguments) -> subprocess.Popen:
    """Start a client process in a folder, with a new home folder."""
    test_file = inspect.getfile(function)
    script = emulator_process.__file__
    command = [sdk_python(function), script, test_file, function.__name__, json.dumps(arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | emulator.environment(folder / "home"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def client_result(process: subprocess.Popen, folder: Path, timeout: float = 60):
    """Wait for a client process, and return the result that it wrote to the folder."""
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert process.returncode == 0, output
    return json.loads((folder / "result.json").read_text())


# ---- Functions for client processes --------------------------------------------------------------


def open_workspace():
    """Open the workspace as a service principal."""
    from azureml.core import Workspace
    from azureml.core.authentication import ServicePrincipalAuthentication

    names = ("TENANT_ID", "ID", "PASSWORD")
    values = [os.environ[f"AZUREML_SERVICE_PRINCIPAL_{name}"] for name in names]
    auth = ServicePrincipalAuthentication(*values, cloud="AzureCloud")
    return Workspace.from_config(os.environ["AZUREML_EMULATOR_CONFIG"], auth=auth)


def write_arrays() -> str:
    """Write a small and a large file into the folder `arrays`, and return the folder's name."""
    folder = Path("arrays")
    folder.mkdir()
    (folder / "small.npy").write_bytes(b"small")
    (folder / "large.npy").write_bytes(bytes(LARGE_FILE_SIZE))
    return str(folder)


def container_client(datastore):
    """Return the storage library's client for a datastore's container."""
    return datastore.blob_service.get_container_client(datastore.container_name)


def submit_script(workspace, *arguments, max_seconds=None, inputs=(), **options):
    """Add a ready cluster to the workspace, and submit the script `emulator_script.py` to it."""
    from azureml.core import Environment, Experiment, RunConfiguration, ScriptRunConfig

    control("PUT", "computes/cpu-cluster")
    source = write_source()
    settings = RunConfiguration()
    settings.target = "cpu-cluster"
    settings.environment = Environment("emulated")
    settings.environment_variables = {"TEST_VARIABLE": "here"}
    settings.max_run_duration_seconds = max_seconds
    arguments = [*map(str, arguments), *inputs]
    config = ScriptRunConfig(str(source), "train.py", arguments, run_config=settings)
    return Experiment(workspace, "faults").submit(config, **options)


def wait_for_status(run, *statuses, seconds=30):
    """Poll a run until it has one of the statuses, and return all statuses that it had."""
    seen, deadline = [run.get_status()], time.monotonic() + seconds
    while seen[-1] not in statuses:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
        status = run.get_status()
        seen += [status] if status != seen[-1] else []
    return seen


def wait_for_child(run, seconds=30) -> str:
    """Wait until the script has logged its child's process id, and return the id."""
    deadline = time.monotonic() + seconds
    while True:
        log = run.get_details_with_logs()["logFiles"].get("user_logs/std_log.txt", "")
        if process_id := log.partition("child ")[2].partition("\n")[0]:
            return process_id
        assert time.monotonic() < deadline, log
        time.sleep(0.2)
