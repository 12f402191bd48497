"""Registries that cannot be used: what register.py says in seconds, and what the next run makes."""

import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mlflow
import mlflow.store.db.utils as mlflow_database
import pytest
from alembic import command
from mlflow.store.tracking.dbmodels.initial_models import Base as InitialBase

import image_workflow.backends.mlflow.registry  # noqa: F401  # what the children need
import kernel_faults
from azureml_emulator.certificates import Authority
from checkout import ENVIRONMENT, Checkout
from checkout import command as snakemake_command
from child import FIRST_USER, GROUP, SECOND_USER, Ended, group_folder
from database_writer import writer
from refusing_server import serving
from register_program import run, run_in_child
from registration import runs, versions, write_results

SECONDS = 15
REGISTERED = "my_model version 1\n"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
needs_faults = pytest.mark.skipif(not kernel_faults.available(), reason="needs Linux' seccomp")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """A small model to register, and a registry with another model."""
    folder = tmp_path_factory.mktemp("results")
    options = write_results(folder, f"sqlite:///{folder}/registry/mlflow.db")
    ended = run_in_child(options_with(options, folder, model_name="other"))
    assert ended.exit_code == 0, ended.terminal
    return options


def options_with(options: Namespace, folder: Path, **changes) -> Namespace:
    """Return options that write into another folder."""
    return Namespace(**vars(options) | {"receipt": folder / "registered.json"} | changes)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch) -> None:
    """Work in a project's folder: what a killed registration left is noted in .snakemake."""
    (tmp_path / "project/.snakemake").mkdir(parents=True)
    (tmp_path / "project/.snakemake").chmod(0o777)
    monkeypatch.chdir(tmp_path / "project")


@pytest.fixture
def options(results: Namespace, tmp_path: Path) -> Namespace:
    """The options of register.py for a registry of its own, without experiments of others."""
    (tmp_path / "registry").mkdir()
    uri = f"sqlite:///{tmp_path}/registry/mlflow.db"
    with (
        closing(sqlite3.connect(file_of(results))) as one,
        closing(sqlite3.connect(uri[10:])) as two,
    ):
        one.backup(two)
    found = options_with(results, tmp_path, registry_uri=uri)
    point_to(found, tmp_path / "registry/artifacts")
    return found


def file_of(options: Namespace) -> Path:
    """Return the database of a registry."""
    return Path(options.registry_uri.removeprefix("sqlite:///"))


def point_to(options: Namespace, artifacts: Path) -> None:
    """Let the experiment of the copied database have its artifacts in a folder."""
    with closing(sqlite3.connect(file_of(options))) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = 'my_experiment'",
            [artifacts.as_uri()],
        )


@pytest.fixture
def check(report_fault: Callable) -> Callable:
    """Return a function that checks a refusal and the next run, and reports both."""

    def check_and_report(
        injected: str, ended: Ended, text: str, options: Namespace, **circumstances
    ) -> None:
        assert ended.exit_code == 1
        said = ended.terminal.splitlines()[-1]
        assert re.search(f"^register.py: .*{text}", said), ended.terminal
        others = [line for line in ended.terminal.splitlines()[:-1] if "has no locks" not in line]
        assert others == []
        assert ended.seconds < SECONDS
        assert not options.receipt.exists()
        then = run_in_child(options, **circumstances)
        assert then.terminal == REGISTERED
        found = versions(options).count(("my_model", 1)), len(versions(options))
        assert found in ((1, 1), (1, 2))  # the other model is in most of these registries
        assert not list(file_of(options).parent.glob(".*.part"))
        unfinished = [run for run in runs(options) if run.info.status != "FINISHED"]
        assert unfinished == []
        shown = said.removeprefix("register.py: ").replace(f"{options.receipt.parent}/", "")
        report_fault(injected, shown, ended.exit_code, then.terminal)

    return check_and_report


# ---- The file --------------------------------------------------------------------------


