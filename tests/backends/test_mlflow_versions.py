"""One model, one version: registered again, interrupted, killed, or by two at the same time."""

import fcntl
import os
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

import register
import simultaneous
from image_workflow.backends.mlflow import registry, unfinished
from image_workflow.backends.mlflow import runs as mlflow_runs
from image_workflow.backends.mlflow.registry import MlflowRegistry
from image_workflow.backends.settings import BackendSettings
from image_workflow.lineage.results import Receipt
from registration import (
    content,
    registered,
    runs,
    versions,
    write_data_set_file,
    write_model,
    write_training,
)
from simultaneous import clean, copied, exit_code, in_child, register_at_once, remains
from training import training_settings

CLASS_NAMES = {"0": "zero", "3": "three", "200": "ünlaut 200"}
VERSION_1 = [("my_model", 1)]

# ---- Once for its content ------------------------------------------------------------------


def test_the_same_model_is_registered_once(options: Namespace):
    assert registered(options)["version"] == 1
    receipt = options.receipt.read_bytes()
    options.receipt.unlink()
    registered(options)
    assert options.receipt.read_bytes() == receipt
    assert versions(options) == [("my_model", 1)]
    assert len(runs(options)) == 1


def test_the_same_model_under_another_name_is_its_version_1(options: Namespace):
    registered(options)
    first = content(options)
    assert registered(options, model_name="other")["version"] == 1
    assert versions(options) == [("my_model", 1), ("other", 1)]
    assert content(options) == first
    client = mlflow.MlflowClient(options.registry_uri)
    both = [client.get_model_version(name, "1") for name in ("my_model", "other")]
    assert len({version.source for version in both}) == 1
    assert len({version.run_id for version in both}) == 1
    assert len({version.description for version in both}) == 1
    assert mlflow.pyfunc.load_model("models:/other/1")


def test_another_model_is_version_2_and_the_first_stays_1(options: Namespace):
    registered(options)
    first = options.model.read_bytes()
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)
    assert registered(options)["version"] == 2
    assert len(runs(options)) == 2
    options.model.write_bytes(first)
    write_training(options.model)
    assert registered(options)["version"] == 1
    assert versions(options) == [("my_model", 1), ("my_model", 2)]


def test_the_same_model_of_a_data_set_with_another_name_is_registered(options: Namespace):
    """The run of the first data set has the same model, and may not be continued."""
    registered(options)
    write_data_set_file(options.dataset_file, options.data_folder, name="copy")
    receipt = registered(options, model_name="other")
    assert receipt["version"] == 1
    assert receipt["parameters"]["dataset"] == "copy"


def test_the_same_model_with_other_class_names_is_another_version(options: Namespace):
    """The registered model has the names of its classes."""
    registered(options)
    data_set = register.registration(options).data_set
    renamed = [replace(found, name=f"new {found.name}") for found in data_set.classes]
    write_data_set_file(options.dataset_file, options.data_folder, classes=renamed)
    assert registered(options)["version"] == 2
    names = mlflow.models.get_model_info("models:/my_model/2").metadata["class_names"]
    assert names == {label: f"new {name}" for label, name in CLASS_NAMES.items()}
    assert registered(options)["version"] == 2
    data_set.write(options.dataset_file)
    assert registered(options)["version"] == 1


class Killed(BaseException):
    """A test raises this to interrupt a registration."""


@pytest.mark.parametrize(
    "call",
    [
        "mlflow.log_params",
        "mlflow.log_inputs",
        "mlflow.log_artifact",
        "mlflow.models.Model.log",
        "mlflow.MlflowClient.log_outputs",
        "mlflow.sklearn.save_model",
        "mlflow.MlflowClient.log_model_artifacts",
        "mlflow.tracking.fluent.finalize_logged_model",
        "mlflow.log_metrics",
        "mlflow.register_model",
        "mlflow.MlflowClient._create_model_version",
        "mlflow.MlflowClient.update_registered_model",
        "mlflow.MlflowClient.update_model_version",
    ],
)
def test_an_interrupted_registration_is_continued(options: Namespace, monkeypatch, call: str):
    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as interrupted, pytest.raises(Killed):
        interrupted.setattr(call, killed)
        register.main(options)
    assert not options.receipt.exists()
    assert registered(options)["version"] == 1
    assert versions(options) == [("my_model", 1)]
    assert content(options)
    client = mlflow.MlflowClient(options.registry_uri)
    assert client.get_registered_model("my_model").description
    assert client.get_model_version("my_model", "1").description
    assert mlflow.pyfunc.load_model("models:/my_model/1")


