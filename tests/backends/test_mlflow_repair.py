"""A registered version loads, and its files are those that were registered; or it is replaced.

Each test names what happened to a registry: moved, copied, restored, or edited by somebody.
"""

import hashlib
import json
import shutil
import sqlite3
from argparse import Namespace
from contextlib import closing
from pathlib import Path

import mlflow
import pytest

from image_workflow.backends.interface import Check
from image_workflow.backends.mlflow.registry import MlflowRegistry
from image_workflow.backends.settings import BackendSettings
from image_workflow.backends.sqlite_registry import fault_of_receipt
from image_workflow.errors import UserError
from image_workflow.lineage.results import Receipt
from registration import registered, runs, versions, write_model, write_results, write_training
from simultaneous import clean, copied, forget_databases, remains, rows
from training import training_settings

VERSION_2 = [("my_model", 2)]


@pytest.fixture(autouse=True)
def new_process() -> None:
    """Each test has a registry at the same relative path, which MLflow would keep open."""
    forget_databases()


def client(options: Namespace) -> mlflow.MlflowClient:
    """Return a client of the registry."""
    mlflow.set_tracking_uri(options.registry_uri)
    return mlflow.MlflowClient()


def files_of(options: Namespace, version: int) -> Path:
    """Return the folder with the files of a version of my_model."""
    uri = client(options).get_model_version_download_uri("my_model", str(version))
    return Path(mlflow.artifacts.download_artifacts(uri))


def failed_checks(options: Namespace) -> list[Check]:
    """Return what does not hold of the receipt."""
    registry = MlflowRegistry(BackendSettings.from_options(options))
    checks = registry.check(Receipt.read(options.receipt))
    return [check for check in checks if not check.holds]


def holds(options: Namespace) -> bool:
    """Return whether the receipt's version is as registered, and MLflow loads it by its name."""
    receipt = Receipt.read(options.receipt)
    mlflow.sklearn.load_model(f"models:/{receipt.name}/{receipt.version}")
    return failed_checks(options) == [] and fault_of_receipt(options.receipt) is None


def reason(options: Namespace) -> str:
    """Return why Snakemake repeats the registration."""
    found = fault_of_receipt(options.receipt)
    assert found, "nothing is repeated"
    return found


# ---- Files of a version are missing or altered ------------------------------------------------


def remove_files(folder: Path) -> None:
    shutil.rmtree(folder)


def remove_the_model(folder: Path) -> None:
    (folder / "model.skops").unlink()


def alter_the_model(folder: Path) -> None:
    path = folder / "model.skops"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def add_a_file(folder: Path) -> None:
    (folder / "code/numpy.py").write_text("raise SystemExit")


@pytest.mark.parametrize("damage", [remove_files, remove_the_model, alter_the_model, add_a_file])
def test_artifacts_of_a_version_are_gone_or_altered(
    options: Namespace, tmp_path: Path, damage, caplog: pytest.LogCaptureFixture
):
    """mlflow 11316: "registered already" for a model that cannot be loaded."""
    registered(options)
    users = client(options)
    users.set_registered_model_alias("my_model", "champion", "1")
    users.transition_model_version_stage("my_model", "1", "Staging")
    users.update_model_version("my_model", "1", "the best")
    users.set_model_version_tag("my_model", "1", "checked_by", "me")
    damage(files_of(options, 1))
    assert failed_checks(options)
    caplog.set_level("INFO", "image_workflow")
    assert registered(options)["version"] == 2
    assert remains(tmp_path / "registry/mlflow.db", tmp_path) == clean(VERSION_2)
    assert "version 1 of my_model: its files" in caplog.text
    assert "version 2 replaces version 1" in caplog.text
    version = users.get_model_version_by_alias("my_model", "champion")
    assert (int(version.version), version.current_stage) == (2, "Staging")
    assert (version.description, version.tags["checked_by"]) == ("the best", "me")
    assert len(runs(options)) == 1
    assert holds(options)