def test_another_program_has_the_database_locked(options: Namespace, check: Callable):
    with writer(file_of(options)) as other:
        ended = run_in_child(options)
    check("another program locks the database", ended, f"process {other.pid}", options)


@needs_faults
@pytest.mark.parametrize("name", ["mlflow.db", "new/mlflow.db"])
@pytest.mark.parametrize("fault", ["no locks", "locks unsupported"])
def test_a_file_system_has_no_locks(options: Namespace, check: Callable, fault: str, name: str):
    kind = "no locks, the registry exists" if name == "mlflow.db" else "no locks, new registry"
    options.registry_uri = f"sqlite:///{file_of(options).parent / name}"
    ended = run_in_child(options, fault=fault)
    check(f"{kind} ({fault})", ended, "lacks the locks that SQLite needs", options)


@needs_faults
def test_a_file_system_without_flock_is_used(options: Namespace, report_fault: Callable):
    ended = run_in_child(options, fault="no flock")
    first, second = ended.terminal.splitlines(keepends=True)
    assert (ended.exit_code, second) == (0, REGISTERED)
    assert "do not register from two places at once" in first
    then = run_in_child(options).terminal.splitlines()
    assert then == ["this model is registered already", REGISTERED.rstrip()]
    shown = first.replace(f"{options.receipt.parent}/", "")
    report_fault("a file system without flock", shown, 0, then[-1])


@needs_faults
@pytest.mark.parametrize("name", ["mlflow.db", "new/mlflow.db"])
def test_the_disk_is_full(options: Namespace, check: Callable, name: str):
    options.registry_uri = f"sqlite:///{file_of(options).parent / name}"
    ended = run_in_child(options, fault="disk full")
    kind = "full disk, the registry exists" if name == "mlflow.db" else "full disk, new registry"
    check(kind, ended, "there is no space left for .*Free some, and run again", options)


def damage(path: Path) -> None:
    with open(path, "r+b") as file:
        file.seek(100)  # behind the header
        file.write(b"\xff" * 4000)


