"""The registry in MLflow: a real MLflow on SQLite, and one version for each model's content."""

import hashlib
import json
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pytest
import yaml

import register
from checkout import TOP
from image_workflow.backends.mlflow import registry, texts
from image_workflow.backends.settings import BackendSettings
from image_workflow.lineage.results import ImageClass
from image_workflow.models.estimator import features
from registration import (
    ENVIRONMENT,
    PARAMETERS,
    content,
    registered,
    runs,
    write_data_set_file,
    write_model,
    write_results,
    write_training,
)
from training import training_settings

CLASS_NAMES = {"0": "zero", "3": "three", "200": "ünlaut 200"}

# ---- Registered runs and versions ----------------------------------------------------------


def test_the_run_has_parameters_metrics_tags_and_artifacts(options: Namespace):
    receipt = registered(options)
    (run,) = runs(options)
    assert run.info.run_id == receipt["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params == PARAMETERS
    measured = json.loads(options.metrics.read_text())
    assert run.data.metrics == {
        key: measured[key] for key in ("accuracy", "regularization_rate", "n_train", "n_test")
    }
    tags = {
        "model_sha256": receipt["sha256"]["model"],
        "data_sha256": receipt["sha256"]["data"],
        "code_sha256": receipt["sha256"]["code"],
        "git_commit": str(receipt["git"]["commit"]),
        "git_dirty": str(receipt["git"]["dirty"]),
    }
    assert tags.items() <= run.data.tags.items()
    artifacts = mlflow.MlflowClient(options.registry_uri).list_artifacts(run.info.run_id)
    logged = {found.path for found in artifacts}
    expected = {"model.pkl", "metrics.json", "sweep.json", "dataset.json", "preview.png"}
    assert logged == expected


def test_the_run_has_every_picture(options: Namespace, tmp_path: Path):
    shutil.copy(tmp_path / "preview.png", tmp_path / "sweep.png")
    receipt = registered(options, pictures=[*options.pictures, tmp_path / "sweep.png"])
    artifacts = mlflow.MlflowClient(options.registry_uri).list_artifacts(receipt["run_id"])
    assert {"preview.png", "sweep.png"} < {found.path for found in artifacts}


def test_a_list_of_runs_says_accuracy_rate_and_data_set(options: Namespace):
    receipt = registered(options)
    (run,) = runs(options)
    accuracy = receipt["metrics"]["accuracy"]
    assert run.info.run_name == f"accuracy {accuracy:.4f}, rate 0.5, mine"
    client = mlflow.MlflowClient(options.registry_uri)
    experiment = client.get_experiment(run.info.experiment_id)
    view = json.loads(experiment.tags["mlflow.sharedViewState.accuracy"])
    assert {"metrics.`accuracy`", "params.`regularization`"} < set(view["selectedColumns"])


def test_the_run_has_the_data_set(options: Namespace):
    data_sha256 = registered(options)["sha256"]["data"]
    (run,) = runs(options)
    train, test = sorted(run.inputs.dataset_inputs, key=lambda given: given.dataset.name)[::-1]
    for given, context, count in ((train, "training", 40), (test, "evaluation", 20)):
        assert {tag.key: tag.value for tag in given.tags} == {"mlflow.data.context": context}
        assert data_sha256.startswith(given.dataset.digest)
        assert json.loads(given.dataset.source)["tags"]["sha256"] == data_sha256
        profile = json.loads(given.dataset.profile)
        assert profile["features_shape"] == [count, 5, 4]
        assert profile["targets_shape"] == [count]
    assert (train.dataset.name, test.dataset.name) == ("mine train", "mine test")


def test_the_version_says_what_it_is(options: Namespace):
    receipt = registered(options)
    client = mlflow.MlflowClient(options.registry_uri)
    version = client.get_model_version("my_model", "1")
    accuracy = f"{receipt['metrics']['accuracy']:.4f}"
    lines = [line.strip() for line in version.description.splitlines()]
    assert lines[:3] == [
        f"Accuracy {accuracy} on mine, at regularization rate 0.5",
        "40 training images and 20 test images of 5 x 4 pixels",
        "3 classes: zero, three, ünlaut 200",
    ]
    assert receipt["git"]["commit"] is None or receipt["git"]["commit"] in lines[3]
    assert version.tags["accuracy"] == accuracy
    assert version.tags["regularization_rate"] == "0.5"
    assert client.get_run(version.run_id).data.tags["mlflow.note.content"] == version.description
    assert "data set" in client.get_registered_model("my_model").description


def test_descriptions_of_other_people_stay(options: Namespace):
    registered(options)
    client = mlflow.MlflowClient(options.registry_uri)
    client.update_registered_model("my_model", "ours")
    client.update_model_version("my_model", "1", "the best")
    registered(options)
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)
    registered(options)
    assert client.get_registered_model("my_model").description == "ours"
    assert client.get_model_version("my_model", "1").description == "the best"
    assert client.get_model_version("my_model", "2").description.startswith("Accuracy")


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({0: "0", 1: "1"}, "2 classes"),
        ({0: "a_b_c", 1: "*x*", 2: "<b>"}, r"3 classes: a\_b\_c, \*x\*, \<b\>"),
        (
            {label: f"class {label}" for label in range(62)},
            "62 classes: " + ", ".join(f"class {label}" for label in range(30)) + " and 32 more",
        ),
    ],
)
def test_a_description_names_the_classes(options: Namespace, names: dict, line: str):
    described = register.registration(options)
    classes = [ImageClass(label, name, 1, 1) for label, name in names.items()]
    changed = replace(described, data_set=replace(described.data_set, classes=classes))
    assert line in texts.description(changed).split("  \n")


