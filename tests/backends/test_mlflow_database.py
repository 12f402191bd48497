"""MLflow's database in an SQLite file: its lock, its creation, and where it cannot work."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from image_workflow.backends.mlflow import database

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
