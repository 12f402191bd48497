"""Each kind of error of a store has its own advice, and the terminal shows nothing else."""

import os
import re
import shutil
import socket
import sqlite3
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
import requests
import sqlalchemy.exc
from alembic.util import CommandError
from mlflow.exceptions import MlflowException, RestException

import kernel_faults
from azureml_emulator.certificates import Authority
from child import FIRST_USER, GROUP, SECOND_USER, group_folder, in_child
from image_workflow.backends.mlflow import database, errors
from image_workflow.errors import UserError
from refusing_server import serving
from register_program import run_in_child
from registration import registered

CHANGE = "Set registry_uri in config/config.yaml to another place"
PYTHON = re.escape(sys.executable)


def refusal(uri: str) -> str:
    """Open a store that cannot be used, and return the message."""
    with pytest.raises(UserError) as refused, errors.store_errors(uri):
        database.prepare_store(uri)
        mlflow.MlflowClient(uri).search_experiments()
    return str(refused.value)


# ---- Servers ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a server that refuses."""
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("200/html", r"is not an MLflow server \(HTTP 200\). Set registry_uri to the address"),
        ("404/html", r"is not an MLflow server \(HTTP 404\). Set registry_uri to the address"),
        ("301/html", r"is not an MLflow server \(HTTP 301\). Set registry_uri to the address"),
        ("401/who", r"does not know you \(401: who\). Set MLFLOW_TRACKING_USERNAME and"),
        ("403/host", r"does not allow it \(403: host\). Ask its administrator"),
        ("403/json", r"does not allow it \(403: Not yours\). Ask its administrator"),
        ("407/no", r"wants a password. Put it into HTTPS_PROXY"),
        ("413/no", r"a file is too large for .*Its administrator can raise the limit"),
        ("500/html", r"is in trouble itself \(HTTP 500\). Run again later"),
        ("503/no", r"is in trouble itself \(HTTP 503\). Run again later"),
    ],
)
def test_the_status_of_an_answer_decides_the_advice(address: str, place: str, text: str):
    uri = f"http://{address}/{place}"
    refused = refusal(uri)
    assert re.search(text, refused), refused
    assert uri in refused


