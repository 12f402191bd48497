"""Field cases: variables, settings and files of other tools, and paths as users write them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import yaml

from checkout import TOP, Checkout
from history import write_pictures
from image_workflow.backends import choice
from image_workflow.backends.azureml import availability
from image_workflow.backends.azureml.availability import UnavailableError
from image_workflow.data.sources import SOURCES
from image_workflow.lineage.git import git_state
from samples import labelled_images, write_data_set

DIGITS = {"dataset": "digits"}
AZUREML = {"workspace_config": "", "sdk": "auto"}


# ---- Inherited variables outrank the configuration -----------------------------------------


def test_field_case_mlflow_run_id_is_left_in_the_environment(finished: Checkout):
    """mlflow 2227 and 18798; further examples: all other variables that redirect MLflow."""
    uri = f"sqlite:///{finished.path}/registry/mlflow.db"
    before = mlflow.MlflowClient(uri).get_run(finished.receipt()["run_id"])
    finished.environment = {
        "MLFLOW_RUN_ID": before.info.run_id,
        "MLFLOW_EXPERIMENT_ID": before.info.experiment_id,
        "MLFLOW_EXPERIMENT_NAME": "of another tool",
        "MLFLOW_TRACKING_URI": "sqlite:///elsewhere.db",
        "MLFLOW_REGISTRY_URI": "sqlite:///elsewhere.db",
    }
    names = {"model_name": "other", "experiment_name": "other"}
    finished.finish("results/registered.json", **DIGITS | names)
    client = mlflow.MlflowClient(uri)
    assert client.get_run(before.info.run_id).to_dictionary() == before.to_dictionary()
    run = client.get_run(finished.receipt()["run_id"])
    assert run.info.run_id != before.info.run_id
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "other"
    assert not (finished.path / "elsewhere.db").exists()


def repository(folder: Path) -> Path:
    """Create a git repository with a commit."""
    folder.mkdir()
    (folder / "file").write_text(folder.name)
    git = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", folder.name]):
        subprocess.run([*git, *command], check=True)
    return folder


@pytest.mark.parametrize("names", [["GIT_DIR"], ["GIT_DIR", "GIT_WORK_TREE"], ["GIT_INDEX_FILE"]])
def test_field_case_git_dir_is_set(tmp_path: Path, monkeypatch, names: list[str]):
    """Vundle 807; further examples: the other variables that git sets in a hook."""
    ours, theirs = repository(tmp_path / "ours"), repository(tmp_path / "theirs")
    (ours / "file").write_text("edited")
    expected = git_state(ours)
    assert expected["dirty"]
    places = {"GIT_DIR": ".git", "GIT_WORK_TREE": ".", "GIT_INDEX_FILE": ".git/index"}
    for name in names:
        monkeypatch.setenv(name, str(theirs / places[name]))
    assert git_state(ours) == expected


@pytest.mark.parametrize("variable", ["PIP_USER", "PIP_CONFIG_FILE"])
def test_field_case_pip_user_is_set(tmp_path: Path, variable: str):
    """asv 522; a further example: user = true in pip.conf."""
    shutil.copy(TOP / "Makefile", tmp_path)
    (tmp_path / "requirements").mkdir()
    # Nothing to download. The check of the environment is not under test.
    (tmp_path / "requirements/local.txt").write_text("")
    (tmp_path / "pip.conf").write_text("[install]\nuser = true\n")
    value = {"PIP_USER": "1", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}[variable]
    ended = subprocess.run(
        ["make", "setup", f"PYTHON={sys.executable}"],
        cwd=tmp_path,
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
    )
    assert "--user" not in ended.stdout + ended.stderr


# ---- A file of another tool is taken for ours ----------------------------------------------


@pytest.mark.parametrize(
    ("place", "content", "fault"),
    [
        ("config.json", {"theme": "dark"}, "has no subscription_id"),
        (".azureml/config.json", {"subscription_id": "s", "resource_group": ""}, "has no resource"),
        ("aml_config/config.json", ["an", "array"], "has no keys"),
        ("config.json", {"subscription_id": "<your id>"}, "has the placeholder <your id>"),
    ],
)
def test_field_case_a_config_json_of_another_tool(
    tmp_path: Path, monkeypatch, place: str, content: object, fault: str
):
    """azure-docs 76299; further examples: other places, empty keys, a template."""
    monkeypatch.setattr(availability, "is_installed", lambda module: True)
    project = tmp_path / "above/project"
    project.mkdir(parents=True)
    path = tmp_path / "above" / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    found = choice.choose("auto", project, AZUREML)
    assert found.backend == "local"
    assert found.reason.startswith(f"no workspace is configured: ../{place} {fault}")
    with pytest.raises(UnavailableError, match=rf"\.\./{place} {fault}.* Download config.json"):
        choice.choose("azureml", project, AZUREML)


# ---- Paths are treated in two ways ---------------------------------------------------------


@pytest.mark.parametrize("home", ["~", "$HOME", "${HOME}"])
def test_field_case_a_folder_below_home(tmp_path: Path, monkeypatch, home: str):
    """octodns 1420"""
    monkeypatch.setenv("HOME", str(tmp_path))
    sets = labelled_images(9, 4, 4, [0, 1]), labelled_images(3, 4, 4, [0, 1])
    write_data_set(tmp_path / "data", *sets)
    name = "train-images-idx3-ubyte"
    SOURCES["folder"](f"{home}/data", name, tmp_path / "found")
    assert (tmp_path / "found").read_bytes() == (tmp_path / f"data/{name}.gz").read_bytes()


@pytest.mark.parametrize("home", ["~", "$HOME"])
def test_field_case_every_path_below_home(finished: Checkout, home: str):
    """Further examples: images, an estimator, its packages, and the workspace's file."""
    folder = finished.path / "home"
    write_pictures(folder / "trees", "first")
    (folder / "model.py").write_text(
        "from sklearn.naive_bayes import BernoulliNB\n\nbuild = BernoulliNB\n"
    )
    (folder / "packages.txt").write_text("# none\n")
    (folder / "config.json").write_text("{}")
    finished.environment = {"HOME": str(folder)}
    (finished.path / "config/my_datasets.yaml").write_text(
        yaml.safe_dump({"trees": {"images": f"{home}/trees"}})
    )
    own = {"estimator": f"{home}/model.py:build", "extra_packages": f"{home}/packages.txt"}
    assert "convert" in finished.planned_jobs(dataset="trees", **own)
    assert "convert" in finished.planned_jobs(dataset=f"{home}/trees")
    ended = finished.snakemake(
        "results/model.pkl",
        "--config",
        "dataset=digits",
        "backend=azureml",
        f"azureml={{workspace_config: {home}/config.json}}",
    )
    assert "has no subscription_id" in ended.stderr
