"""Train the user's own estimators in the cloud, with the real Snakemake, SDK and the emulator."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from azureml_client import JOB, MODEL, RECEIPT, SDK, TRAINING, Cloud, needs_sdk, put_compute
from azureml_emulator import Emulator
from azureml_emulator.services.job import different_blas_kernels
from checkout import TOP
from image_workflow.backends.azureml import runs
from image_workflow.backends.azureml.backend import AzureML
from image_workflow.backends.azureml.reporting import table
from image_workflow.backends.azureml.workspace import ModelVersion
from image_workflow.backends.interface import Job
from image_workflow.errors import UserError
from image_workflow.lineage.results import Candidate, Sweep
from samples import labelled_images
from schemas import schema
from training import training_settings

SCRIPTS = TOP / "workflow/scripts"
SWEEP = "results/sweep.json"

#: A class of the user's own, which imports a module of a package.
MY_MODEL = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from parts.means import class_means

class NearestMean(ClassifierMixin, BaseEstimator):
    def __init__(self, power=2.0, broken=False):
        self.power = power
        self.broken = broken

    def fit(self, X, y):
        if self.broken:
            raise ValueError("no mean today")
        self.classes_, self.means_ = class_means(X, y)
        return self

    def predict(self, X):
        distances = [(np.abs(X - mean) ** self.power).sum(axis=1) for mean in self.means_]
        return self.classes_[np.argmin(distances, axis=0)]

def build():
    return NearestMean()
"""
MEANS = """
import numpy as np

def class_means(X, y):
    classes = np.unique(y)
    return classes, np.array([X[y == label].mean(axis=0) for label in classes])
"""
OWN = {
    "backend": "azureml",
    "estimator": "mine/my_model.py:build",
    "parameters": "{power: 1.0}",
}
MLP = {
    "backend": "azureml",
    "estimator": "sklearn.neural_network.MLPClassifier",
    "parameters": "{hidden_layer_sizes: [[8], [16]], max_iter: 30, early_stopping: true}",
}


def write_my_model(folder: Path) -> Path:
    """Write the user's file and its package to a folder, and return the file."""
    (folder / "parts").mkdir(parents=True)
    (folder / "parts/__init__.py").touch()
    (folder / "parts/means.py").write_text(MEANS)
    (folder / "my_model.py").write_text(MY_MODEL)
    return folder / "my_model.py"


# ---- The files of a run ----------------------------------------------------------------------


def write_job(folder: Path, my_model: str = MY_MODEL) -> Job:
    """Return a training of the user's own class on few images, with two candidates."""
    write_my_model(folder / "mine").write_text(my_model)
    (folder / "arrays").mkdir()
    images, labels = labelled_images(60, 5, 4, [3, 7])
    for part in ("train", "test"):
        np.save(folder / f"arrays/{part}-images.npy", images)
        np.save(folder / f"arrays/{part}-labels.npy", labels)
    return Job(
        program=SCRIPTS / "fit.py",
        settings=training_settings(
            estimator="my_model.py:build",
            estimator_folder=folder / "mine",
            parameters={"power": [1.0, 2.0]},
        ),
        data_folder=folder / "arrays",
        environment=TOP / "workflow/envs/azureml.yaml",
        model=folder / "model.pkl",
        candidates=folder / "candidates",
        threads=1,
    )


def test_an_edit_of_the_users_file_and_not_its_place_gives_another_run(tmp_path: Path):
    edited = MY_MODEL.replace("argmin", "argmax")
    jobs = [write_job(tmp_path / "first"), write_job(tmp_path / "moved")]
    jobs.append(write_job(tmp_path / "edited", edited))
    first, moved, other = (job.fingerprint for job in jobs)
    assert first == moved != other


def test_the_staged_files_alone_train_the_users_class(tmp_path: Path):
    job, source = write_job(tmp_path), tmp_path / "source"
    arguments = runs.stage(job, source)
    staged = {
        path.relative_to(source / "estimator").as_posix()
        for path in source.glob("estimator/**/*.py")
    }
    assert staged == {"my_model.py", "parts/__init__.py", "parts/means.py"}
    # Azure ML changes some special characters.
    assert re.fullmatch(r"[\w.:@/ -]+", " ".join(arguments))
    command = [sys.executable, "fit.py", "--data-folder", job.data_folder, *arguments]
    subprocess.run(command, cwd=source, check=True)
    sweep = Sweep.read(source / "outputs/sweep.json")
    assert [candidate.parameters["power"] for candidate in sweep.candidates] == [1.0, 2.0]


def test_a_file_that_was_edited_since_the_fingerprint_is_not_sent(tmp_path: Path):
    job, edited = write_job(tmp_path), tmp_path / "mine/parts/means.py"
    assert job.fingerprint
    edited.write_text(MEANS + "\n# edited\n")
    with pytest.raises(UserError, match=f"{edited} was edited while the run was prepared"):
        runs.stage(job, tmp_path / "source")


# ---- The table of candidates -----------------------------------------------------------------


def sweep_of(*points: dict) -> Sweep:
    return Sweep(points[0], 5, 5, [Candidate(point, 0.9, 0.8) for point in points])


def test_each_column_of_the_table_has_numbers_or_texts():
    first = {"alpha": 1, "depth": None, "sizes": [8], "name": "é", "same": True}
    second = {"alpha": 0.5, "depth": 3, "sizes": [8, 8], "name": "x" * 300, "same": True}
    rows = table(sweep_of(first, second))
    scores = {"train accuracy": 0.9, "validation accuracy": 0.8}
    assert rows == [
        {"alpha": 1.0, "depth": "null", "sizes": "[8]", "name": "é"} | scores,
        {"alpha": 0.5, "depth": "3", "sizes": "[8, 8]", "name": "x" * 255} | scores,
    ]
    assert type(rows[0]["alpha"]) is float


