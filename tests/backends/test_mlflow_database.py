"""MLflow's database in an SQLite file: its lock, its creation, and where it cannot work."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

import kernel_faults
import register
from child import FIRST_USER, GROUP, SECOND_USER, Ended, group_folder, in_child
from database_writer import writer
from image_workflow.backends.mlflow import database
from image_workflow.backends.mlflow.errors import store_errors
from image_workflow.backends.sqlite_registry import database_path
from image_workflow.errors import UserError

CHANGE = "Set registry_uri in config/config.yaml to another place"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
needs_faults = pytest.mark.skipif(not kernel_faults.available(), reason="needs Linux' seccomp")


def prepare(uri: str) -> None:
    """Open a store as a registration does."""
    with store_errors(uri), database.registration_lock(uri):
        database.prepare_store(uri)


def refusal(uri: str) -> str:
    """Open an unusable store, and return the message."""
    with pytest.raises(UserError) as refused:
        prepare(uri)
    return str(refused.value)


def names(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///registry/mlflow.db", "registry/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "/srv/mlflow.db"),
        ("sqlite+pysqlite:////srv/mlflow.db?timeout=30", "/srv/mlflow.db"),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("https://mlflow.example.org", None),
        ("postgresql://example.org/mlflow", None),
    ],
)
def test_only_an_sqlite_store_is_a_file(uri: str, file: str | None):
    assert database_path(uri) == (Path(file).absolute() if file else None)


# ---- One registration at a time --------------------------------------------------------

HOLDER = """
import sys
from image_workflow.backends.mlflow.database import registration_lock
with registration_lock(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


def holder(uri: str) -> subprocess.Popen:
    """Start a process that holds the lock until it is killed or its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, uri],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "locked\n"
    return process


def test_a_registration_waits_for_another_and_says_so(tmp_path: Path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(database, "FIRST_MESSAGE", 0)
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    (tmp_path / "link").symlink_to("new")
    with holder(uri) as other:
        monkeypatch.setattr(database.time, "sleep", lambda _: other.kill())
        with database.registration_lock(f"sqlite:///{tmp_path}/link/mlflow.db"):
            assert other.wait() == -9
    (message,) = caplog.messages
    assert message == f"waiting for another registration in {tmp_path}/new/mlflow.db to end"
    shutil.rmtree(tmp_path / "new")


def test_a_store_without_a_file_has_no_lock(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for uri in ("https://mlflow.example.org", "postgresql://example.org/mlflow"):
        with database.registration_lock(uri):
            assert list(tmp_path.iterdir()) == []


@needs_faults
@pytest.mark.parametrize("fault", ["no flock", "no locks", "locks unsupported"])
def test_a_file_system_without_locks_is_said_once(tmp_path: Path, fault: str):
    def lock_and_say() -> None:
        database.log.info = lambda text, *values: print(text % values)
        with database.registration_lock(f"sqlite:///{tmp_path}/mlflow.db"):
            print("locked")

    ended = in_child(lock_and_say, fault)
    assert ended.exit_code == 0
    first, *others = ended.terminal.splitlines()
    assert first.startswith(f"the file system of {tmp_path} has no locks (")
    assert others == ["locked"]


# ---- Creation --------------------------------------------------------------------------


def columns(path: Path) -> list[tuple]:
    """Return table, name and type of each column. MLflow varies the order of constraints."""
    query = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return sorted(connection.execute(query))


def test_a_new_database_has_the_schema_of_mlflows_own(tmp_path: Path, empty_store: Path):
    path = tmp_path / "new" / "mlflow.db"
    database.make_database(path)
    assert columns(path) == columns(empty_store) != []
    assert names(path.parent) == {"mlflow.db"}


def test_the_uri_of_a_new_database_may_have_settings(options: Namespace, tmp_path: Path):
    options.registry_uri = f"sqlite:///{tmp_path}/another/mlflow.db?timeout=30"
    register.main(options)
    assert json.loads(options.receipt.read_text())["version"] == 1
    assert names(tmp_path / "another") == {"artifacts", "mlflow.db", ".mlflow.db.lock"}


def test_a_database_that_another_process_created_is_kept(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"another's")
    database.make_database(path)
    assert path.read_bytes() == b"another's"
    assert names(tmp_path) == {"mlflow.db"}


def test_a_failed_creation_leaves_no_database(tmp_path: Path, monkeypatch):
    def fail(*_):
        raise MlflowException("no")

    monkeypatch.setattr(database, "SqlAlchemyStore", fail)
    with pytest.raises(MlflowException):
        database.make_database(tmp_path / "mlflow.db")
    assert names(tmp_path) == set()


def test_a_killed_creation_leaves_no_folder_for_good(tmp_path: Path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with monkeypatch.context() as killed:
        killed.setattr(database, "SqlAlchemyStore", lambda *_: os._exit(9))
        assert in_child(lambda: prepare(uri)).exit_code == 9
    assert any(name.endswith(".part") for name in names(tmp_path))
    prepare(uri)
    assert names(tmp_path) == {"mlflow.db", ".mlflow.db.lock"}


def test_a_file_system_without_hard_links_gets_a_database(tmp_path: Path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    database.make_database(tmp_path / "mlflow.db")
    assert names(tmp_path) == {"mlflow.db"}


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_write(tmp_path: Path, umask: int, mode: int):
    assert in_child(lambda: prepare(f"sqlite:///{tmp_path}/mlflow.db"), umask=umask).exit_code == 0
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {mode}


# ---- Where it cannot work --------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, empty_store: Path) -> Path:
    """MLflow's database without experiments."""
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


@pytest.fixture
def shared(empty_store: Path) -> Iterator[Path]:
    """The same in a folder of a group, of whom the first user is the owner."""
    with group_folder() as folder:
        path = Path(shutil.copy(empty_store, folder / "mlflow.db"))
        os.chown(path, FIRST_USER, GROUP)
        path.chmod(0o664)
        yield path


def test_trying_changes_nothing(path: Path):
    before = path.read_bytes()
    prepare(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_locked_database_is_found_in_seconds_with_the_program(path: Path, monkeypatch):
    assert database.LOCK_TIMEOUT < 15
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 1)
    began = time.monotonic()
    with writer(path) as other:
        assert refusal(f"sqlite:///{path}").startswith(
            f"{path} is locked by process {other.pid} (python"
        )
    assert time.monotonic() - began < 10


def test_a_lock_that_ends_soon_is_waited_for(path: Path):
    with writer(path) as other:
        threading.Timer(0.5, other.stdin.close).start()
        prepare(f"sqlite:///{path}")


@needs_faults
@pytest.mark.parametrize("fault", ["no locks", "locks unsupported"])
@pytest.mark.parametrize("name", ["mlflow.db", "new/mlflow.db"])
def test_a_file_system_without_locks_is_found(path: Path, monkeypatch, fault: str, name: str):
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 1)
    file = path.parent / name
    ended = in_child(lambda: prepare(f"sqlite:///{file}"), fault)
    assert ended.exit_code == 1
    assert f"the file system of {file.parent} lacks the locks that SQLite needs" in ended.terminal
    assert f"{CHANGE} on a local disk, or to an MLflow server." in ended.terminal
    assert ended.seconds < 10
    assert not list(path.parent.rglob("*.part"))