def test_a_server_that_is_not_running(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        text = f"nothing listens at {uri}. Start the MLflow server, or correct registry_uri."
        assert refusal(uri) == text


def test_a_server_that_never_answers_is_given_up(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(database, "SERVER_TIMEOUT", 0.5)
    monkeypatch.setattr(database, "FIRST_MESSAGE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert refusal(uri).startswith(f"{uri} did not answer (timed out). See whether")
    assert f"waiting for an answer of {uri}" in caplog.messages


def test_a_host_that_does_not_exist():
    text = "the host of https://mlflow.invalid is unknown. Look for a slip in registry_uri"
    assert refusal("https://mlflow.invalid").startswith(text)


def test_a_server_without_tls(address: str):
    assert f"https://{address} gave no TLS answer" in refusal(f"https://{address}")


def test_a_certificate_that_is_unknown(tmp_path: Path):
    with serving(Authority(tmp_path).context("127.0.0.1")) as address:
        refused = refusal(f"https://{address}")
    assert f"the certificate of https://{address} cannot be verified" in refused
    assert "set REQUESTS_CA_BUNDLE to the file with its certificates." in refused


def test_a_proxy_that_is_not_running(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    refused = refusal("http://mlflow.example.org")
    assert "the proxy on the way to http://mlflow.example.org fails" in refused
    assert "Correct HTTPS_PROXY or HTTP_PROXY, or name the server in NO_PROXY." in refused


# ---- Addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("gopher://example.org", rf"MLflow knows no store such as gopher://example.org. {CHANGE}"),
        ("s3://bucket", rf"MLflow knows no store such as s3://bucket. {CHANGE}"),
        ("file:///tmp/mlruns", rf"no registry in a folder such as file:///tmp/mlruns .*{CHANGE}"),
        (
            "postgresql://127.0.0.1:1/db",
            r"does not work: .*Connection refused.*See whether it runs",
        ),
        ("mysql://h/db", rf"mysqlclient. Install it: {PYTHON} -m pip install mysqlclient"),
        ("postgresql+no://h/db", r"is no address of a database: .*postgresql.no"),
        ("sqlite+no:///mlflow.db", r"is no address of a database: .*sqlite.no"),
        ("postgresql://h:port/db", r"is no address: .*Correct registry_uri"),
        ("http://[bad", r"http://\[bad is no address: its host or port is wrong"),
        ("http://h:port", r"is no address"),
    ],
)
def test_an_address_that_cannot_be_right(uri: str, text: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused = refusal(uri)
    assert re.search(text, refused), refused
    assert list(tmp_path.iterdir()) == []


SECRETS = [
    "postgresql://me:s3cret@127.0.0.1:1/db",
    "postgresql://me:p@s3cret@h:port/db",
    "mysql://me:s3cret/x@h/db",
    "https://me:s3cret@mlflow.invalid/path",
    "https://mlflow.invalid/path?token=s3cret",
    "postgresql://h/db?user=me&password=s3cret",
    "gopher://me:s3cret@h",
]


@pytest.mark.parametrize("uri", SECRETS)
def test_no_password_is_shown(uri: str):
    assert "s3cret" not in refusal(uri)
    for error in (
        MlflowException(f"API request to {uri} failed with exception '{uri}'"),
        MlflowException(f"{uri}: failed with error code 403 != 200. Response body: '{uri}'"),
        sqlalchemy.exc.OperationalError("SELECT", {}, Exception(f"cannot connect to {uri}")),
        sqlalchemy.exc.ArgumentError(f"Could not parse {uri}"),
        requests.exceptions.ConnectionError(f"no answer of {uri}"),
        requests.exceptions.SSLError(f"CERTIFICATE of {uri}"),
        ModuleNotFoundError(f"{uri}", name="driver"),
        PermissionError(13, "Permission denied", uri),
    ):
        assert "s3cret" not in errors.advice(error, uri)


# ---- Files -----------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, empty_store: Path) -> Path:
    """MLflow's database without experiments."""
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


def create_experiment(path: Path) -> None:
    """Write into a store that was not tried before, as if it broke later."""
    uri = f"sqlite:///{path}"
    with errors.store_errors(uri):
        mlflow.MlflowClient(uri).create_experiment("mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_database_that_becomes_read_only(empty_store: Path):
    with group_folder() as folder:
        path = Path(shutil.copy(empty_store, folder / "mlflow.db"))
        os.chown(path, FIRST_USER, GROUP)
        path.chmod(0o644)
        ended = in_child(lambda: create_experiment(path), user=SECOND_USER)
    assert ended.terminal.startswith(f"you may not write into {path}, which belongs to user")


@pytest.mark.skipif(not kernel_faults.available(), reason="needs Linux' seccomp")
def test_a_disk_that_becomes_full(path: Path):
    ended = in_child(lambda: create_experiment(path), "disk full")
    assert ended.terminal.startswith(f"there is no space left for {path}. Free some, and run again")


def test_a_database_that_becomes_locked(path: Path):
    uri = f"sqlite:///{path}"
    with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path, timeout=0)) as two:
        one.execute("BEGIN IMMEDIATE")
        with (
            pytest.raises(UserError, match=r"another program wrote into .* for too long"),
            errors.store_errors(uri),
        ):
            two.execute("BEGIN IMMEDIATE")


def test_a_file_that_is_missing_is_named():
    with (
        pytest.raises(UserError, match=r"preview\.png: No such file or directory\.$"),
        errors.store_errors("sqlite:///mlflow.db"),
    ):
        Path("preview.png").read_bytes()


# ---- What is registered ----------------------------------------------------------------


def test_a_deleted_experiment_is_named_with_two_ways_out(options: Namespace):
    client = mlflow.MlflowClient(options.registry_uri)
    number = client.create_experiment("my_experiment")
    client.delete_experiment(number)
    with pytest.raises(UserError) as refused:
        registered(options)
    assert str(refused.value) == (
        f"the experiment my_experiment was deleted in {options.registry_uri}. Set another "
        "experiment_name in config/config.yaml, or restore it: MLFLOW_TRACKING_URI="
        f"{options.registry_uri} {sys.executable} -m mlflow experiments restore "
        f"--experiment-id {number}"
    )


def test_a_name_that_mlflow_does_not_take(options: Namespace):
    with pytest.raises(UserError) as refused:
        registered(options, model_name="a/b")
    assert "Change model_name in config/config.yaml." in str(refused.value)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (("RESOURCE_DOES_NOT_EXIST", "Registered Model m not found"), "Somebody deleted it"),
        (("RESOURCE_ALREADY_EXISTS", "m exists"), "Another program made it"),
        (("INVALID_PARAMETER_VALUE", "The run 1 must be in the 'active' state."), "somebody del"),
        (("TEMPORARILY_UNAVAILABLE", "database is locked"), "is in trouble itself (503: database"),
        (("INTERNAL_ERROR", "boom"), "the registry https://h refused: boom."),
    ],
)
def test_the_code_of_mlflows_error_decides_the_advice(error: tuple[str, str], text: str):
    code, message = error
    rest = RestException({"error_code": code, "message": message})
    assert text in errors.advice(rest, "https://h")


def test_a_servers_database_of_another_schema():
    text = "Detected out-of-date database schema (found version 0123456789ab, but expected 1)"
    for error in (MlflowException(text), CommandError("Can't locate revision identified by '01'")):
        assert "a newer version made it" in errors.advice(error, "postgresql://h/db")


def test_hints_for_programmers_are_left_out():
    text = (
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        "block if this autoflush is occurring prematurely)\n(psycopg2.OperationalError) no\n"
        "[SQL: INSERT INTO x]\n(Background on this error at: https://sqlalche.me/e/20/e3q8)"
    )
    advice = errors.advice(MlflowException(text), "postgresql://h/db")
    assert advice == "the registry postgresql://h/db refused: (psycopg2.OperationalError) no."


# ---- The terminal ----------------------------------------------------------------------


def test_the_terminal_shows_only_our_lines(options: Namespace):
    ended = run_in_child(options)
    assert (ended.exit_code, ended.terminal) == (0, "my_model version 1\n")
    ended = run_in_child(options)
    assert ended.terminal == "this model is registered already\nmy_model version 1\n"
    Path(options.registry_uri.removeprefix("sqlite:///")).write_bytes(b"damaged" * 1000)
    ended = run_in_child(options)
    assert ended.exit_code == 1
    assert re.fullmatch(r"register\.py: .* is not an SQLite database\. .*\n", ended.terminal)
