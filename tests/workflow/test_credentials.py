"""Credentials in environment variables reach no file, no output and no command line.

tests/azureml/test_azureml_credentials.py has the runs in a workspace.
"""

import base64
import os
import subprocess
from pathlib import Path

import pytest
import yaml

import mirror
from checkout import Checkout
from credentials import ENVIRONMENT, MARKER, files_with, watched_commands

SHA256 = "0" * 64


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's files and of temporary files, in which tools write logs."""
    home = tmp_path_factory.mktemp("home")
    (home / "tmp").mkdir()
    return home


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout with a registered model and a report, made with markers as credentials."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("credentials") / "checkout")
    checkout.environment = ENVIRONMENT | {"HOME": str(home), "TMPDIR": str(home / "tmp")}
    output(checkout, 0, "results/report.html", dataset="digits", regularization=0.5)
    return checkout


def output(checkout: Checkout, code: int, *arguments: str, **config) -> str:
    """Run snakemake; return its output, after a check that it and all commands have no marker."""
    with watched_commands([MARKER]) as commands:
        ended = checkout.snakemake(*arguments, **config)
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, said
    assert MARKER not in said
    assert commands == []
    return said


def test_nothing_that_a_run_writes_has_a_credential(run: Checkout, home: Path):
    names = [path.name for path in run.path.rglob("*")]
    assert {"mlflow.db", "report.html", "registered.json", "register.log"} <= set(names)
    assert files_with([MARKER], run.path, home) == []


def test_a_refused_registration_tells_no_credential(run: Checkout, home: Path, tmp_path: Path):
    refused = run.copied(tmp_path / "refused")
    refused.environment = run.environment | {"NO_PROXY": "127.0.0.1"}
    headers = []

    def refuse(handler):
        headers.append(handler.headers["Authorization"])
        mirror.status(401)(handler)

    with mirror.serving() as server:
        server.default = refuse
        config = {"dataset": "digits", "regularization": 0.5, "registry_uri": server.url}
        said = output(refused, 1, "results/registered.json", **config)
    # The server gets the credentials, so they are in use.
    secret = f"me:{ENVIRONMENT['MLFLOW_TRACKING_PASSWORD']}"
    assert f"Basic {base64.b64encode(secret.encode()).decode()}" in headers
    assert "401" in said
    assert files_with([MARKER], refused.path, home) == []


def test_a_failed_download_tells_no_password_of_a_proxy(run: Checkout, home: Path, tmp_path: Path):
    checkout = Checkout.fresh(tmp_path / "checkout")
    checkout.environment = run.environment | {"PATH": os.environ["PATH"]}
    names = [
        f"{part}-{kind}-ubyte"
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ]
    sources = [
        {"https": "http://mirror.invalid"},
        {"https": "https://mirror.invalid"},
        {"npm": "images@1.0.0"},
    ]
    entry = {"files": dict.fromkeys(names, SHA256), "sources": sources}
    (checkout.path / "config/my_datasets.yaml").write_text(yaml.safe_dump({"mine": entry}))
    said = output(checkout, 1, "results/raw/train-labels-idx1-ubyte.gz", dataset="mine")
    assert said.count("no connection to 127.0.0.1: Connection refused") >= 2
    assert files_with([MARKER], checkout.path, home) == []


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql://me:{MARKER}@host/db",
        f"https://{MARKER}@host",
        f"mysql://host/db?password={MARKER}",
    ],
)
def test_a_password_in_the_configuration_is_refused_and_written_nowhere(
    checkout: Checkout, uri: str
):
    settings = checkout.path / "config/config.yaml"
    given = yaml.safe_load(settings.read_text(encoding="utf-8"))
    settings.write_text(yaml.safe_dump(given | {"registry_uri": uri}), encoding="utf-8")
    said = output(checkout, 1, "-n")
    assert "registry_uri cannot be '" in said and "MLFLOW_TRACKING_PASSWORD" in said
    assert files_with([MARKER], checkout.path) == [settings]


def test_the_watch_of_commands_sees_them():
    """Check that the tests above could fail."""
    with watched_commands([MARKER]) as commands:
        subprocess.run(["sh", "-c", "sleep 0.5", MARKER], check=True)
    assert commands