def test_the_version_has_signature_example_and_pinned_requirements(options: Namespace):
    registered(options)
    client = mlflow.MlflowClient(options.registry_uri)
    version = client.get_model_version("my_model", "1")
    assert version.tags["model_sha256"] == hashlib.sha256(options.model.read_bytes()).hexdigest()
    folder = Path(mlflow.artifacts.download_artifacts("models:/my_model/1"))
    model = mlflow.models.Model.load(str(folder))
    (pixels,) = model.signature.inputs.inputs
    assert (pixels.type, pixels.shape) == (np.dtype("uint8"), (-1, 5, 4))
    outputs = [(each.name, each.type.kind, each.shape) for each in model.signature.outputs.inputs]
    assert outputs == [("label", "U", (-1,)), ("probabilities", "f", (-1, 3))]
    images = np.load(options.data_folder / "test-images.npy")
    np.testing.assert_array_equal(model.load_input_example(str(folder)), images[:5])
    pins = yaml.safe_load(ENVIRONMENT.read_text())["dependencies"][-1]["pip"]
    requirements = (folder / "requirements.txt").read_text().split()
    assert {"mlflow", "skops"} == {line.split("==")[0] for line in requirements if line not in pins}
    assert set(pins) < set(requirements)
    assert all("==" in line for line in requirements)


def test_the_registered_model_predicts_the_same_as_the_pickle(options: Namespace):
    registered(options)
    images, model = np.load(options.data_folder / "test-images.npy"), joblib.load(options.model)
    expected = [CLASS_NAMES[str(label)] for label in model.predict(features(images))]
    answer = mlflow.pyfunc.load_model("models:/my_model/1").predict(images)
    assert answer["label"].tolist() == expected
    probabilities = model.predict_proba(features(images))
    np.testing.assert_array_equal(answer["probabilities"], probabilities)
    pipeline = mlflow.sklearn.load_model("models:/my_model/1")
    flat = images.reshape(len(images), -1)
    np.testing.assert_array_equal(pipeline.predict_proba(flat), probabilities)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images / 255, "dtype of input float64 does not match expected dtype uint8"),
        (lambda images: images[:, :3], r"Shape of input \(20, 3, 4\) does not match"),
        (lambda images: images // 255, "Do not divide them by 255"),
        (lambda images: images[:0], "found no image"),
    ],
)
def test_the_registered_model_refuses_images_of_another_kind(options: Namespace, change, said: str):
    registered(options)
    images = np.load(options.data_folder / "test-images.npy")
    with pytest.raises(Exception, match=said):
        mlflow.pyfunc.load_model("models:/my_model/1").predict(change(images))


def test_the_registered_model_has_the_names_of_its_classes(options: Namespace):
    registered(options)
    (run,) = runs(options)
    assert json.loads(run.data.tags["class_names"]) == CLASS_NAMES
    names = mlflow.models.get_model_info("models:/my_model/1").metadata["class_names"]
    assert names == CLASS_NAMES


def test_names_that_are_too_long_for_a_tag_of_a_run_are_not_cut_off(options: Namespace):
    classes = [ImageClass(label, "n" * 50, 1, 1) for label in range(256)]
    write_data_set_file(options.dataset_file, options.data_folder, classes=classes)
    registered(options)
    (run,) = runs(options)
    assert run.data.tags["class_names"].startswith("sha256 ")
    names = mlflow.models.get_model_info("models:/my_model/1").metadata["class_names"]
    assert names == {str(label): "n" * 50 for label in range(256)}
    options.model_name = "other"
    registered(options)
    assert len(runs(options)) == 1
    classes[0] = ImageClass(0, "m" * 50, 1, 1)
    write_data_set_file(options.dataset_file, options.data_folder, classes=classes)
    assert registered(options)["version"] == 2  # the names are others


