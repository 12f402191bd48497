"""tools/serve.py takes the right model, and ends cleanly."""

import json
import shutil
import signal
import socket
import subprocess
import time
from argparse import Namespace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import joblib
import numpy as np
import psutil
import pytest

import score
import serve
import serving
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from serving import accuracy

needs_server = pytest.mark.skipif(not serving.PYTHON.exists(), reason=serving.REASON)
REGISTRY = "sqlite:///registry/mlflow.db"


@pytest.fixture
def results(registered_digits: Path, tmp_path: Path) -> Path:
    """A copy of the results of the digits, without their registry."""
    return shutil.copytree(registered_digits / "results", tmp_path / "results")


# ---- The model -------------------------------------------------------------------------------


def copied(folder: Path, monkeypatch: pytest.MonkeyPatch, **options) -> tuple[str, Path]:
    """Copy the model as the program does in a folder; return its title and the copy."""
    monkeypatch.chdir(folder)
    chosen = {
        "receipt": Path("results/registered.json"),
        "registered": None,
        "registry_uri": REGISTRY,
    }
    copy = folder / "copy"
    copy.mkdir()
    return serve.copy_model(Namespace(**chosen | options), copy), copy


@pytest.fixture
def with_registry(registered_digits: Path, tmp_path: Path) -> Path:
    """A copy of the results of the digits, with their registry."""
    return shutil.copytree(registered_digits, tmp_path / "with registry")


@pytest.mark.parametrize("registered", [None, "digits", "digits/1"])
def test_the_registered_version_is_taken(
    with_registry: Path, monkeypatch: pytest.MonkeyPatch, registered: str | None
):
    (with_registry / "results/model.pkl").unlink()
    title, copy = copied(with_registry, monkeypatch, registered=registered)
    assert title == "version 1 of digits"
    images = np.load(with_registry / "results/arrays/test-images.npy")
    found, expected = accuracy(score.loaded(copy).predict(images).to_json(), with_registry)
    assert found == expected


@pytest.mark.parametrize("registry", ["local", "azureml"])
def test_the_results_are_taken_if_the_registry_is_elsewhere(
    results: Path, monkeypatch: pytest.MonkeyPatch, registry: str
):
    receipt = json.loads((results / "registered.json").read_text())
    (results / "registered.json").write_text(json.dumps(receipt | {"registry": registry}))
    title, copy = copied(results.parent, monkeypatch)
    assert title == "version 1 of digits"
    images = np.load(results / "arrays/test-images.npy")
    found, expected = accuracy(score.loaded(copy).predict(images).to_json(), results.parent)
    assert found == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("digits/9", "digits has no version 9"),
        ("digits@champion", "digits has no alias champion"),
        ("digit", "there is no model digit .*: did you mean digits?"),
    ],
)
def test_a_version_that_does_not_exist_is_named(
    with_registry: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, expected: str
):
    with pytest.raises(UserError, match=expected):
        copied(with_registry, monkeypatch, registered=wanted)


def test_a_registry_that_does_not_exist_is_named(results: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UserError, match=r"the registry .* does not exist"):
        copied(results.parent, monkeypatch, registered="digits/1")
    assert not (results.parent / "registry").exists()


@pytest.mark.parametrize("registered", [None, "digits/1"])
def test_an_altered_version_is_not_served(
    with_registry: Path, monkeypatch: pytest.MonkeyPatch, registered: str | None
):
    (file,) = with_registry.glob("registry/artifacts/models/*/artifacts/model_input.json")
    file.write_text(file.read_text().replace("seven", "one"))
    with pytest.raises(UserError, match="are not those that were registered"):
        copied(with_registry, monkeypatch, registered=registered)


def test_another_version_with_the_same_number_is_not_served(
    with_registry: Path, monkeypatch: pytest.MonkeyPatch
):
    receipt = json.loads((with_registry / "results/registered.json").read_text())
    receipt["artifact_sha256"] = "0" * 64
    (with_registry / "results/registered.json").write_text(json.dumps(receipt))
    with pytest.raises(UserError, match=r"registered: expected \w+ 0000"):
        copied(with_registry, monkeypatch)


def test_results_with_another_model_are_not_served(results: Path, monkeypatch: pytest.MonkeyPatch):
    joblib.dump(7, results / "model.pkl")
    with pytest.raises(UserError, match="is not the registered model: expected"):
        copied(results.parent, monkeypatch)


# ---- The start -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def refused_by(tmp_path_factory: pytest.TempPathFactory):
    """A function that returns the sentence with which the program ends in a folder."""

    def refusal(folder: Path, *arguments: str) -> str:
        process = serving.start(folder, *arguments)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output) == (1, ""), errors
        assert "Traceback" not in errors
        return errors

    return refusal


@needs_server
def test_it_says_what_is_served_and_where(server: serving.Server):
    assert server.said.splitlines() == [
        "Serving version 1 of digits. Ctrl-C stops it.",
        f"draw a picture    {server.url}/draw",
        f"score by program  {server.url}/score",
    ]


@needs_server
def test_only_this_machine_can_connect(server: serving.Server):
    listening = {
        connection.laddr
        for child in psutil.Process(server.process.pid).children(recursive=True)
        for connection in child.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", urlsplit(server.url).port)}


@needs_server
def test_a_second_server_names_the_first(server: serving.Server, results: Path, refused_by):
    port = urlsplit(server.url).port
    said = refused_by(results.parent, "--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use by process " in said
    assert "gunicorn" in said
    assert "choose another port: --port" in said


def test_without_a_receipt_or_the_server_it_says_what_to_do(tmp_path: Path, refused_by):
    assert "Register a model first" in refused_by(tmp_path, "--python", "/bin/sh", "--port", "0")
    assert "`make serve` installs it" in refused_by(tmp_path, "--python", "missing")


@needs_server
def test_a_model_that_cannot_be_loaded_is_explained_in_a_sentence(results: Path, refused_by):
    receipt = json.loads((results / "registered.json").read_text())
    mine = "import joblib, mine; joblib.dump(mine.Mine(), 'results/model.pkl')"
    (results.parent / "mine.py").write_text("class Mine:\n    pass\n")
    subprocess.run([serving.PYTHON, "-c", mine], cwd=results.parent, check=True)
    (results.parent / "mine.py").unlink()
    receipt["sha256"]["model"] = sha256_of_file(results / "model.pkl")
    (results / "registered.json").write_text(json.dumps(receipt))
    said = refused_by(results.parent, "--port", "0")
    assert "The model needs the package mine. Install it" in said
    assert said.count("\n") == 1


# ---- The end ---------------------------------------------------------------------------------


@needs_server
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_trace(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with serving.serving(results.parent) as server:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        assert len(processes) == 2
        address = urlsplit(server.url)
        # A client in the middle of its request.
        with socket.create_connection((address.hostname, address.port)) as slow:
            slow.sendall(b"POST /score HTTP/1.1\r\n")
            assert urlopen(server.url).read() == b"Healthy"
            began = time.monotonic()
            assert server.stop(number) == (0, "")
            assert time.monotonic() - began < 8
    assert psutil.wait_procs(processes, timeout=5)[1] == []
    assert list(temporary.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port))


@needs_server
def test_the_server_ends_when_its_program_was_killed(results: Path):
    with serving.serving(results.parent) as server:
        processes = psutil.Process(server.process.pid).children(recursive=True)
        server.process.kill()
        assert psutil.wait_procs(processes, timeout=15)[1] == []
