"""Test the emulator's proxy and the faults of the network."""

from __future__ import annotations

import contextlib
import http.client
import subprocess

import pytest

from emulator_client import (
    capture,
    control,
    needs_sdk,
    open_workspace,
    submit_script,
    wait_for_status,
)
from emulator_http import open_tunnel, proxy_port, send_request

API_HOST = "westeurope.api.azureml.ms"

# ---- The SDK under faults of the network ---------------------------------------------------------


def client_interrupted_service():
    """Poll a run while the service is unreachable, first for a moment and then for long."""
    workspace = open_workspace()
    run = submit_script(workspace, "--seconds", 2)
    control("PUT", "faults/service_gone", seconds=3)
    short = capture(run.get_status)
    control("PUT", "faults/service_gone")
    long = capture(workspace.get_run, run.id)
    control("DELETE", "faults")
    control("PUT", "faults/server_error", step="get_run", times=2)
    return [short, long, wait_for_status(run, "Completed")]


@needs_sdk
def test_sdk_repeats_requests_while_the_service_is_unreachable(run_client, set_fault):
    short, long, statuses = run_client(client_interrupted_service)
    # The SDK repeats the request for about 20 seconds and then gives up. The run continues.
    assert "error" not in short and short["seconds"] > 1
    assert long["error"] == "ClientRequestError" and 10 < long["seconds"] < 40
    assert statuses[-1] == "Completed"


def client_workspace_name():
    """Open the workspace, and return its name."""
    return open_workspace().name


@needs_sdk
def test_sdk_hangs_in_a_black_hole(run_client, set_fault, shared_emulator):
    set_fault("black_hole")
    before = len(shared_emulator.requests())
    with pytest.raises(subprocess.TimeoutExpired):
        run_client(client_workspace_name, timeout=6)
    assert len(shared_emulator.requests()) == before
    shared_emulator.faults.clear()
    assert run_client(client_workspace_name) == "emulated-workspace"


# ---- The proxy -----------------------------------------------------------------------------------


def test_proxy_rejects_and_logs_requests_to_unknown_hosts(shared_emulator):
    with open_tunnel(shared_emulator, "example.com") as connection:
        assert send_request(connection, "GET", "/secret?sig=confidential")[0] == 502
    (line,) = shared_emulator.unknown()
    assert (line["host"], line["path"], line["status"]) == ("example.com", "/secret", 502)
    assert "confidential" not in (shared_emulator.folder / "requests.jsonl").read_text()


def test_proxy_rejects_plain_requests_to_other_hosts(shared_emulator):
    connection = http.client.HTTPConnection("127.0.0.1", proxy_port(shared_emulator))
    with contextlib.closing(connection):
        assert send_request(connection, "GET", "http://169.254.169.254/metadata")[0] == 502
        assert send_request(connection, "GET", "/_emulator/nonsense")[0] == 501


def test_proxy_tells_a_waiting_client_to_send_its_body(shared_emulator):
    with open_tunnel(shared_emulator, "some.blob.core.windows.net") as connection:
        connection.connect()
        connection.sock.sendall(
            b"PUT /box/late HTTP/1.1\r\nHost: some.blob.core.windows.net\r\n"
            b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100")
        connection.sock.sendall(b"hi")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 201")
        assert connection.sock.selected_alpn_protocol() == "http/1.1"


def test_unreachable_service_resets_connections(shared_emulator, set_fault):
    with open_tunnel(shared_emulator, API_HOST) as connection:
        connection.connect()
        set_fault("service_gone")
        with pytest.raises(ConnectionError):
            send_request(connection, "GET", "/")
        with pytest.raises(ConnectionError):
            connection.connect()