def overwrite(path: Path) -> None:
    path.write_text("<html>sign in</html>" * 100)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_photos(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE albums (name)")


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")


@pytest.mark.parametrize(
    ("injected", "break_it", "text"),
    [
        ("a damaged database", damage, "is damaged .* Restore it from a backup"),
        ("a web page in place of the database", overwrite, "is not an SQLite database. Set reg"),
        ("a folder in place of the database", make_folder, "is a folder, expected an SQLite file"),
        ("a database of another program", make_photos, "of another program: it has the table alb"),
        ("a database of a newer MLflow", make_newer, "a newer version made it. Set registry_uri"),
    ],
)
def test_a_file_that_is_no_registry(
    options: Namespace, check: Callable, injected: str, break_it: Callable, text: str
):
    path = file_of(options)
    break_it(path)
    before = path.read_bytes() if path.is_file() else None
    ended = run_in_child(options)
    assert before is None or path.read_bytes() == before
    path.rename(path.with_name("moved"))  # the way out for all of them
    check(injected, ended, text, options)


def test_a_database_of_an_older_mlflow_is_upgraded_by_the_command(
    options: Namespace, check: Callable
):
    path = file_of(options)
    path.unlink()
    engine = mlflow_database.create_sqlalchemy_engine(f"sqlite:///{path}")
    InitialBase.metadata.create_all(engine)
    command.upgrade(mlflow_database._get_alembic_config(str(engine.url)), "cc1f77228345")
    ended = run_in_child(options)
    shown = ended.terminal.strip().split("then run: ")[1]
    upgraded = subprocess.run(shlex.split(shown), capture_output=True, text=True)
    assert upgraded.returncode == 0, upgraded.stderr
    check("a database of an older MLflow", ended, "then run: .* db upgrade sqlite:", options)


# ---- Permissions -----------------------------------------------------------------------


@pytest.fixture
def shared(options: Namespace) -> Iterator[Namespace]:
    """The results and the registry in the folder of a group, all of it the first user's."""
    with group_folder() as folder:
        shutil.copytree(options.data_folder.parent, folder, dirs_exist_ok=True)
        (folder / "registered.json").unlink()
        shutil.copy(file_of(options), folder / "registry/mlflow.db")
        changes = {
            name: folder / value.relative_to(options.data_folder.parent)
            for name, value in vars(options).items()
            if isinstance(value, Path) and value.is_relative_to(options.data_folder.parent)
        }
        changes |= {
            "pictures": [folder / path.name for path in options.pictures],
            "registry_uri": f"sqlite:///{folder}/registry/mlflow.db",
        }
        own(folder)
        found = options_with(options, folder, **changes)
        point_to(found, folder / "registry/artifacts")
        yield found


def own(folder: Path) -> None:
    """Make all files the first user's, as he made them with the umask 002."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, FIRST_USER, GROUP)
        path.chmod(0o2775 if path.is_dir() else 0o664)


@needs_root
@pytest.mark.parametrize(
    ("name", "mode"),
    [("registry/mlflow.db", 0o644), ("registry", 0o2755), ("registry/artifacts", 0o2755)],
)
def test_a_place_is_not_writable_for_the_second_user(
    shared: Namespace, check: Callable, name: str, mode: int
):
    shared.experiment_name = "another"  # the model has no run there, so its files are written
    place = shared.receipt.parent / name
    place.chmod(mode)
    second = {"user": SECOND_USER, "umask": 0o002}
    ended = run_in_child(shared, **second)
    place.chmod(mode | 0o020)
    text = f"you may not write into {place}.*, which belongs to user {FIRST_USER}.*chmod g.w"
    check(f"{name} is not writable", ended, text, shared, **second)


def read_only(folder: Path) -> list[str]:
    """Return the beginning of a command line, for which the folder is mounted read-only."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    begin = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(folder)]
    if subprocess.run([*begin, "true"], capture_output=True).returncode:
        pytest.skip("needs mounts in a user namespace")
    return begin


def test_the_file_system_is_read_only(options: Namespace, check: Callable):
    ended = run(options, read_only(file_of(options).parent))
    ended.seconds = 0  # most of them were imports
    check("a file system that is read-only", ended, "file system that is read-only. Set", options)


@needs_root
def test_two_users_register_in_one_registry(shared: Namespace, report_fault: Callable):
    shared.registry_uri = f"sqlite:///{shared.receipt.parent}/new/mlflow.db"
    for user, name in ((FIRST_USER, "one"), (SECOND_USER, "two"), (FIRST_USER, "three")):
        changed = options_with(shared, shared.receipt.parent, model_name=name)
        ended = run_in_child(changed, user=user, umask=0o002)
        assert (ended.exit_code, ended.terminal) == (0, f"{name} version 1\n")
    assert versions(shared) == [("one", 1), ("three", 1), ("two", 1)]
    report_fault("two users of a group, one registry", "-", 0, "one, two and three version 1")


@needs_root
def test_two_users_run_the_workflow_in_one_folder(report_fault: Callable):
    if not shutil.which("setpriv"):
        pytest.skip("needs setpriv")
    with group_folder() as folder:
        checkout = Checkout.fresh(folder / "project")
        own(folder)
        for user, rate in ((FIRST_USER, 0.5), (SECOND_USER, 0.7)):
            ended = subprocess.run(
                [*as_user(user), *snakemake_command(dataset="digits", regularization=rate)],
                cwd=checkout.path,
                env=ENVIRONMENT | {"HOME": str(folder), "LOGNAME": f"user{user}"},
                capture_output=True,
                text=True,
                umask=0o002,
            )
            assert ended.returncode == 0, ended.stdout + ended.stderr
        assert checkout.receipt()["version"] == 2
        private = [path for path in folder.rglob("*") if not path.stat().st_mode & 0o020]
        assert private == []
    report_fault("two users of a group, one project folder", "-", 0, "versions 1 and 2")


def as_user(user: int) -> list[str]:
    """Return the beginning of a command line, which may read the Python of these tests."""
    may_read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    return ["setpriv", "--reuid", str(user), "--regid", str(GROUP), "--clear-groups", *may_read]


# ---- MLflow and servers ----------------------------------------------------------------


def test_a_deleted_experiment_is_restored_by_the_command(options: Namespace, check: Callable):
    client = mlflow.MlflowClient(options.registry_uri)
    client.delete_experiment(client.get_experiment_by_name("my_experiment").experiment_id)
    ended = run_in_child(options)
    shown = ended.terminal.strip().split("or restore it: ")[1]
    restored = subprocess.run(shown, shell=True, capture_output=True, text=True)
    assert restored.returncode == 0, restored.stderr
    check("the experiment was deleted", ended, "my_experiment was deleted in", options)


@pytest.mark.parametrize(
    ("injected", "place", "text"),
    [
        ("another web server", "/200/html", "is not an MLflow server"),
        ("another web server, 404", "/404/html", "is not an MLflow server"),
        ("a server asks for a password", "/401/no", "Set MLFLOW_TRACKING_USERNAME and"),
        ("a server forbids it", "/403/no", "Ask its administrator for the permission"),
        ("a server fails", "/503/no", "is in trouble itself"),
    ],
)
def test_a_server_refuses(
    options: Namespace, check: Callable, monkeypatch, injected: str, place: str, text: str
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as address:
        changed = options_with(options, options.receipt.parent)
        changed.registry_uri = f"http://{address}{place}"
        check(injected, run_in_child(changed), text, options)


@pytest.mark.parametrize(
    ("injected", "uri", "text"),
    [
        ("a host that does not exist", "https://mlflow.invalid", "is unknown. Look for a slip"),
        ("an unknown scheme", "gopher://example.org", "MLflow knows no store such as"),
        ("a folder of old MLflow", "file:///tmp/mlruns", "keeps no registry in a folder"),
        ("a missing driver", "mysql://h/db", "-m pip install mysqlclient"),
        ("a port that is no number", "http://h:port", "its host or port is wrong"),
        ("a registry in memory", "sqlite://", "is not in a file, so it would be lost"),
    ],
)
def test_an_address_is_wrong(
    options: Namespace, check: Callable, injected: str, uri: str, text: str
):
    ended = run_in_child(options_with(options, options.receipt.parent, registry_uri=uri))
    check(injected, ended, text, options)


def test_a_server_is_not_there(options: Namespace, check: Callable, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def ended(address: str) -> Ended:
        return run_in_child(options_with(options, options.receipt.parent, registry_uri=address))

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening
        refused = ended(f"http://127.0.0.1:{closed.getsockname()[1]}")
    check("a server that is not running", refused, "nothing listens at", options)


def test_the_certificate_of_a_server_is_unknown(
    options: Namespace, check: Callable, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Authority(tmp_path / "ca").context("127.0.0.1")) as address:
        changed = options_with(options, options.receipt.parent, registry_uri=f"https://{address}")
        ended = run_in_child(changed)
    check("a server with an unknown certificate", ended, "set REQUESTS_CA_BUNDLE", options)


def test_the_proxy_is_not_running(options: Namespace, check: Callable, monkeypatch):
    changed = options_with(options, options.receipt.parent, registry_uri="http://example.org")
    with monkeypatch.context() as patched:
        patched.setenv("http_proxy", "http://127.0.0.1:1")
        ended = run_in_child(changed)
    check("a proxy that is not running", ended, "Correct HTTPS_PROXY or HTTP_PROXY", options)


def test_a_new_process_shows_only_our_lines(options: Namespace, report_fault: Callable):
    options.registry_uri = f"sqlite:///{options.receipt.parent}/new/mlflow.db"
    ended = run(options)
    assert (ended.exit_code, ended.terminal) == (0, REGISTERED)
    file_of(options).chmod(0o644)
    damage(file_of(options))
    ended = run(options)
    assert ended.exit_code == 1
    assert re.fullmatch(r"register\.py: .* is damaged .*\n", ended.terminal)
    report_fault("a damaged database, in a new process", ended.terminal, 1, "-")