def test_the_table_has_no_more_columns_than_azure_ml_allows():
    points = [{f"p{number:02}": value for number in range(20)} for value in (0, 1)]
    assert [*table(sweep_of(*points))[0]][12:] == ["p12", "train accuracy", "validation accuracy"]


# ---- The versions of a model -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "found"),
    [(None, [1, 4]), ("one", [2]), ("another", [3]), ("new", [])],
    ids=["no file", "one file", "another file", "new file"],
)
def test_a_version_is_found_again_only_for_the_same_file(estimator, found):
    def model(version: int, sha256: str = "the same", **properties):
        return ModelVersion("model", version, properties={"model_sha256": sha256} | properties)

    versions = [
        model(5, sha256="other"),
        model(4),
        model(3, estimator_sha256="another"),
        model(2, estimator_sha256="one"),
        model(1),
    ]
    registration = SimpleNamespace(
        name="model",
        training=SimpleNamespace(model_sha256="the same"),
        sha256={"data": "data"} | ({"estimator": estimator} if estimator else {}),
    )
    workspace = SimpleNamespace(models=lambda name: versions)
    same = AzureML._versions(SimpleNamespace(workspace=workspace), registration, "{}")
    assert [version.version for version in same] == found


# ---- In the workspace ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cloud(parsed, tmp_path_factory):
    """A checkout with the user's file, and a workspace with a cluster, for all tests in turn."""
    folder = tmp_path_factory.mktemp("cloud")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        put_compute(emulator, "cpu-cluster")
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        write_my_model(cloud.path / "mine")
        yield cloud


def last_run(cloud: Cloud) -> dict:
    """Return the run that was submitted last."""
    return cloud.emulator.state()["runs"][-1]


@needs_sdk
def test_a_wrong_parameter_is_refused_before_anything_is_submitted(cloud):
    before = len(cloud.emulator.requests())
    message = cloud.fail(MODEL, **OWN | {"parameters": "{pwoer: 1.0}"})
    assert "parameters.pwoer is not a parameter of NearestMean; did you mean power?" in message
    assert len(cloud.emulator.requests()) == before


@needs_sdk
def test_an_estimator_that_fails_in_the_cloud_is_reported_with_its_line(cloud):
    message = cloud.fail(MODEL, **OWN | {"parameters": "{broken: true}"})
    line = 1 + MY_MODEL.splitlines().index('            raise ValueError("no mean today")')
    for text in (
        f"run {last_run(cloud)['runId']} failed",
        "  | fit.py: my_model.py:build could not be fitted to 1,437 images of 64 pixels with "
        f"broken=true: ValueError: no mean today, in my_model.py line {line}.",
        "the next call submits it anew",
    ):
        assert text in message
    assert not cloud.exists(MODEL)


@needs_sdk
def test_an_estimator_of_scikit_learn_is_trained_and_compared_in_the_cloud(cloud, tmp_path):
    cloud.succeed(MODEL, **MLP)
    training, run = cloud.json(TRAINING), last_run(cloud)
    schema("training").validate(training)
    assert training["deterministic"] is True and training["run_id"] == run["runId"]
    assert list(training["metrics"]) == ["accuracy"]
    if SDK == "v1":
        metrics = cloud.emulator.state()["metrics"][run["runId"]]
        rows = [value["data"] for value in metrics["sweep"]["value"]]
        assert [row["hidden_layer_sizes"] for row in rows] == ["[8]", "[16]"]
        for row, candidate in zip(rows, cloud.json(SWEEP)["candidates"], strict=True):
            assert row["validation accuracy"] == candidate["validation_accuracy"]
    check_same_as_here(cloud, tmp_path)


def check_same_as_here(cloud: Cloud, folder: Path) -> None:
    """Check that training in this process's environment gives the files of the run."""
    arguments = ["--data-folder", cloud.path / "results/arrays", "--output", folder / "model.pkl"]
    arguments += [*cloud.json(TRAINING)["arguments"], "--estimator-folder", cloud.path / "mine"]
    # A product of matrices has other last bits on another processor, and so has an MLPClassifier.
    subprocess.run(
        [sys.executable, SCRIPTS / "fit.py", *arguments],
        env=os.environ | different_blas_kernels(),
        check=True,
        capture_output=True,
    )
    for name in (MODEL, SWEEP):
        assert (folder / Path(name).name).read_bytes() == (cloud.path / name).read_bytes()


@needs_sdk
def test_a_class_of_the_users_own_is_trained_and_registered_in_the_cloud(cloud, tmp_path):
    cloud.succeed(RECEIPT, **OWN)
    check_same_as_here(cloud, tmp_path)
    receipt, (model,) = cloud.json(RECEIPT), cloud.emulator.state()["models"]
    schema("receipt").validate(receipt)
    assert receipt["sha256"]["estimator"] == model["properties"]["estimator_sha256"]
    assert receipt["deterministic"] is True and receipt["run_id"] == model["runId"]
    chosen = cloud.json(SWEEP)["parameters"]["power"]
    tags = {"estimator": "my_model.py:build", "power": str(chosen), "dataset": "digits"}
    assert model["kvTags"].items() >= tags.items()
    assert float(model["kvTags"]["accuracy"]) == receipt["metrics"]["accuracy"] > 0.8
