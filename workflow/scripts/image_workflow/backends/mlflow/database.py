"""MLflow's database in an SQLite file."""

import errno
import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
from sqlalchemy import Engine, event, make_url

from image_workflow.files import flush

log = logging.getLogger(__name__)
FIRST_MESSAGE, NEXT_MESSAGE = 3, 30  # seconds of waiting until a message is printed
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def sqlite_file(registry_uri: str) -> Path | None:
    """Return the database file of an sqlite:/// URI, or None for another kind of store."""
    if not registry_uri.startswith("sqlite:///"):
        return None
    database = make_url(registry_uri).database
    return Path(database) if database and database != ":memory:" else None


@contextmanager
def registration_lock(registry_uri: str) -> Iterator[None]:
    """Let one registration at a time write into the SQLite file of a registry.

    The kernel releases the lock when the process ends, however it ends. Other stores have no lock.
    """
    if not (database := sqlite_file(registry_uri)):
        yield
        return
    database = database.resolve()  # A link and its file have the same lock.
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
    with tempfile.TemporaryDirectory(".part", f".{path.name}.", path.parent) as folder:
        made = Path(folder, path.name)
        event.listen(Engine, "connect", do_not_flush)
        try:
            mlflow.MlflowClient(f"sqlite:///{made}").search_experiments()
        finally:
            event.remove(Engine, "connect", do_not_flush)
        flush(made)
        # On a file system without hard links, MLflow creates the database in its own way.
        with suppress(OSError):
            os.link(made, path)
    flush(path.parent)
