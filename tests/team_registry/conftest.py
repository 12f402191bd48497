"""A server that all tests share, and its users."""

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow.server import get_app_client

import image_workflow.backends.mlflow.registry  # noqa: F401  # what the children need
from registration import write_results
from team_server import ADMIN, OWNER, PASSWORD, TeamServer, Way, programs


@pytest.fixture(scope="session")
def team() -> Iterator[TeamServer]:
    """A running server with an empty registry."""
    if programs() is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    # The folders of pytest are for root only.
    folder = Path(tempfile.mkdtemp(prefix="team-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        if OWNER:
            shutil.chown(folder, OWNER, OWNER)
        with TeamServer(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def way(team: TeamServer) -> Iterator[Way]:
    """The way to the server, without faults. Both run again after the test."""
    with Way(team) as running:
        yield running
    if team.database.poll() is not None:
        team.start_database()
    if team.server.poll() is not None:
        team.start_server()


@pytest.fixture
def as_user(team: TeamServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that signs in as a user, who is created if he does not exist."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(team.authority.path))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")

    def sign_in(name: str) -> None:
        as_admin(monkeypatch)
        if name == ADMIN:
            return
        if f"{name}" not in team.query("SELECT username FROM users"):
            users(team).create_user(name, f"the password of {name}")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"the password of {name}")

    return sign_in


def as_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign in as the administrator."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)


def users(team: TeamServer):
    """Return the client that administers users, as the document says."""
    return get_app_client("basic-auth", team.uri)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """A small model to register."""
    folder = tmp_path_factory.mktemp("results")
    (folder / ".snakemake").mkdir()
    return write_results(folder, "")