@needs_faults
def test_a_full_disk_leaves_no_new_database(tmp_path: Path):
    ended = in_child(lambda: prepare(f"sqlite:///{tmp_path}/mlflow.db"), "disk full")
    assert ended.exit_code == 1
    assert ended.terminal.startswith(f"there is no space left for {tmp_path}/mlflow.db.")
    assert names(tmp_path) == {".mlflow.db.lock"}


def test_a_folder_in_its_place_is_named(tmp_path: Path):
    text = refusal(f"sqlite:///{tmp_path}")
    assert text.startswith(f"{tmp_path} is a folder, expected an SQLite file. {CHANGE}")


def test_a_file_in_place_of_its_folder_is_named(path: Path):
    text = refusal(f"sqlite:///{path}/mlflow.db")
    assert text.startswith(f"{path} cannot be a folder, because a file is in its place. {CHANGE}")


def test_a_file_that_is_no_database_is_named(path: Path):
    path.write_bytes(b"not a database" * 100)
    assert refusal(f"sqlite:///{path}") == f"{path} is not an SQLite database. {CHANGE}."


def test_a_damaged_database_is_named(path: Path):
    with open(path, "r+b") as file:
        file.seek(100)  # behind the header
        file.write(b"\xff" * 4000)
    text = refusal(f"sqlite:///{path}")
    assert text.startswith(f"{path} is damaged (database disk image is malformed). Restore it")