def test_an_altered_pickle_is_not_loaded(tmp_path: Path, registry_uri: str, monkeypatch):
    (tmp_path / ".snakemake").mkdir()
    monkeypatch.chdir(tmp_path)
    tree = {"estimator": "sklearn.tree.DecisionTreeClassifier", "parameters": {"max_depth": [2]}}
    options = write_results(tmp_path, registry_uri, **tree)
    registered(options)
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path / "ran").encode() + b"'\ntR."
    (files_of(options, 1) / "model.pkl").write_bytes(evil)
    assert failed_checks(options)
    assert registered(options)["version"] == 2
    assert not (tmp_path / "ran").exists()
    assert holds(options)


def test_files_of_the_run_are_gone(options: Namespace, tmp_path: Path):
    run_id = registered(options)["run_id"]
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=""))
    expected = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    assert [check.what for check in failed_checks(options)] == [f"model.pkl of run {run_id}"]
    assert registered(options)["version"] == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected
    assert holds(options)


def test_a_version_of_an_earlier_workflow_gets_its_checksum(options: Namespace):
    first = registered(options)
    client(options).delete_model_version_tag("my_model", "1", "artifact_sha256")
    assert registered(options) == first
    assert holds(options)


def test_a_version_that_does_not_load_here_is_kept(options: Namespace, monkeypatch):
    """It may load with the packages of somebody else."""
    registered(options)
    with monkeypatch.context() as broken:
        load = mlflow.pyfunc.load_model

        def load_the_second(path: str):
            if len(versions(options)) == 1 and not runs_without_version(options):
                raise ImportError("no module named skops")
            return load(path)

        broken.setattr("mlflow.pyfunc.load_model", load_the_second)
        assert registered(options)["version"] == 2
    assert versions(options) == [("my_model", 1), ("my_model", 2)]
    assert holds(options)


def runs_without_version(options: Namespace) -> bool:
    """Return whether a registration is about to make a version."""
    return len(runs(options)) > len(versions(options))


# ---- Deleted in MLflow's pages ---------------------------------------------------------------


def test_a_version_is_deleted(options: Namespace, tmp_path: Path):
    registered(options)
    client(options).delete_model_version("my_model", "1")
    assert [check.found for check in failed_checks(options)] == ["missing"]
    assert "is not in" in reason(options)
    assert registered(options)["version"] == 2
    assert len(runs(options)) == 1
    assert holds(options)


def test_a_model_is_deleted(options: Namespace):
    registered(options)
    client(options).delete_registered_model("my_model")
    assert "version 1 of my_model" in reason(options)
    assert registered(options)["version"] == 1
    assert len(runs(options)) == 1
    assert holds(options)


def test_a_run_is_deleted(options: Namespace):
    """The version is still there, and loads."""
    receipt = registered(options)
    client(options).delete_run(receipt["run_id"])
    assert holds(options)
    assert registered(options) == receipt


def test_a_run_is_deleted_for_good(options: Namespace, tmp_path: Path):
    receipt = registered(options)
    client(options).delete_run(receipt["run_id"])
    mlflow.tracking._tracking_service.utils._get_store()._hard_delete_run(receipt["run_id"])
    assert [check.found for check in failed_checks(options)] == ["missing"]
    assert registered(options)["version"] == 2
    assert remains(tmp_path / "registry/mlflow.db", tmp_path) == clean(VERSION_2)
    assert holds(options)


def test_a_logged_model_is_deleted(options: Namespace):
    registered(options)
    (run,) = runs(options)
    model_id = run.outputs.model_outputs[0].model_id
    client(options).delete_logged_model(model_id)
    assert registered(options)["version"] in (1, 2)
    assert holds(options)


def test_an_experiment_is_deleted(options: Namespace):
    """mlflow 6445. The version is still there; another model needs the experiment."""
    receipt = registered(options)
    (run,) = runs(options)
    client(options).delete_experiment(run.info.experiment_id)
    assert registered(options) == receipt
    assert holds(options)
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)
    with pytest.raises(UserError, match=r"my_experiment was deleted .* restore"):
        registered(options)
    assert registered(options, experiment_name="another")["version"] == 2


# ---- The registry's folder is deleted, moved, copied or restored -------------------------------


def test_the_registry_is_deleted(options: Namespace, tmp_path: Path):
    """mlflow 1755: "nothing to be done" for a model that is registered nowhere."""
    registered(options)
    shutil.rmtree(tmp_path / "registry")
    forget_databases()
    assert "which is missing" in reason(options)
    assert [check.found for check in failed_checks(options)] == ["missing"]
    assert not (tmp_path / "registry").exists()
    assert registered(options)["version"] == 1
    assert holds(options)


