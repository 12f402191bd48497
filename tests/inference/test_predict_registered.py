"""Predict with a registered version, if its files are those that were registered."""

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import mlflow
import numpy as np
import pytest

from checkout import TOP
from image_workflow.backends.mlflow.versions import NotRegistered, registered_classifier
from image_workflow.errors import UserError
from image_workflow.inference.classifier import Predictions
from registration import CLASSES, registered, write_results
from samples import labelled_images

IMAGES, LABELS = labelled_images(60, 5, 4, classes=list(CLASSES))
OWN = """
from sklearn.tree import DecisionTreeClassifier

class Mine(DecisionTreeClassifier):
    pass

def build():
    return Mine(random_state=0)
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Namespace:
    """The options of register.py for a registry with two versions; the first has an alias."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        options = write_results(folder, f"sqlite:///{folder}/registry/mlflow.db")
        registered(options)
        weak = {"regularization": [1000.0]}
        (folder / "weak").mkdir()
        registered(write_results(folder / "weak", options.registry_uri, **weak))
    client = mlflow.MlflowClient(options.registry_uri)
    client.set_registered_model_alias(options.model_name, "champion", "1")
    return options


def answer(reference: str, uri: str) -> Predictions:
    """Return the predictions of a registered version."""
    with registered_classifier(reference, uri) as classifier:
        return classifier.predict(IMAGES)


def test_a_version_is_chosen_by_its_number_its_alias_or_its_age(options: Namespace):
    first, second = (answer(f"my_model/{number}", options.registry_uri) for number in (1, 2))
    assert not np.allclose(first.probabilities, second.probabilities)
    for reference, expected in {
        "my_model@champion": first,
        "my_model/@champion": first,
        "my_model": second,
    }.items():
        found = answer(reference, options.registry_uri)
        assert np.array_equal(found.probabilities, expected.probabilities), reference
    assert set(first.labels) <= set(first.class_names) == set(CLASSES.values())


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("my_modle", "there is no model my_modle in .*did you mean my_model"),
        ("my_model/7", "my_model has no version 7 in .* It has: 1, 2"),
        ("my_model/0", "my_model has no version 0"),
        ("my_model@best", "my_model has no alias best in .* It has: champion"),
        ("my_model/newest", "names no version. Write NAME, NAME/VERSION or NAME@ALIAS"),
        ("", "names no version"),
        ("x' or name = 'my_model", "names no version"),
    ],
)
def test_an_unknown_version_is_named_with_those_that_exist(
    options: Namespace, reference: str, message: str
):
    with pytest.raises(NotRegistered, match=message):
        answer(reference, options.registry_uri)


def test_a_missing_registry_is_not_created(tmp_path: Path):
    with pytest.raises(NotRegistered, match=r"does not exist. Run snakemake"):
        answer("my_model", f"sqlite:///{tmp_path}/new/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def copied(options: Namespace, folder: Path) -> tuple[str, Path]:
    """Return the URI of a copy of the registry, and its files of version 2."""
    source = Path(options.registry_uri.removeprefix("sqlite:///")).parent
    shutil.copytree(source, folder / "registry")
    client = mlflow.MlflowClient(options.registry_uri)
    place = client.get_model_version_download_uri("my_model", "2").split("/artifacts/", 1)[1]
    return f"sqlite:///{folder}/registry/mlflow.db", folder / "registry/artifacts" / place


@pytest.mark.parametrize("name", ["model.skops", "model_input.json", "MLmodel"])
def test_a_version_whose_files_were_altered_is_not_loaded(
    options: Namespace, tmp_path: Path, name: str
):
    uri, files = copied(options, tmp_path)
    answer("my_model/2", uri)
    with open(files / name, "a") as file:
        file.write(" ")
    with pytest.raises(UserError, match="version 2 of my_model is not loaded, because its files"):
        answer("my_model/2", uri)


def test_a_version_whose_files_are_gone_is_named(options: Namespace, tmp_path: Path):
    uri, files = copied(options, tmp_path)
    shutil.rmtree(files)
    files.mkdir()
    with pytest.raises(UserError, match=r"found no files. Run snakemake verify"):
        answer("my_model/2", uri)


def test_a_version_of_another_program_is_refused(options: Namespace, tmp_path: Path):
    uri, files = copied(options, tmp_path)
    client = mlflow.MlflowClient(uri)
    client.create_registered_model("other")
    client.create_model_version("other", files.as_uri())
    with pytest.raises(UserError, match="was not registered by this workflow"):
        answer("other", uri)


def test_an_own_estimator_brings_its_code_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The user's file may be gone since."""
    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine/model_of_a_user.py"
    file.write_text(OWN)
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/registry/mlflow.db"
    registered(write_results(tmp_path / "mine", uri, estimator=f"{file}:build"))
    file.unlink()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np\n"
        "from image_workflow.backends.mlflow.versions import registered_classifier\n"
        "with registered_classifier('my_model', sys.argv[2]) as classifier:\n"
        "    print(classifier.predict(np.load('mine/arrays/test-images.npy')).labels)\n"
    )
    command = [sys.executable, "-c", code, str(TOP / "workflow/scripts"), uri]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "ünlaut 200" in ended.stdout


def test_for_a_version_in_azure_the_user_is_sent_to_the_results(options: Namespace, tmp_path: Path):
    (tmp_path / "results").mkdir()
    receipt = json.loads(options.receipt.read_text(encoding="utf-8"))
    receipt |= {"registry": "azureml", "workspace": {"name": "my_workspace"}}
    (tmp_path / "results/registered.json").write_text(json.dumps(receipt))
    program = [sys.executable, str(TOP / "workflow/scripts/predict.py"), "x.png", "--registered"]
    for uri in (options.registry_uri, "azureml://westeurope/workspaces/my_workspace"):
        command = [*program, "sklearn_mine", "--registry-uri", uri]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 1
        assert (
            "my_workspace. results/model.pkl is the same model. Leave out --regist" in ended.stderr
        )
        assert "Traceback" not in ended.stderr
