"""Test how the emulator starts and stops, and how it checks the names of faults."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import azureml_emulator
from azureml_emulator import Emulator, faults
from emulator_client import (
    client_result,
    needs_sdk,
    open_workspace,
    start_client,
    submit_script,
    wait_for_child,
    wait_for_status,
)


def client_abandoned_run():
    """Submit a long run, and exit while it is running. Return the id of its child process."""
    run = submit_script(open_workspace(), "--seconds", 60)
    wait_for_status(run, "Running")
    return wait_for_child(run)


@needs_sdk
def test_emulator_ends_the_processes_of_its_runs(tmp_path):
    with Emulator(tmp_path / "state") as emulator:
        process = start_client(emulator, tmp_path, client_abandoned_run)
        child = client_result(process, tmp_path)
        assert Path(f"/proc/{child}").exists()
    assert not Path(f"/proc/{child}").exists()


def test_faults_reject_unknown_names_and_options(shared_emulator):
    with pytest.raises(ValueError, match="unknown fault 'rain', expected one of wrong_secret"):
        shared_emulator.faults.set("rain")
    with pytest.raises(ValueError, match="unknown option often"):
        shared_emulator.faults.set("slow_queue", often=True)
    assert all(faults.FAULTS.values())


def read_exports(process: subprocess.Popen) -> dict[str, str]:
    """Read the environment variables that the command line prints before it is ready."""
    exports = {}
    while (line := process.stdout.readline()) != "# ready\n":
        assert line, "the emulator ended before it was ready"
        name, value = line.removeprefix("export ").strip().split("=", 1)
        exports[name] = value
    return exports


def test_command_line_prints_the_environment_and_stops_on_sigterm(tmp_path):
    command = [sys.executable, "-m", "azureml_emulator", "--state", str(tmp_path / "state")]
    command += ["--fault", 'slow_queue={"seconds": 3}']
    folder = Path(azureml_emulator.__file__).parents[1]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        exports = read_exports(process)
        url = exports["AZUREML_EMULATOR_URL"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        active_faults = json.load(opener.open(f"{url}/_emulator/faults"))
        assert active_faults == {"slow_queue": {"times": None, "seconds": 3}}
        assert Path(exports["AZUREML_EMULATOR_CONFIG"]).exists() and Path(exports["HOME"]).exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