def test_only_the_files_are_deleted(options: Namespace, tmp_path: Path):
    registered(options)
    shutil.rmtree(tmp_path / "registry/artifacts")
    assert "files of version 1 of my_model are missing" in reason(options)
    assert registered(options)["version"] == 2
    assert holds(options)


def old_places(database: Path, old: Path) -> list[tuple[str, str]]:
    """Return each table and column of a database in which the old folder is named."""
    spellings = [str(old / "registry"), (old / "registry").as_uri()]
    with closing(sqlite3.connect(database)) as connection:
        query = "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c"
        columns = connection.execute(f"{query} WHERE m.type = 'table'").fetchall()
        return [
            (table, column)
            for table, column in columns
            for (value,) in connection.execute(f'SELECT "{column}" FROM "{table}"')
            if any(spelling in str(value) for spelling in spellings)
        ]


@pytest.mark.parametrize("name", ["50% & #1 'q' ünlaut", "artifacts"])
def test_the_project_is_renamed(options: Namespace, tmp_path: Path, name: str, monkeypatch):
    """mlflow 3144: version 1 was lost, and version 2 went into the old folder."""
    old, new = tmp_path / f"old {name}", tmp_path / f"new {name}"
    project = copied(options, old)
    project.registry_uri = "sqlite:///registry/mlflow.db"
    shutil.copytree(tmp_path / "registry", old / "registry")
    monkeypatch.chdir(old)
    receipt = registered(project)
    add_a_trace(project)
    old.rename(new)
    monkeypatch.chdir(new)
    forget_databases()
    moved = relocated(project, old, new)
    assert failed_checks(moved) == []
    assert "was moved or copied" in reason(moved)
    assert registered(moved) == receipt
    assert not old.exists()
    assert old_places(new / "registry/mlflow.db", old) == []
    assert holds(moved)
    another_model(moved)
    assert registered(moved)["version"] == 2
    assert not old.exists()
    assert holds(moved)


def relocated(options: Namespace, old: Path, new: Path) -> Namespace:
    """Return the options after the folder was moved."""

    def moved(value: object) -> object:
        if isinstance(value, Path) and value.is_relative_to(old):
            return new / value.relative_to(old)
        return [moved(item) for item in value] if isinstance(value, list) else value

    return Namespace(**{key: moved(value) for key, value in vars(options).items()})


def another_model(options: Namespace) -> None:
    """Train another model in the folder."""
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)


def add_a_trace(options: Namespace) -> None:
    """Log a trace of the user's own: MLflow notes where its files are in a tag."""
    client(options)
    mlflow.set_experiment("my_experiment")
    with mlflow.start_span("mine"):
        pass
    mlflow.flush_trace_async_logging()
    mlflow.tracking.fluent._active_experiment_id = None


def test_the_project_is_copied(options: Namespace, tmp_path: Path, monkeypatch):
    """The original still exists: the copy must not write into it."""
    options.registry_uri = "sqlite:///registry/mlflow.db"
    registered(options)
    before = tree(tmp_path / "registry")
    copy = copied(options, tmp_path / "copy")
    shutil.copytree(tmp_path / "registry", tmp_path / "copy/registry")
    monkeypatch.chdir(tmp_path / "copy")
    forget_databases()
    another_model(copy)
    assert registered(copy)["version"] == 2
    assert tree(tmp_path / "registry") == before
    assert old_places(tmp_path / "copy/registry/mlflow.db", tmp_path) == []
    assert holds(copy)
    monkeypatch.chdir(tmp_path)
    forget_databases()
    assert registered(options)["version"] == 1


