"""The registry's store: an SQLite file that is locked, created and tried, or a server."""

import errno
import fcntl
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import mlflow
import mlflow.store.db.utils as mlflow_database
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request_safe
from sqlalchemy import Engine, event

from image_workflow.backends.sqlite_registry import database_path
from image_workflow.errors import UserError
from image_workflow.files import flush

log = logging.getLogger(__name__)
SQLITE = "sqlite:", "sqlite+pysqlite:"
FIRST_MESSAGE, NEXT_MESSAGE = 3, 30  # seconds of waiting until a message is printed
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
LOCK_TIMEOUT = 8  # seconds to wait for another program that writes into the file
SERVER_TIMEOUT = 30  # seconds for the first answer: a server that sleeps has to wake up

CHANGE_URI = "Set registry_uri in config/config.yaml to another place"
# MLflow tries 10 times to open a database, and says nothing for two minutes.
mlflow_database.MAX_RETRY_COUNT = 5


# ---- One registration at a time --------------------------------------------------------


@contextmanager
def registration_lock(registry_uri: str) -> Iterator[None]:
    """Let one registration at a time write into the SQLite file of a registry.

    The kernel releases the lock when the process ends, however it ends. Other stores have no lock.
    """
    if not (database := database_path(registry_uri)):
        yield
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = open_lock(database.with_name(f".{database.name}.lock"))
    try:
        wait_for(lock, database)
        yield
    finally:
        os.close(lock)


def open_lock(path: Path) -> int:
    """Open the lock file, which others of the group may have created."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)


def wait_for(lock: int, database: Path) -> None:
    """Take the lock, and say so while another registration has it."""
    began = time.monotonic()
    message_after = FIRST_MESSAGE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - began > message_after:
                log.info("waiting for another registration in %s to end", database)
                message_after += NEXT_MESSAGE
            time.sleep(0.1)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.info(
                "the file system of %s has no locks (%s): do not register from two places at once",
                *(database.parent, error.strerror),
            )
            return
        else:
            return


# ---- Is the store usable? --------------------------------------------------------------


def prepare_store(registry_uri: str) -> None:
    """Create the SQLite file if it is missing, and find out in seconds whether the store works.

    MLflow itself repeats what fails for minutes without a message. Errors of SQLite and of MLflow
    are left to :mod:`image_workflow.backends.mlflow.errors`.

    Raises
    ------
    UserError
        If MLflow cannot use the file.
    """
    if database := database_path(registry_uri):
        # We have the lock, so a killed registration left these.
        for folder in database.parent.glob(f".{database.name}.*.part"):
            shutil.rmtree(folder, ignore_errors=True)
        if not os.path.lexists(database):
            make_database(database)
        check_database(database)
    elif registry_uri.startswith(SQLITE):
        raise UserError(
            f"the registry {registry_uri} is not in a file, so it would be lost. "
            f"{CHANGE_URI}, such as sqlite:///registry/mlflow.db."
        )
    elif registry_uri.startswith(("http://", "https://")):
        check_server(registry_uri)


def make_database(path: Path) -> None:
    """Create MLflow's database, completely or not at all.

    MLflow creates it in a thousand small steps and flushes each to disk. Here only the finished
    database is flushed, before it gets its name. If another process created the database meanwhile,
    that one is kept.
    """

    def do_not_flush(connection, _):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    path.parent.mkdir(parents=True, exist_ok=True)
    check_locks(path.parent)
    with tempfile.TemporaryDirectory(".part", f".{path.name}.", path.parent) as folder:
        made = Path(folder, path.name)
        made.touch()  # as the umask says; SQLite would not let the group write
        event.listen(Engine, "connect", do_not_flush)
        try:
            # MLflow puts this address into SQL without quoting it. A URI has no apostrophe.
            SqlAlchemyStore(f"sqlite:///{made}", (path.resolve().parent / "artifacts").as_uri())
        finally:
            event.remove(Engine, "connect", do_not_flush)
        flush(made)
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            made.rename(path)
    flush(path.parent)


def check_locks(folder: Path) -> None:
    """Write into a new SQLite file, which no other program can have locked.

    Raises
    ------
    UserError
        If the file system has not the locks that SQLite needs.
    """
    with tempfile.TemporaryDirectory(".part", ".locks.", folder) as temporary:
        try:
            try_to_write(Path(temporary, "try.db"), timeout=0)
        except sqlite3.OperationalError as error:
            if not is_lock_error(error):
                raise
            raise UserError(
                f"the file system of {folder} lacks the locks that SQLite needs ({error}), as many "
                f"network drives do. {CHANGE_URI} on a local disk, or to an MLflow server."
            ) from error


def is_lock_error(error: sqlite3.OperationalError) -> bool:
    """Return whether SQLite got no lock: another program has it, or there are none."""
    return error.sqlite_errorname.startswith("SQLITE_BUSY") or "LOCK" in error.sqlite_errorname


def try_to_write(path: Path, timeout: float) -> list[str]:
    """Write into an SQLite file, undo it, and return the names of the tables."""
    with closing(sqlite3.connect(path, timeout=timeout, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE image_workflow_try (x)")
        connection.execute("DROP TABLE image_workflow_try")
        connection.execute("ROLLBACK")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [name for (name,) in tables]


def check_database(path: Path) -> None:
    """Check that MLflow can write into the database, and has no need to change its schema.

    Raises
    ------
    UserError
        If a folder is in its place, if it is locked, or if its schema is another.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, expected an SQLite file. {CHANGE_URI}, such as "
            f"sqlite:///{path}/mlflow.db."
        )
    try:
        tables = try_to_write(path, LOCK_TIMEOUT)
    except sqlite3.OperationalError as error:
        if not is_lock_error(error):
            raise
        check_locks(path.parent)
        raise UserError(
            f"{path} is locked by {lock_holder(path)}, for more than {LOCK_TIMEOUT} s. Stop it, or "
            "wait until it ends, and run again."
        ) from error
    if tables and "experiments" not in tables:
        raise UserError(
            f"{path} is a database of another program: it has the table {tables[0]}, and no "
            f"experiments of MLflow. {CHANGE_URI}."
        )
    if "alembic_version" in tables:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        if found and (problem := wrong_schema(found[0], f"sqlite:///{path}")):
            raise UserError(problem)


