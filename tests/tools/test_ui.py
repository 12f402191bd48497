"""`make ui`: the web pages of the registered model."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

import ui
from checkout import TOP
from registration import registered, write_results

PROGRAM = [sys.executable, TOP / "tools/ui.py"]
RECEIPT = {
    "name": "sklearn_mnist",
    "version": 3,
    "registry_uri": "https://mlflow.example.org/",
    "run_id": "a1b2",
    "portal_url": None,
}


class Shown:
    """A running ui.py, with the addresses that it printed."""

    def __init__(self, folder: Path):
        self.process = subprocess.Popen(
            PROGRAM, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started = self.process.stdout.readline()
        self.pages = {}
        for line in self.process.stdout:
            if line == "Ctrl-C stops MLflow.\n":
                break
            title, address = re.split(" {2,}", line.strip())
            self.pages[title] = address
        else:
            pytest.fail(self.process.stderr.read())
        self.server = self.pages["model version"].partition("/#/")[0]

    def get(self, path: str) -> bytes:
        """Return what the server answers, without a proxy."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.server + path, timeout=60) as answer:
            return answer.read()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal, and wait until the program has ended."""
        self.process.send_signal(number)
        self.process.wait(30)


@contextmanager
def shown(folder: Path) -> Iterator[Shown]:
    program = Shown(folder)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.stop(signal.SIGTERM)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """The options of register.py for a model that is registered as the workflow does it."""
    folder = tmp_path_factory.mktemp("shown")
    (folder / "results").mkdir()
    options = write_results(folder / "results", f"sqlite:///{folder}/registry/mlflow.db")
    # The workflow's default is relative, but in this process MLflow remembers what it meant first.
    receipt = registered(options) | {"registry_uri": "sqlite:///registry/mlflow.db"}
    options.receipt.write_text(json.dumps(receipt))
    return options


@pytest.fixture(scope="module")
def folder(options: Namespace) -> Path:
    return options.receipt.parents[1]


@pytest.fixture(scope="module")
def running(folder: Path) -> Iterator[Shown]:
    with shown(folder) as program:
        yield program


# ---- A registry on this machine ------------------------------------------------------------


def test_the_addresses_are_those_of_the_registered_model(running: Shown, options: Namespace):
    receipt = json.loads(options.receipt.read_text())
    mode = "workflowType=machine_learning"
    runs = f"{running.server}/#/experiments/1/runs"
    assert running.started == "Starting MLflow on sqlite:///registry/mlflow.db\n"
    assert running.pages == {
        "model version": f"{running.server}/#/models/my_model/versions/1?{mode}",
        "its run": f"{runs}/{receipt['run_id']}?{mode}",
        "all runs": f"{runs}?{mode}&viewStateShareKey=accuracy",
    }


def test_the_server_has_pages_and_pictures(running: Shown, options: Namespace):
    run_id = json.loads(options.receipt.read_text())["run_id"]
    assert b"<title>MLflow</title>" in running.get("/")
    picture = running.get(f"/get-artifact?path=preview.png&run_uuid={run_id}")
    assert picture == options.pictures[0].read_bytes()


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("model version", ["Version 1", "regularization rate 0.5", "three, ünlaut 200"]),
        ("its run", [", rate 0.5, mine</", "regularization_rate", "mine train"]),
        ("all runs", [", rate 0.5, mine<", "Sort: accuracy"]),
    ],
)
def test_a_browser_shows_the_page(running: Shown, tmp_path: Path, page: str, expected: list[str]):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server"]
    command += [f"--user-data-dir={tmp_path}", "--virtual-time-budget=20000", "--dump-dom"]
    ended = subprocess.run([*command, running.pages[page]], capture_output=True, text=True)
    assert [text for text in expected if text not in ended.stdout] == []


def test_a_model_is_registered_on_a_server(
    running: Shown, options: Namespace, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receipt_file = tmp_path / "registered.json"
    receipt = registered(
        options, registry_uri=running.server, model_name="other", receipt=receipt_file
    )
    assert receipt["version"] == 1
    assert receipt["run_id"] == json.loads(options.receipt.read_text())["run_id"]
    ended = subprocess.run([*PROGRAM, receipt_file], capture_output=True, text=True, check=True)
    page = f"{running.server}/#/models/other/versions/1?workflowType=machine_learning\n"
    assert ended.stdout == page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_with_the_program_and_leaves_no_files(folder: Path, number):
    before = {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
    with socket.socket() as taken:
        with suppress(OSError):  # Another program has it already.
            taken.bind(("127.0.0.1", ui.PORT))
            taken.listen()
        with shown(folder) as program:
            assert not program.server.endswith(f":{ui.PORT}")
            processes = psutil.Process(program.process.pid).children(recursive=True)
            program.get("/")
            program.stop(number)
    assert program.process.returncode == {signal.SIGINT: 0, signal.SIGTERM: 143}[number]
    assert program.process.stderr.read() == ""
    assert len(processes) >= 2
    assert not any(process.is_running() for process in processes)
    assert {path for path in folder.rglob("*") if "__pycache__" not in path.parts} == before


# ---- Other registries ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "page"),
    [
        ({}, "https://mlflow.example.org/#/models/sklearn_mnist/versions/3"),
        ({"name": "a b/ü"}, "https://mlflow.example.org/#/models/a%20b%2F%C3%BC/versions/3"),
        (
            {"registry_uri": "https://example.org/mlflow"},
            "https://example.org/mlflow/#/models/sklearn_mnist/versions/3",
        ),
    ],
)
def test_a_server_shows_the_model_itself(changes: dict, page: str):
    assert ui.web_page(RECEIPT | changes) == f"{page}?workflowType=machine_learning"


def test_azure_shows_the_model_in_the_portal(tmp_path: Path):
    receipt = RECEIPT | {"registry_uri": "azureml://x", "portal_url": "https://ml.azure.com/runs/a"}
    assert said(tmp_path, receipt) == (0, "https://ml.azure.com/runs/a\n", "")


# ---- Nothing to show -----------------------------------------------------------------------


def said(folder: Path, receipt: dict | None) -> tuple[int, str, str]:
    """Run the program to its end; return its exit code, its output and its errors."""
    (folder / "results").mkdir()
    if receipt:
        (folder / "results/registered.json").write_text(json.dumps(receipt))
    ended = subprocess.run(PROGRAM, cwd=folder, capture_output=True, text=True)
    return ended.returncode, ended.stdout, ended.stderr


def test_without_a_receipt_the_user_hears_what_to_do(tmp_path: Path):
    code, _, error = said(tmp_path, None)
    assert code == 1
    assert error == (
        "ui.py: no model is registered, results/registered.json does not exist. `make run` first.\n"
    )


def test_a_deleted_registry_is_not_created(tmp_path: Path):
    code, _, error = said(tmp_path, RECEIPT | {"registry_uri": "sqlite:///registry/mlflow.db"})
    assert code == 1
    assert "the registry registry/mlflow.db, which does not exist" in error
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "registered.json"]


def test_a_registry_without_the_model_is_named(tmp_path: Path, folder: Path):
    shutil.copytree(folder / "registry", tmp_path / "registry")
    receipt = RECEIPT | {"registry_uri": "sqlite:///registry/mlflow.db", "run_id": "0" * 32}
    code, _, error = said(tmp_path, receipt)
    assert code == 1
    assert "does not have the run of sklearn_mnist version 3" in error


def test_a_file_that_is_not_a_database_is_named(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("not a database" * 100)
    code, _, error = said(tmp_path, RECEIPT | {"registry_uri": "sqlite:///mlflow.db"})
    assert code == 1
    assert "file is not a database" in error
    assert "MLflow's server could not show sqlite:///mlflow.db" in error
