"""A server that all tests share, and its users."""

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import image_workflow.backends.mlflow.registry  # noqa: F401  # what the children need
from registration import write_results
from simultaneous import copied
from team_server import ADMIN, OWNER, PASSWORD, TeamServer, Way, documented, programs


@pytest.fixture(scope="session")
def team() -> Iterator[TeamServer]:
    """A running server with an empty registry."""
    if programs() is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    # Only root may enter the folders of pytest.
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
    """The way to the server. After the test, server and database are running again."""
    with Way(team) as running:
        yield running
    if team.database.poll() is not None:
        team.start_database()
    if team.server.poll() is not None:
        team.start_server()


@pytest.fixture
def administer(team: TeamServer, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Return a function that runs lines of Python as the administrator, after the document's."""

    def run_as_admin(lines: str) -> None:
        with monkeypatch.context() as patched:
            patched.setenv("REQUESTS_CA_BUNDLE", str(team.authority.path))
            patched.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
            patched.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
            exec(team.here(lines), team.names)

    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    if not team.names:
        run_as_admin(documented("import mlflow.server"))
    return run_as_admin


@pytest.fixture
def sign_in(
    team: TeamServer, administer: Callable, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Return a function that signs in as a user, and returns the password.

    A user who does not exist is created as the document says. The authority of the server's
    certificate is known.
    """

    def sign_in_as(name: str) -> str:
        password = f"the-password-of-{name}"
        if name not in team.query("SELECT username FROM users"):
            lines = documented("users.create_user").replace("anna", name)
            administer(lines.replace("a long password", password))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(team.authority.path))
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        return password

    return sign_in_as


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """A small model to register."""
    folder = tmp_path_factory.mktemp("results")
    (folder / ".snakemake").mkdir()
    return write_results(folder, "")


@pytest.fixture
def project(
    results: Namespace,
    team: TeamServer,
    sign_in: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Namespace:
    """The options to register the model in a project's folder, as a user.

    Each test has a registered model and an experiment of its own.
    """
    sign_in("anna")
    # Repeat a failed request at once. By default there are 14 seconds between four requests.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    name = request.function.__name__
    changes = {"registry_uri": team.uri, "model_name": name, "experiment_name": name}
    options = copied(results, tmp_path / "project", **changes)
    monkeypatch.chdir(tmp_path / "project")
    return options