def test_an_empty_file_becomes_a_database(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    prepare(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_registry_in_memory_is_refused():
    for uri in ("sqlite://", "sqlite:///:memory:"):
        assert refusal(uri).startswith(f"the registry {uri} is not in a file, so it would be lost.")


def test_a_database_of_another_program_is_left_alone(tmp_path: Path):
    path = tmp_path / "photos.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE albums (name)")
        connection.commit()
    before = path.read_bytes()
    assert f"{path} is a database of another program: it has the table albums" in refusal(
        f"sqlite:///{path}"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("revision", "text"),
    [
        ("cc1f77228345", f"then run: {sys.executable} -m mlflow db upgrade sqlite:///"),
        ("0123456789ab", f"does not know: a newer version made it. {CHANGE}"),
    ],
)
def test_a_database_of_another_mlflow_is_left_alone(path: Path, revision: str, text: str):
    """Also one without the newest tables, which MLflow would change without a word."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
        connection.execute("DROP TABLE logged_model_tags")
        connection.commit()
    before = path.read_bytes()
    assert text in refusal(f"sqlite:///{path}")
    assert path.read_bytes() == before


# ---- Permissions -----------------------------------------------------------------------


def read_only_file(path: Path) -> None:
    path.chmod(0o644)


def read_only_folder(path: Path) -> None:
    path.parent.chmod(0o2755)


def read_only_folder_with_a_lock(path: Path) -> None:
    lock = path.with_name(f".{path.name}.lock")
    lock.touch()
    lock.chmod(0o666)
    read_only_folder(path)


def closed_folder(path: Path) -> None:
    path.parent.chmod(0o700)


def no_file(path: Path) -> None:
    path.unlink()
    path.parent.chmod(0o2755)


@needs_root
@pytest.mark.parametrize(
    ("prepared", "culprit"),
    [
        (read_only_file, "mlflow.db"),
        (read_only_folder, ""),
        (read_only_folder_with_a_lock, ""),
        (closed_folder, ""),
        (no_file, ""),
    ],
)
def test_what_is_not_writable_is_named_with_its_owner(
    shared: Path, prepared: Callable[[Path], None], culprit: str
):
    prepared(shared)
    ended = in_child(lambda: prepare(f"sqlite:///{shared}"), user=SECOND_USER)
    place = shared.parent / culprit
    assert ended.terminal == (
        f"you may not write into {place}, which belongs to user {FIRST_USER}. Its owner can allow "
        f"it to the group: chmod g+w {place}\n"
    )
    assert ended.exit_code == 1


@needs_root
def test_two_users_of_a_group_share_a_folder(shared: Path):
    uri = f"sqlite:///{shared.parent}/new/mlflow.db"
    for user in (FIRST_USER, SECOND_USER, FIRST_USER):
        ended = in_child(lambda: prepare(uri), user=user, umask=0o002)
        assert ended == Ended(0, "", ended.seconds)


@needs_root
def test_the_lock_of_an_owner_with_another_umask_is_used(shared: Path):
    uri = f"sqlite:///{shared}"
    for user in (FIRST_USER, SECOND_USER):
        ended = in_child(lambda: prepare(uri), user=user, umask=0o022)
        assert ended == Ended(0, "", ended.seconds)