def test_artifacts_go_beside_the_database(options: Namespace, tmp_path: Path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere/registry")
    registered(options, registry_uri="sqlite:///registry/mlflow.db")
    found = {path.name for path in (tmp_path / "elsewhere/registry/artifacts").rglob("*")}
    assert {"model.pkl", "preview.png", "metrics.json", "MLmodel"} <= found
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["registry"]


# ---- Other estimators ----------------------------------------------------------------------

NETWORK = {
    "estimator": "sklearn.neural_network.MLPClassifier",
    "parameters": {"hidden_layer_sizes": [[5]], "tol": 1.0},  # stops early
}
OWN_FILES = {
    "registered_model.py": """
import numpy as np
from registered_parts.distance import squared
from sklearn.base import BaseEstimator, ClassifierMixin

TAKES_IMAGES = True

class Nearest(ClassifierMixin, BaseEstimator):
    def fit(self, images, labels):
        assert images.ndim == 3
        self.classes_ = np.unique(labels)
        self.means_ = np.array([images[labels == label].mean(axis=0) for label in self.classes_])
        return self

    def predict(self, images):
        return self.classes_[squared(images, self.means_).argmin(axis=1)]
""",
    "registered_parts/__init__.py": "",
    "registered_parts/distance.py": """
def squared(images, means):
    return ((images[:, None] - means) ** 2).sum(axis=(2, 3))
""",
    "notes.txt": "nothing that the model needs",
}


def test_another_estimator_is_named_with_its_parameters(tmp_path: Path, registry_uri: str):
    options = write_results(tmp_path, registry_uri, **NETWORK)
    receipt = registered(options)
    accuracy = f"{receipt['metrics']['accuracy']:.4f}"
    (run,) = runs(options)
    assert run.info.run_name == f"accuracy {accuracy}, MLPClassifier, mine"
    assert run.data.params == receipt["parameters"]
    assert run.data.params == {
        "estimator": "sklearn.neural_network.MLPClassifier",
        "dataset": "mine",
        "seed": "42",
        "hidden_layer_sizes": "[5]",
        "tol": "1.0",
    }
    assert set(run.data.metrics) == {"accuracy", "n_train", "n_test"}
    client = mlflow.MlflowClient(options.registry_uri)
    version = client.get_model_version("my_model", "1")
    assert (version.tags["accuracy"], version.tags["estimator"]) == (accuracy, "MLPClassifier")
    parameters = r"hidden\_layer\_sizes=\[5\], tol=1.0"
    line = f"Accuracy {accuracy} on mine, by MLPClassifier with {parameters}"
    assert version.description.split("  \n")[0] == line
    view = client.get_experiment(run.info.experiment_id).tags["mlflow.sharedViewState.accuracy"]
    assert "params.`estimator`" in json.loads(view)["selectedColumns"]


def test_another_estimator_is_registered_once_and_predicts_the_same(
    tmp_path: Path, registry_uri: str, capfd: pytest.CaptureFixture
):
    options = write_results(tmp_path, registry_uri, **NETWORK)
    capfd.readouterr()
    assert registered(options)["version"] == registered(options)["version"] == 1
    assert "pickle" not in capfd.readouterr().err
    assert content(options)
    images = np.load(options.data_folder / "test-images.npy")
    expected = joblib.load(options.model).predict(features(images))
    pipeline = mlflow.sklearn.load_model("models:/my_model/1")
    np.testing.assert_array_equal(pipeline.predict(images.reshape(len(images), -1)), expected)
    answer = mlflow.pyfunc.load_model("models:/my_model/1").predict(images)
    assert answer["label"].tolist() == [CLASS_NAMES[str(label)] for label in expected]


@pytest.fixture
def own_options(tmp_path: Path, registry_uri: str, monkeypatch) -> Iterator[Namespace]:
    """The options of register.py for a model of a class of the user's own."""
    write_files(tmp_path / "own", OWN_FILES)
    monkeypatch.setattr(sys, "path", list(sys.path))
    estimator = {"estimator": "registered_model.py:Nearest", "estimator_folder": tmp_path / "own"}
    yield write_results(tmp_path, registry_uri, **estimator)
    for name in [name for name in sys.modules if name.startswith("registered_")]:
        del sys.modules[name]


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write texts to files below a folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_model_of_an_own_class_is_loaded_without_the_users_files(
    own_options: Namespace, tmp_path: Path
):
    registered(own_options)
    images = np.load(own_options.data_folder / "test-images.npy")
    expected = joblib.load(own_options.model).predict(features(images))
    names = [CLASS_NAMES[str(label)] for label in expected]
    np.save(tmp_path / "images.npy", images)
    code = """
import sys, mlflow, numpy
mlflow.set_tracking_uri(sys.argv[1])
images = numpy.load("images.npy")
rows = images.reshape(len(images), -1)
print(mlflow.sklearn.load_model("models:/my_model/1").predict(rows).tolist())
print(mlflow.pyfunc.load_model("models:/my_model/1").predict(images)["label"].tolist())
"""
    # An isolated Python finds no modules in the working directory or by PYTHONPATH.
    command = [sys.executable, "-I", "-c", code, own_options.registry_uri]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == f"{expected.tolist()}\n{names}\n", ended.stderr
    ours = {f"registered_image_model/{name}.py" for name in ("classifier", "mlflow_loader")}
    ours.add("registered_image_model/model_input.py")
    assert stored_files("1") == ours | set(OWN_FILES) - {"notes.txt"}


def test_a_process_that_loads_the_model_can_go_on_with_the_workflow(
    options: Namespace, tmp_path: Path
):
    registered(options)
    code = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/my_model/1")
sys.path.append(sys.argv[2])
from image_workflow import interrupts
from image_workflow.inference.classifier import ImageClassifier
print(len(model.predict(model.input_example)["label"]))
"""
    scripts = str(TOP / "workflow/scripts")
    command = [sys.executable, "-I", "-c", code, options.registry_uri, scripts]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.stdout == "5\n", ended.stderr


def test_a_class_of_the_user_that_has_only_predict_is_registered(
    tmp_path: Path, registry_uri: str, monkeypatch
):
    text = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Constant(ClassifierMixin, BaseEstimator):
    def fit(self, rows, labels):
        return self

    def predict(self, rows):
        return np.zeros(len(rows), int)
"""
    write_files(tmp_path / "own", {"registered_constant.py": text})
    monkeypatch.setattr(sys, "path", list(sys.path))
    estimator = {"estimator": "registered_constant.py:Constant"}
    options = write_results(tmp_path, registry_uri, **estimator, estimator_folder=tmp_path / "own")
    assert registered(options)["version"] == registered(options)["version"] == 1
    images = np.load(options.data_folder / "test-images.npy")
    answer = mlflow.pyfunc.load_model("models:/my_model/1").predict(images)
    assert answer.keys() == {"label"}
    assert set(answer["label"]) == {CLASS_NAMES["0"]}


def stored_files(version: str) -> set[str]:
    """Return the files with code that are stored with a version of my_model."""
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/my_model/{version}"), "code")
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in found if path.suffix != ".pyc"}