def test_a_registration_that_was_killed_is_continued(options: Namespace, monkeypatch):
    """A killed process cannot say that its run has failed, so the run seems to be running."""
    child = os.fork()
    if child == 0:
        monkeypatch.setattr("mlflow.log_metrics", lambda *_, **__: os._exit(9))
        try:
            register.main(options)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    (run,) = runs(options)
    assert run.info.status == "RUNNING"
    assert registered(options)["version"] == 1
    assert content(options)


# ---- A run that another process is writing ---------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """MLflow's database of ``options``."""
    return tmp_path / "registry/mlflow.db"


def killed_in(call: str, options: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register in a process that is killed when it calls a function of MLflow."""

    def register_and_die() -> None:
        monkeypatch.setattr(call, lambda *_, **__: os._exit(simultaneous.KILLED))
        simultaneous.register_in(options)

    assert exit_code(in_child(register_and_die)) == simultaneous.KILLED


def test_a_killed_registration_of_another_model_leaves_nothing(
    options: Namespace, database: Path, tmp_path: Path, monkeypatch
):
    killed_in("mlflow.log_metrics", options, monkeypatch)
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)
    options.experiment_name = "another"
    registered(options)
    assert remains(database, tmp_path) == clean(VERSION_1)
    assert len(runs(options)) == 1


def test_a_killed_registration_elsewhere_is_remembered(
    options: Namespace, database: Path, tmp_path: Path, monkeypatch
):
    killed_in("mlflow.log_metrics", options, monkeypatch)
    first, options.registry_uri = options.registry_uri, f"sqlite:///{tmp_path}/second/mlflow.db"
    (tmp_path / "second").mkdir()
    shutil.copy(database, tmp_path / "second/mlflow.db")
    registered(options)
    assert len(list(tmp_path.glob(".snakemake/registration-*"))) == 1
    registered(options, registry_uri=first)
    assert remains(database, tmp_path) == clean(VERSION_1)


def test_a_run_that_is_being_written_is_left_alone(
    options: Namespace, database: Path, tmp_path: Path
):
    """It has the same model, user and program, and its process is in this folder."""
    registered(options, experiment_name="any")  # creates the registered model's folder
    mlflow.set_tracking_uri(options.registry_uri)
    client = mlflow.MlflowClient()
    experiment = mlflow_runs.experiment_id(options.experiment_name)
    described = register.registration(options)
    with unfinished.registration_token(options.registry_uri) as (token, _):
        tags = mlflow_runs.run_tags(described) | {unfinished.TOKEN: token}
        other = client.create_run(experiment, tags=tags)
        assert registered(options, model_name="other")["version"] == 1
        assert client.get_run(other.info.run_id).info.lifecycle_stage == "active"
    (found,) = [run for run in runs(options) if run.info.run_id == other.info.run_id]
    assert found.info.status == "RUNNING"


def test_a_copy_of_the_folder_takes_no_run_of_the_original(
    options: Namespace, tmp_path: Path, monkeypatch
):
    """The file with the token was copied too, and no process has a lock on the copy."""
    mlflow.set_tracking_uri(options.registry_uri)
    experiment = mlflow_runs.experiment_id(options.experiment_name)
    with unfinished.registration_token(options.registry_uri) as (token, _):
        shutil.copytree(tmp_path / ".snakemake", tmp_path / "copy/.snakemake")
        run = mlflow.MlflowClient().create_run(experiment, tags={unfinished.TOKEN: token})
        monkeypatch.chdir(tmp_path / "copy")
        registered(options)
        assert mlflow.MlflowClient().get_run(run.info.run_id).info.lifecycle_stage == "active"


def test_a_token_whose_process_cannot_be_proved_dead_is_kept(
    options: Namespace, tmp_path: Path, monkeypatch
):
    killed_in("mlflow.log_metrics", options, monkeypatch)
    (left,) = tmp_path.glob(".snakemake/registration-*")
    with open(left) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert registered(options)["version"] == 1
    assert left.exists()
    assert len(runs(options)) == 2
    registered(options)
    assert not left.exists()
    assert len(runs(options)) == 1


# ---- At the same time ------------------------------------------------------------------------


def test_two_registrations_in_one_folder_make_one_version(
    options: Namespace, database: Path, tmp_path: Path
):
    register_at_once(options, Namespace(**vars(options) | {"receipt": tmp_path / "second.json"}))
    assert remains(database, tmp_path) == clean(VERSION_1)
    assert options.receipt.read_bytes() == (tmp_path / "second.json").read_bytes()
    assert content(options)


def test_two_clones_with_one_database_make_one_version(
    options: Namespace, database: Path, tmp_path: Path
):
    clone = copied(options, tmp_path / "clone")
    register_at_once(options, clone)
    assert remains(database, tmp_path) == clean(VERSION_1)
    assert options.receipt.read_bytes() == clone.receipt.read_bytes()
    assert content(options)


def test_a_first_registration_by_two_makes_one_database(options: Namespace, tmp_path: Path):
    options.registry_uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    register_at_once(options, copied(options, tmp_path / "clone"))
    assert remains(tmp_path / "new/mlflow.db", tmp_path) == clean(VERSION_1)


def test_clients_of_one_server_make_one_version(
    options: Namespace, database: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    both = options, copied(options, tmp_path / "clone")
    with simultaneous.mlflow_server(database) as uri:
        for number in range(3):
            for found in both:
                found.registry_uri = uri
                found.model_name = found.experiment_name = f"m{number}"
            register_at_once(*both)
            assert len({found.receipt.read_bytes() for found in both}) == 1
        assert remains(database, tmp_path) == clean([(f"m{number}", 1) for number in range(3)])
        assert len(runs(both[0])) == 3
        check_without_lock(both, uri, monkeypatch)
        check_repair(options, tmp_path / "registry/artifacts")


def check_repair(options: Namespace, artifacts: Path) -> None:
    """Check that files that a server has lost are noticed, and stored again."""
    options.model_name = options.experiment_name = "repaired"
    first = registered(options)
    store = MlflowRegistry(BackendSettings.from_options(options))
    assert all(check.holds for check in store.check(Receipt.read(options.receipt)))
    newest = max(artifacts.rglob("model.pkl"), key=lambda path: path.stat().st_mtime_ns)
    newest.unlink()
    assert not all(check.holds for check in store.check(Receipt.read(options.receipt)))
    assert registered(options) == first
    assert newest.exists()
    newest = max(artifacts.rglob("MLmodel"), key=lambda path: path.stat().st_mtime_ns)
    shutil.rmtree(newest.parent)
    assert not all(check.holds for check in store.check(Receipt.read(options.receipt)))
    assert registered(options)["version"] == 2
    assert all(check.holds for check in store.check(Receipt.read(options.receipt)))


def check_without_lock(both: tuple[Namespace, Namespace], uri: str, monkeypatch) -> None:
    """Check each step in which a client of a server can be killed after making a version."""
    for number, call in enumerate(
        [
            "image_workflow.backends.mlflow.registry.choose",
            "image_workflow.backends.mlflow.registry.delete_unused_runs",
            "image_workflow.backends.mlflow.registry.settle",
            "image_workflow.backends.mlflow.registry.end_registration",
        ]
    ):
        for options in both:
            options.model_name = options.experiment_name = f"killed{number}"
        if call.endswith("choose"):
            die_after_making_a_version(both[1], monkeypatch)
        else:
            killed_in(call, both[1], monkeypatch)
        receipts = [registered(options) for options in both]
        assert receipts[0] == receipts[1]
        client = mlflow.MlflowClient(uri)
        (version,) = client.search_model_versions(f"name = '{both[0].model_name}'")
        assert unfinished.TOKEN not in version.tags
        assert unfinished.TOKEN not in client.get_run(version.run_id).data.tags


def die_after_making_a_version(options: Namespace, monkeypatch) -> None:
    """Register, and die after the version was made and before the versions are compared."""

    def make_and_die(*arguments) -> None:
        made(*arguments)
        os._exit(simultaneous.KILLED)

    made = registry.make_version

    def register_and_die() -> None:
        monkeypatch.setattr(registry, "make_version", make_and_die)
        simultaneous.register_in(options)

    assert exit_code(in_child(register_and_die)) == simultaneous.KILLED


def test_a_second_version_that_a_killed_client_left_is_removed(
    options: Namespace, database: Path, tmp_path: Path, monkeypatch
):
    """A client of a server was killed between making its version and comparing the versions."""
    die_after_making_a_version(options, monkeypatch)
    with monkeypatch.context() as blind:
        blind.setattr("image_workflow.backends.mlflow.registry.choose", lambda _: None)
        clone = copied(options, tmp_path / "clone")
        die_after_making_a_version(clone, monkeypatch)
    mlflow.MlflowClient(options.registry_uri).set_registered_model_alias("my_model", "best", "2")
    assert len(versions(options)) == 2
    assert registered(options)["version"] == 1
    assert remains(database, tmp_path) == clean(VERSION_1)
    assert content(options)
    client = mlflow.MlflowClient(options.registry_uri)
    assert client.get_registered_model("my_model").aliases == {"best": 1}
