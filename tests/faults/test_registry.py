"""Faults of the registry: simultaneous and killed registrations, and edits of its folder."""

import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from image_workflow.backends.mlflow.database import make_database
from image_workflow.backends.sqlite_registry import fault_of_receipt
from registration import registered, write_results
from simultaneous import (
    KILLED,
    VERSIONS,
    clean,
    copied,
    exit_code,
    forget_databases,
    in_child,
    kill_before_call,
    mlflow_server,
    register_at_once,
    register_in,
    remains,
    rows,
)

TRIES = 40
VERSION_1, VERSION_2 = [("my_model", 1)], [("my_model", 2)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """A model to register, in a folder with a new registry."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / ".snakemake").mkdir()
    # In a process of its own: the processes that are forked here must not share its connections.
    assert exit_code(in_child(lambda: make_database(folder / "registry/mlflow.db"))) == 0
    return write_results(folder, "sqlite:///registry/mlflow.db")


@pytest.fixture
def project(trained: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """The options to register the model in a new folder, which is the working directory."""
    options = new_project(trained, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    forget_databases()
    return options


def new_project(trained: Namespace, folder: Path, **changes) -> Namespace:
    """Return the options to register the model in another folder with a registry of its own."""
    options = copied(trained, folder, **changes)
    shutil.copytree(trained.model.parent / "registry", folder / "registry")
    return options


# ---- At the same time ------------------------------------------------------------------------


def one_folder(trained: Namespace, folder: Path, number: int) -> tuple[Namespace, Namespace]:
    """Return two registrations in the same folder."""
    options = new_project(trained, folder / f"{number}")
    return options, Namespace(**vars(options) | {"receipt": folder / f"{number}/second.json"})


def two_clones(trained: Namespace, folder: Path, number: int) -> tuple[Namespace, Namespace]:
    """Return registrations in two folders with the same registry."""
    uri = f"sqlite:///{folder}/{number}/registry/mlflow.db"
    options = new_project(trained, folder / f"{number}", registry_uri=uri)
    return options, copied(options, folder / f"{number}-clone")


@pytest.mark.parametrize(
    ("kind", "where", "delay"),
    [
        ("two processes in one folder", one_folder, 0.0),
        ("Snakemake killed alone and started again", one_folder, 0.02),
        ("two clones with one SQLite file", two_clones, 0.0),
    ],
)
def test_simultaneous_registrations(
    trained: Namespace, tmp_path: Path, report_fault: Callable, kind, where, delay: float
):
    found = Counter()
    for number in range(TRIES):
        both = where(trained, tmp_path, number)
        register_at_once(*both, delay=number * delay)
        folder = both[0].model.parent
        left = remains(folder / "registry/mlflow.db", folder)
        assert left == clean(left["versions"])
        assert both[0].receipt.read_bytes() == both[1].receipt.read_bytes()
        found[len(left["versions"])] += 1
    report_registrations(report_fault, kind, found)


def report_registrations(report_fault: Callable, kind: str, found: Counter) -> None:
    """Report how many versions each of the tries made."""
    duplicates = sum((count - 1) * tries for count, tries in found.items())
    text = f"this model is registered already; {found[1]} of {TRIES} with one version"
    report_fault(f"{TRIES} x {kind}", text, 0, "version 1", duplicates=duplicates)
    assert found == {1: TRIES}


def test_simultaneous_registrations_on_a_server(
    trained: Namespace, tmp_path: Path, report_fault: Callable, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    both = new_project(trained, tmp_path / "project"), copied(trained, tmp_path / "clone")
    database = tmp_path / "project/registry/mlflow.db"
    with mlflow_server(database) as uri:
        for number in range(TRIES):
            for options in both:
                options.registry_uri = uri
                options.model_name = options.experiment_name = f"m{number}"
            register_at_once(*both, delay=number % 10 * 0.05)
            assert both[0].receipt.read_bytes() == both[1].receipt.read_bytes()
    left = remains(database, tmp_path / "project")
    assert left == clean(left["versions"])
    versions = Counter(name for name, _ in left["versions"])
    kind = "two clients of one MLflow server"
    report_registrations(report_fault, kind, Counter(versions.values()))


# ---- Killed ------------------------------------------------------------------------------------


def test_a_registration_is_killed_at_every_step(
    trained: Namespace, tmp_path: Path, report_fault: Callable
):
    number, killed = 0, True
    while killed:
        options = new_project(trained, tmp_path / f"{number}")

        def register_and_die(options=options, number=number) -> None:
            kill_before_call(number)
            register_in(options)

        ended = exit_code(in_child(register_and_die))
        assert ended in (0, KILLED)
        killed = ended == KILLED
        assert exit_code(in_child(lambda options=options: register_in(options))) == 0
        folder = tmp_path / f"{number}"
        assert remains(folder / "registry/mlflow.db", folder) == clean(VERSION_1), number
        shutil.rmtree(folder)
        number += 1
    assert number > 15
    report_fault(f"killed before each of {number - 1} changes in MLflow", "", KILLED, "version 1")


# ---- What people do to a registry ---------------------------------------------------------------


def delete_registry(folder: Path) -> Path:
    shutil.rmtree(folder / "registry")
    return folder


def delete_files(folder: Path) -> Path:
    shutil.rmtree(folder / "registry/artifacts")
    return folder


def alter_file(folder: Path) -> Path:
    (path,) = folder.rglob("model.skops")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    return folder


def rename_project(folder: Path) -> Path:
    return folder.rename(folder.with_name("renamed ü%"))


def copy_project(folder: Path) -> Path:
    return shutil.copytree(folder, folder.with_name("copy"))


def delete_version(folder: Path) -> Path:
    mlflow.MlflowClient().delete_model_version("my_model", "1")
    return folder


def delete_model(folder: Path) -> Path:
    mlflow.MlflowClient().delete_registered_model("my_model")
    return folder


@pytest.mark.parametrize(
    ("change", "message", "versions"),
    [
        (delete_registry, "which is missing", VERSION_1),
        (delete_files, "are missing", VERSION_2),
        (alter_file, "its files were altered", VERSION_2),
        (rename_project, "was moved or copied", VERSION_1),
        (copy_project, "was moved or copied", VERSION_1),
        (delete_version, "is not in", VERSION_2),
        (delete_model, "is not in", VERSION_1),
    ],
)
def test_somebody_changes_the_registry(
    project: Namespace,
    report_fault: Callable,
    caplog: pytest.LogCaptureFixture,
    monkeypatch,
    change,
    message: str,
    versions,
):
    registered(project)
    old = project.model.parent
    new = change(old)
    monkeypatch.chdir(new)
    forget_databases()
    options = Namespace(
        **{
            key: new / value.relative_to(old)
            if isinstance(value, Path) and value.is_relative_to(old)
            else value
            for key, value in vars(project).items()
        }
        | {"pictures": [new / path.name for path in project.pictures]}
    )
    reason = fault_of_receipt(options.receipt)
    caplog.set_level("INFO", "image_workflow")
    receipt = registered(options)
    text = "; ".join(filter(None, [reason, *caplog.messages]))
    assert message in text
    assert rows(new / "registry/mlflow.db", VERSIONS) == versions
    assert [(receipt["name"], receipt["version"])] == versions
    assert mlflow.sklearn.load_model(f"models:/my_model/{receipt['version']}")
    assert fault_of_receipt(options.receipt) is None
    then = f"version {receipt['version']}, which loads"
    report_fault(change.__name__.replace("_", " "), reason or text, 0, then)
