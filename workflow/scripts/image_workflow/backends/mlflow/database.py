"""MLflow's database in an SQLite file."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import mlflow
from sqlalchemy import Engine, event, make_url

from image_workflow.files import flush


def sqlite_file(registry_uri: str) -> Path | None:
    """Return the database file of an sqlite:/// URI, or None for another kind of store."""
    if not registry_uri.startswith("sqlite:///"):
        return None
    database = make_url(registry_uri).database
    return Path(database) if database and database != ":memory:" else None


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
