"""The commands in docs/serve.md work as written."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

import serving
from checkout import TOP

TEXT = (TOP / "docs/serve.md").read_text(encoding="utf-8")
COMMANDS = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.M | re.S)).splitlines()
pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


def documented(part: str) -> str:
    """Return the only command that has this part, with this Python."""
    (command,) = [command for command in COMMANDS if part in command]
    return command.replace(".venv/bin/python", sys.executable)


def output(command: str, folder: Path) -> str:
    return subprocess.run(
        command, shell=True, cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def folder(registered_digits: Path, tmp_path: Path) -> Path:
    """A copy of the digits' results and registry, with the documented file of two images."""
    shutil.copytree(registered_digits, tmp_path, dirs_exist_ok=True)
    output(documented("> images.json"), tmp_path)
    return tmp_path


@pytest.mark.skipif(not serving.PYTHON.exists(), reason=serving.REASON)
def test_curl_gets_predictions(server: serving.Server, folder: Path):
    command = documented("--data @images.json").replace("http://127.0.0.1:5001", server.url)
    answer = json.loads(output(command, folder))
    assert list(answer) == ["labels", "probabilities", "class_names"]
    assert len(answer["labels"]) == 2

    image = np.load(folder / "results/arrays/test-images.npy")[0]
    Image.fromarray(image).resize((80, 80)).save(folder / "picture.png")
    command = documented("picture.png").replace("http://127.0.0.1:5001", server.url)
    assert np.shape(json.loads(output(command, folder))["image"]) == (8, 8)


def test_mlflow_serves_the_registered_version(folder: Path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = documented("mlflow models serve").replace("sklearn_mnist", "digits")
    mlflow = subprocess.Popen(
        command.replace("5002", port).replace("$PWD/.venv/bin", str(Path(sys.executable).parent)),
        shell=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while mlflow.poll() is None:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/ping"):
                break
            time.sleep(0.2)
        answer = output(documented("/invocations").replace("5002", port), folder)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(mlflow.pid, signal.SIGTERM)
        errors = mlflow.communicate()[1]
    predictions = json.loads(answer)["predictions"]
    assert len(predictions["label"]) == 2, errors
    assert np.shape(predictions["probabilities"]) == (2, 10)