def tree(folder: Path) -> dict[str, str]:
    """Return the checksum of each file in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_registry_is_moved_elsewhere(options: Namespace, tmp_path: Path):
    receipt = registered(options)
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere")
    options.registry_uri = f"sqlite:///{tmp_path}/elsewhere/mlflow.db"
    assert registered(options) == receipt | {"registry_uri": options.registry_uri}
    assert not (tmp_path / "registry").exists()
    assert holds(options)


def test_only_the_database_is_copied(options: Namespace, tmp_path: Path):
    """The files of its versions stay where they are, and new ones go beside the copy."""
    registered(options)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(tmp_path / "registry/mlflow.db", tmp_path / "elsewhere")
    before = tree(tmp_path / "registry")
    options.registry_uri = f"sqlite:///{tmp_path}/elsewhere/mlflow.db"
    assert registered(options)["version"] == 1
    another_model(options)
    assert registered(options)["version"] == 2
    assert tree(tmp_path / "registry") == before
    assert holds(options)


def test_a_registry_behind_a_link_is_not_moved(options: Namespace, tmp_path: Path):
    registered(options)
    (tmp_path / "link").symlink_to(tmp_path / "registry")
    linked = Namespace(**vars(options) | {"registry_uri": f"sqlite:///{tmp_path}/link/mlflow.db"})
    registered(linked)
    assert old_places(tmp_path / "registry/mlflow.db", tmp_path) != []
    assert fault_of_receipt(options.receipt) is None


def test_an_experiment_with_a_place_of_its_own_keeps_it(options: Namespace, tmp_path: Path):
    """Somebody chose this place, and the registry was not moved."""
    place = (tmp_path / "elsewhere/artifacts").as_uri()
    client(options).create_experiment("my_experiment", artifact_location=place)
    registered(options)
    registered(options)
    (experiment,) = rows(
        tmp_path / "registry/mlflow.db",
        "SELECT artifact_location FROM experiments WHERE name = 'my_experiment'",
    )
    assert experiment == (place,)
    assert (tmp_path / "elsewhere/artifacts/models").is_dir()


def test_the_database_is_restored_from_an_older_backup(options: Namespace, tmp_path: Path):
    shutil.copy(tmp_path / "registry/mlflow.db", tmp_path / "backup.db")
    registered(options)
    shutil.copy(tmp_path / "backup.db", tmp_path / "registry/mlflow.db")
    assert "is not in" in reason(options)
    assert registered(options)["version"] == 1
    assert holds(options)


def test_the_files_are_restored_from_an_older_backup(options: Namespace, tmp_path: Path):
    registered(options)
    shutil.copytree(tmp_path / "registry/artifacts", tmp_path / "backup")
    another_model(options)
    registered(options)
    shutil.rmtree(tmp_path / "registry/artifacts")
    shutil.copytree(tmp_path / "backup", tmp_path / "registry/artifacts")
    assert "files of version 2 of my_model are missing" in reason(options)
    assert registered(options)["version"] == 3
    assert versions(options) == [("my_model", 1), ("my_model", 3)]
    assert holds(options)


def test_a_version_of_another_model_has_the_number_now(options: Namespace, tmp_path: Path):
    """The registry was deleted, and another project registered in it."""
    registered(options)
    receipt = options.receipt.read_bytes()
    client(options).delete_registered_model("my_model")
    another_model(options)
    registered(options)
    options.receipt.write_bytes(receipt)
    assert "that results/registered.json describes is not in" in reason(options)
    assert len(failed_checks(options)) > 1


# ---- Nothing to repair -----------------------------------------------------------------------


def test_the_same_model_of_other_code_holds(options: Namespace):
    """The version has the tags of its first registration."""
    receipt = registered(options)
    changed = receipt["sha256"] | {"code": "0" * 64}
    options.receipt.write_text(json.dumps(receipt | {"sha256": changed}))
    assert holds(options)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"registry_uri": "https://mlflow.example.org"}'])
def test_a_receipt_that_says_nothing_of_a_database_is_no_reason(tmp_path: Path, text: str):
    (tmp_path / "registered.json").write_text(text)
    assert fault_of_receipt(tmp_path / "registered.json") is None
    assert fault_of_receipt(tmp_path / "missing.json") is None


def test_a_model_that_was_loaded_from_its_folder_is_unaltered(options: Namespace):
    """MLflow and Python leave files in the folder."""
    receipt = registered(options)
    mlflow.pyfunc.load_model("models:/my_model/1")
    (files_of(options, 1) / "__pycache__").mkdir()
    (files_of(options, 1) / "__pycache__/any.pyc").write_bytes(b"any")
    assert registered(options) == receipt