@pytest.mark.parametrize("edited", ["registered_model.py", "registered_parts/distance.py"])
def test_an_edit_of_the_users_files_is_another_version(
    own_options: Namespace, tmp_path: Path, edited: str
):
    """The model's bytes do not change if only its predict does."""
    assert registered(own_options)["version"] == 1
    write_files(tmp_path / "edited", OWN_FILES | {edited: OWN_FILES[edited] + "# edited\n"})
    for _ in range(2):
        receipt = registered(own_options, estimator_folder=tmp_path / "edited")
        assert receipt["version"] == 2
    code = Path(mlflow.artifacts.download_artifacts("models:/my_model/2"), "code")
    assert (code / edited).read_text().endswith("# edited\n")
    assert registered(own_options)["version"] == 1


def test_parameters_that_mlflow_does_not_take_are_changed(options: Namespace):
    described = register.registration(options)
    long = "layer, " * 10_000
    given = {
        "estimator": "my_model.py:build",
        "pca(2)__whiten": "true",
        "n" * 300: "",
        "text": long,
    }
    changed = replace(described, parameters=described.parameters | given)
    logged = texts.run_parameters(changed)
    store = registry.MlflowRegistry(BackendSettings.from_options(options))
    store.register(changed)
    store.register(replace(changed, name="other"))  # finds the run by its parameters
    (run,) = runs(options)
    assert run.data.params == logged
    assert logged["pca_2___whiten"] == "true"
    assert logged["text"].startswith("layer, layer, ")
    other = replace(changed, parameters=changed.parameters | {"text": f"{long}other"})
    assert texts.run_parameters(other)["text"] != logged["text"]
