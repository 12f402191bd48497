"""Field cases: the registry was moved, lost a part, or is used by others at the same time."""

import os
import shutil
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest

from checkout import Checkout
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from registration import registered, versions, write_model, write_training
from training import training_settings

DIGITS = {"dataset": "digits"}
RECEIPT = "results/registered.json"


def register_another(options: Namespace) -> dict:
    """Train another model of the same name in the working directory, and register it."""
    options.registry_uri = f"sqlite:///{Path.cwd()}/registry/mlflow.db"
    settings = training_settings(regularization=[5])
    write_model(options.model, settings)
    write_training(options.model, settings)
    return registered(options, regularization=[5])


def client_of(registry_uri: str) -> mlflow.MlflowClient:
    """Return a client of this registry only, whatever other tests have set."""
    return mlflow.MlflowClient(registry_uri, registry_uri)


def model_folder(registry_uri: str, version: int, name: str = "my_model") -> Path:
    """Load a version, and return the folder of its files."""
    place = client_of(registry_uri).get_model_version_download_uri(name, str(version))
    assert mlflow.pyfunc.load_model(place) is not None
    return Path(mlflow.artifacts.download_artifacts(place))


# ---- A folder that moves: places in the database are not compared with where it is ---------


def test_field_case_the_project_folder_is_renamed(options: Namespace, monkeypatch):
    """mlflow 3144"""
    registered(options)
    before = Path.cwd()
    moved = before.rename(before.with_name("renamed, with ü"))
    monkeypatch.chdir(moved)
    assert register_another(options)["version"] == 2
    assert not before.exists()
    for version in (1, 2):
        assert model_folder(options.registry_uri, version).resolve().is_relative_to(moved)


def test_field_case_the_project_folder_is_copied(options: Namespace, monkeypatch):
    """A further example: the original is still there, and must stay as it is."""
    registered(options)
    original = Path.cwd() / "registry"
    copy = shutil.copytree(Path.cwd(), Path.cwd().with_name("copy"))
    before = {path: sha256_of_file(path) for path in original.rglob("*") if path.is_file()}
    monkeypatch.chdir(copy)
    assert register_another(options)["version"] == 2
    after = {path: sha256_of_file(path) for path in original.rglob("*") if path.is_file()}
    assert after == before
    for version in (1, 2):
        assert model_folder(options.registry_uri, version).resolve().is_relative_to(copy)


# ---- Something is gone: a row in a database is taken for a model ---------------------------


@pytest.mark.parametrize("lost", ["all files", "one file", "a part of a file"])
def test_field_case_the_artifacts_of_a_version_are_gone(options: Namespace, lost: str):
    """mlflow 11316; further examples: one file is gone or cut off."""
    first = registered(options)
    folder = model_folder(options.registry_uri, first["version"])
    (pickle,) = (*folder.glob("*.pkl"), *folder.glob("*.skops"))
    if lost == "all files":
        shutil.rmtree("registry/artifacts")
    elif lost == "one file":
        pickle.unlink()
    else:
        os.truncate(pickle, 10)
    again = registered(options)
    assert model_folder(options.registry_uri, again["version"])
    assert again["sha256"] == first["sha256"]
    assert len(versions(options)) == 1


def delete_registry(checkout: Checkout) -> None:
    shutil.rmtree(checkout.path / "registry")


def delete_version(checkout: Checkout) -> None:
    client = client_of(f"sqlite:///{checkout.path}/registry/mlflow.db")
    client.delete_model_version("sklearn_digits", "1")


def delete_model(checkout: Checkout) -> None:
    client = client_of(f"sqlite:///{checkout.path}/registry/mlflow.db")
    client.delete_registered_model("sklearn_digits")


def delete_artifacts(checkout: Checkout) -> None:
    shutil.rmtree(checkout.path / "registry/artifacts")


def rename_project(checkout: Checkout) -> None:
    checkout.path = checkout.path.rename(checkout.path.with_name("renamed"))


@pytest.mark.parametrize(
    "lose", [delete_registry, delete_version, delete_model, delete_artifacts, rename_project]
)
def test_field_case_the_registry_is_deleted(finished: Checkout, lose):
    """mlflow 1755; further examples: a part of it is deleted, or the project is renamed."""
    lose(finished)
    assert finished.planned_jobs(**DIGITS) == {"register"}
    assert finished.planned_jobs("results/metrics.json", **DIGITS) == set()
    if lose is delete_registry:
        finished.finish(**DIGITS)
        uri = f"sqlite:///{finished.path}/registry/mlflow.db"
        assert model_folder(uri, finished.receipt()["version"], "sklearn_digits")
        assert finished.planned_jobs(**DIGITS) == set()


# ---- Others at the same time: check, then act, without a lock ------------------------------


def test_field_case_two_projects_register_the_same_model(finished: Checkout, tmp_path: Path):
    """hydraflow 245"""
    other = finished.copied(tmp_path / "other")
    config = DIGITS | {"registry_uri": f"sqlite:///{tmp_path}/shared/mlflow.db"}
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda each: each.finish(RECEIPT, **config), [finished, other]))
    assert finished.receipt()["version"] == other.receipt()["version"] == 1
    client = client_of(config["registry_uri"])
    assert len(client.search_model_versions()) == 1


# ---- Something was deleted in the UI: one remedy for every error ---------------------------


def test_field_case_the_experiment_is_deleted(options: Namespace):
    """mlflow 6445"""
    registered(options)
    client = client_of(options.registry_uri)
    found = client.get_experiment_by_name("my_experiment")
    client.delete_experiment(found.experiment_id)
    with pytest.raises(UserError) as refused:
        register_another(options)
    said = str(refused.value)
    assert f"the experiment my_experiment was deleted in {options.registry_uri}" in said
    assert "another experiment_name" in said
    assert (
        f"mlflow experiments restore --experiment-id {found.experiment_id}" in said.replace("'", "")
        or f"experiments restore --experiment-id {found.experiment_id}" in said
    )


def test_field_case_the_run_of_a_version_is_deleted(options: Namespace):
    """A further example: the version is there and loads, so nothing is registered twice."""
    client = client_of(options.registry_uri)
    client.delete_run(registered(options)["run_id"])
    again = registered(options)
    assert model_folder(options.registry_uri, again["version"])
    assert len(versions(options)) == 1
