"""Field cases: a group's folder, and file systems without locks."""

import os
import sqlite3
import subprocess
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest

import kernel_faults
from checkout import ENVIRONMENT, Checkout, command
from image_workflow.backends.mlflow import database
from image_workflow.errors import UserError
from registration import registered, write_results

needs_seccomp = pytest.mark.skipif(not kernel_faults.available(), reason="needs seccomp")

# ---- Files made by libraries escape the umask ----------------------------------------------


@pytest.mark.parametrize("umask", [0o002, 0o027, 0o077])
def test_field_case_a_group_folder(tmp_path: Path, monkeypatch, umask: int):
    """snakemake 2209; further examples: a group that only reads, and nobody else."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(umask)
    try:
        Path(".snakemake").mkdir()
        registered(write_results(tmp_path, f"sqlite:///{tmp_path}/registry/mlflow.db"))
    finally:
        os.umask(before)
    for path in Path("registry").rglob("*"):
        allowed = (0o777 if path.is_dir() else 0o666) & ~umask
        assert oct(path.stat().st_mode & 0o777) == oct(allowed), path


# ---- SQLite where it cannot work -----------------------------------------------------------


def test_field_case_another_program_locks_the_database(options: Namespace, monkeypatch):
    """mlflow 5917"""
    assert database.LOCK_TIMEOUT <= 15
    monkeypatch.setattr(database, "LOCK_TIMEOUT", 1)
    registered(options)
    began = time.monotonic()
    with closing(sqlite3.connect("registry/mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"mlflow.db is locked by process \d+"):
            registered(options)
    assert time.monotonic() - began < 15


def in_a_child(function: Callable, *arguments) -> str:
    """Return what a function raises in a process of its own."""
    with get_context("fork").Pool(1) as pool:
        try:
            pool.apply(function, arguments)
        except UserError as error:
            return str(error)
    return ""


def register_with(fault: str, options: Namespace) -> None:
    kernel_faults.inject(fault)
    registered(options)


@needs_seccomp
@pytest.mark.parametrize("fault", ["no locks", "locks unsupported"])
def test_field_case_the_folder_is_on_cifs(options: Namespace, fault: str):
    """autogen 79; a further example: a file system that refuses locks with another error."""
    began = time.monotonic()
    said = in_a_child(register_with, fault, options)
    assert "lacks the locks that SQLite needs" in said
    assert "on a local disk, or to an MLflow server" in said
    assert time.monotonic() - began < 15


# ---- An optional service is taken for granted ----------------------------------------------


@needs_seccomp
@pytest.mark.parametrize("fault", ["no flock", "no locks"])
def test_field_case_a_file_system_without_flock(checkout: Checkout, fault: str):
    """filelock 67; a further example: a file system that has other locks neither."""
    ended = subprocess.run(
        command("results/records/download_train.json", dataset="digits"),
        cwd=checkout.path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: kernel_faults.inject(fault),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (ended.stdout + ended.stderr).count("This file system has no locks") == 1