def wrong_schema(found: str, uri: str) -> str | None:
    """Return what to do with a database of another schema, or None if it is MLflow's own.

    MLflow would change some older databases without a word, and the group's others could not use
    them any more.
    """
    if found == mlflow_database._get_latest_schema_revision():
        return None
    installed = f"the installed MLflow {mlflow.__version__}"
    migrations = Path(mlflow.__file__).parent / "store/db_migrations/versions"
    if any(migrations.glob(f"{found}_*.py")):
        return (
            f"{uri} was made by an older version than {installed}. Make a copy of it, then run: "
            f"{sys.executable} -m mlflow db upgrade {uri}"
        )
    return (
        f"{uri} has the schema {found}, which {installed} does not know: a newer version made it. "
        f"{CHANGE_URI}."
    )


def lock_holder(path: Path) -> str:
    """Return the process that has the file locked, if Linux tells it."""
    with suppress(OSError):
        inode = str(path.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            # 1: POSIX  ADVISORY  WRITE 4242 08:01:1234 1073741825 1073741825
            fields = line.split()
            if fields[1] == "POSIX" and fields[5].split(":")[-1] == inode:
                program = Path("/proc", fields[4], "comm").read_text().strip()
                return f"process {fields[4]} ({program})"
    return "another program"


def check_server(uri: str) -> None:
    """Ask the server for an experiment, with a shorter time-out and fewer retries than MLflow's."""
    reminder = threading.Timer(FIRST_MESSAGE, log.info, ("waiting for an answer of %s", uri))
    reminder.start()
    try:
        http_request_safe(
            get_default_host_creds(uri),
            "/api/2.0/mlflow/experiments/search",
            "POST",
            json={"max_results": 1},
            timeout=SERVER_TIMEOUT,
            max_retries=1,
        )
    finally:
        reminder.cancel()
