"""The local registry's SQLite file, without MLflow, which takes seconds to import.

MLflow notes the absolute place of each file in the database. So a registry that was moved or copied
is not found any more, or the copy writes into the original.
"""

import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

log = logging.getLogger(__name__)

#: The folder beside the database with the files of all runs and models.
ARTIFACTS = "artifacts"
#: A tag of the experiments that this workflow created.
OUR_EXPERIMENT = "mlflow.sharedViewState.accuracy"
#: The tag of a version with the digest of its files.
ARTIFACT_TAG = "artifact_sha256"
#: All columns of MLflow's database in which places are noted, with a condition.
LOCATIONS = [
    ("experiments", "artifact_location", "true"),
    ("runs", "artifact_uri", "true"),
    ("logged_models", "artifact_location", "true"),
    ("model_versions", "source", "true"),
    ("model_versions", "storage_location", "true"),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation'"),
]
EXPERIMENTS = f"""
SELECT e.artifact_location, EXISTS (
    SELECT 1 FROM experiment_tags t
    WHERE t.experiment_id = e.experiment_id AND t.key = '{OUR_EXPERIMENT}'
) FROM experiments e
"""
VERSION = """
SELECT v.storage_location, t.value FROM model_versions v LEFT JOIN model_version_tags t
ON t.name = v.name AND t.version = v.version AND t.key = ?
WHERE v.name = ? AND v.version = ? AND v.current_stage != 'Deleted_Internal'
"""


def database_path(registry_uri: str) -> Path | None:
    """Return the absolute path of an SQLite URI's database, or None for another kind of store.

    Links are resolved: a link and its file have the same lock and the same artifacts.
    """
    found = re.match(r"sqlite(?:\+pysqlite)?:///([^?]+)", registry_uri)
    return Path(found[1]).resolve() if found and found[1] != ":memory:" else None


def relative_to(folder: Path, registry_uri: str) -> str:
    """Return a registry's URI, in which a relative path of an SQLite file begins at a folder.

    Examples
    --------
    >>> relative_to(Path("../.."), "sqlite:///registry/mlflow.db")
    'sqlite:///../../registry/mlflow.db'
    >>> relative_to(Path("../.."), "sqlite:////srv/models/mlflow.db")
    'sqlite:////srv/models/mlflow.db'
    """
    found = re.match(r"(sqlite(?:\+pysqlite)?:///)(?!:memory:)([^/].*)", registry_uri)
    if folder == Path() or not found:
        return registry_uri
    return found[1] + os.path.join(folder, found[2])


def artifact_root(database: Path) -> str:
    """Return the URI of the folder beside the database with the files of all runs and models."""
    return (database.resolve().parent / ARTIFACTS).as_uri()


def local_path(location: str) -> Path | None:
    """Return the path of a location on this machine, or None for another one."""
    if location.startswith("/"):
        return Path(location)
    parts = urlsplit(location)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def beside(location: str, database: Path) -> str:
    """Return where the files of a location are: beside the database, if they exist there.

    Parameters
    ----------
    location : str
        As MLflow noted it. The registry may have been moved or copied since.
    database : pathlib.Path
    """
    root, parts = artifact_root(database), location.split(f"/{ARTIFACTS}/")
    for end in range(1, len(parts)):
        moved = "/".join([root, f"/{ARTIFACTS}/".join(parts[end:])])
        if location.startswith("file:") and local_path(moved).exists():
            return moved
    return location


# ---- A registry that was moved or copied -------------------------------------------------


def update_locations(database: Path) -> None:
    """Let a database that was moved or copied name the files beside it.

    Parameters
    ----------
    database : pathlib.Path
        MLflow's SQLite file. No other registration may use it at the same time.
    """
    root = artifact_root(database)
    with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        old_roots = [
            location
            for location, ours in connection.execute(EXPERIMENTS)
            if location != root
            and location.startswith("file:")
            and location.endswith(f"/{ARTIFACTS}")
            and (ours or has_files_beside(connection, location, database))
        ]
        if not old_roots:
            return

        def update(location: str | None) -> str | None:
            for old in old_roots:
                if location == old:
                    return root
                if location and location.startswith(f"{old}/"):
                    new = root + location.removeprefix(old)
                    # The database alone was copied.
                    only_old = local_path(location).exists() and not local_path(new).exists()
                    return location if only_old else new
            return location

        connection.create_function("updated", 1, update)
        for table, column, condition in LOCATIONS:
            connection.execute(f"UPDATE {table} SET {column} = updated({column}) WHERE {condition}")
    for old in old_roots:
        log.info(
            "the registry was moved or copied from %s: its database now names the files in %s",
            *(local_path(old).parent, database.resolve().parent),
        )


def has_files_beside(connection: sqlite3.Connection, old_root: str, database: Path) -> bool:
    """Return whether files of a run below the old folder are beside the database."""
    rows = connection.execute("SELECT artifact_uri FROM runs")
    return any(
        uri.startswith(f"{old_root}/") and beside(uri, database) != uri for (uri,) in rows if uri
    )


# ---- Is a receipt's version still registered? ----------------------------------------------


def fault_of_receipt(path: Path) -> str | None:
    """Return why the version in a receipt has to be registered again, or None.

    This reads the database only. A server is not asked, and nothing is compared byte by byte.

    Parameters
    ----------
    path : pathlib.Path
        registered.json. None is returned if it is missing or damaged, or names another kind of
        registry.
    """
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        database = database_path(receipt["registry_uri"])
        version = f"version {receipt['version']} of {receipt['name']}"
        key = ARTIFACT_TAG, receipt["name"], receipt["version"]
        artifact_sha256 = receipt["artifact_sha256"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if database is None:
        return None
    if not database.exists():
        return f"{version} is registered in {database}, which is missing"
    try:
        with reading(database) as connection:
            found = connection.execute(VERSION, key).fetchone()
    except sqlite3.Error:
        return None  # MLflow's message will be better.
    if found is None or found[1] != artifact_sha256:
        return f"the {version} that results/registered.json describes is not in {database}"
    location = found[0] or ""
    if beside(location, database) != location:
        return f"the registry was moved or copied to {database.parent}"
    if (folder := local_path(location)) and not folder.exists():
        return f"the files of {version} are missing in {folder}"
    return None


@contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    """Open a database to read it only."""
    uri = f"{database.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=1)) as connection:
        yield connection
