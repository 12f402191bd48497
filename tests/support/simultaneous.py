"""Registrations in processes of their own: at the same time, or killed at some step."""

import functools
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
import urllib.request
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import URLError

from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as RegistryStore
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as TrackingStore
from mlflow.tracking._model_registry.registry import ModelRegistryStoreRegistry
from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

import register

KILLED = 9
#: The beginnings of the names of the methods that change something.
CHANGES = "create_", "log_", "set_", "update_", "delete_", "finalize_", "record_"
STORES = TrackingStore, RegistryStore, LocalArtifactRepository
#: What remains of registrations in MLflow's database.
VERSIONS = """
SELECT name, version FROM model_versions WHERE current_stage != 'Deleted_Internal' ORDER BY 1, 2
"""
RUNS = "SELECT status, experiment_id FROM runs WHERE lifecycle_stage = 'active' ORDER BY 2"
MODELS = (
    "SELECT status, experiment_id FROM logged_models WHERE lifecycle_stage = 'active' ORDER BY 2"
)
TOKENS = """
SELECT value FROM tags JOIN runs USING (run_uuid)
WHERE key = 'registration' AND lifecycle_stage = 'active'
UNION ALL SELECT t.value FROM model_version_tags t JOIN model_versions v
ON t.name = v.name AND t.version = v.version
WHERE key = 'registration' AND current_stage != 'Deleted_Internal'
"""
READY = 2  # of a logged model


def in_child(function: Callable[[], None]) -> int:
    """Call a function in a forked process, and return the process id."""
    child = os.fork()
    if child:
        return child
    try:
        function()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def exit_code(child: int) -> int:
    """Wait for a process to end."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def register_in(options: Namespace) -> None:
    """Register in the folder of the model, as Snakemake does in its working directory."""
    os.chdir(options.model.parent)
    register.main(options)


def register_at_once(*registrations: Namespace, delay: float = 0) -> None:
    """Register in one process each, all at the same moment, or the second after a delay.

    Raises
    ------
    AssertionError
        If one of them fails.
    """
    barrier = multiprocessing.get_context("fork").Barrier(len(registrations))

    def start(number: int, options: Namespace) -> None:
        barrier.wait(60)
        time.sleep(number * delay)
        register_in(options)

    children = [
        in_child(functools.partial(start, number, options))
        for number, options in enumerate(registrations)
    ]
    assert [exit_code(child) for child in children] == [0] * len(children)


def kill_before_call(number: int) -> None:
    """Let this process die before its n-th change of MLflow's stores, counted from 0."""
    left = number

    def dying(method: Callable) -> Callable:
        @functools.wraps(method)
        def call(*arguments, **options):
            nonlocal left
            if left == 0:
                os._exit(KILLED)
            left -= 1
            return method(*arguments, **options)

        return call

    for store in STORES:
        for name, method in list(vars(store).items()):
            if name.startswith(CHANGES):
                setattr(store, name, dying(method))


def copied(options: Namespace, folder: Path, **changes) -> Namespace:
    """Return the options of a registration in a copy of the folder."""
    source = options.model.parent
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("registry", "registration-*"))

    def moved(value: object) -> object:
        if isinstance(value, Path) and value.is_relative_to(source):
            return folder / value.relative_to(source)
        return [moved(item) for item in value] if isinstance(value, list) else value

    return Namespace(**{key: moved(value) for key, value in vars(options).items()} | changes)


def forget_databases() -> None:
    """Let MLflow open its databases again, as in a new process: they were moved or deleted."""
    for store in (TrackingStore, RegistryStore):
        for engine in store._engine_map.values():
            engine.dispose()
        store._engine_map.clear()
    for opened in (TrackingStoreRegistry, ModelRegistryStoreRegistry):
        opened._get_store_with_resolved_uri.cache_clear()


def rows(database: Path, query: str) -> list[tuple]:
    """Query MLflow's database."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(query).fetchall()


def remains(database: Path, folder: Path) -> dict[str, list]:
    """Return all versions, and what a registration must not leave behind."""
    return {
        "versions": rows(database, VERSIONS),
        "runs that are not finished": [row for row in rows(database, RUNS) if row[0] != "FINISHED"],
        "models that are not ready": [row for row in rows(database, MODELS) if row[0] != READY],
        "tokens": rows(database, TOKENS),
        "token files": list(folder.glob(".snakemake/registration-*")),
        "hidden files": [
            path.name
            for path in database.parent.glob(".*")
            if path.name != f".{database.name}.lock"
        ],
    }


def clean(versions: list[tuple]) -> dict[str, list]:
    """Return what should remain if these are the versions."""
    others = "runs that are not finished", "models that are not ready", "tokens"
    return {key: [] for key in (*others, "token files", "hidden files")} | {"versions": versions}


@contextmanager
def mlflow_server(database: Path) -> Iterator[str]:
    """Run an MLflow server on this machine, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{database}", "--workers", "1"]
    command += ["--artifacts-destination", str(database.parent / "artifacts")]
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with open(database.with_suffix(".log"), "w") as log:
        server = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
        try:
            wait_for(f"{address}/health", server)
            yield address
        finally:
            os.killpg(server.pid, 9)
            server.wait()


def wait_for(address: str, server: subprocess.Popen) -> None:
    """Wait until a server answers."""
    open_directly = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            open_directly(address, timeout=5).close()
        except (URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server does not answer")
