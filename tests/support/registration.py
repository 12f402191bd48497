"""A small model to register: its files, and the options of register.py."""

import json
from argparse import Namespace
from pathlib import Path

import joblib
import mlflow
import numpy as np
from mlflow.entities import LoggedModelStatus

import register
from checkout import TOP
from evaluate import measure
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES, load_arrays
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import DataSet, ImageClass, Sweep, Training
from image_workflow.models.estimator import features
from image_workflow.models.settings import TrainingSettings
from image_workflow.models.training import train
from samples import labelled_images
from training import training_options, training_settings

PROGRAM = TOP / "workflow/scripts/fit.py"
ENVIRONMENT = TOP / "workflow/envs/train.yaml"
CLASSES = {0: "zero", 3: "three", 200: "ünlaut 200"}
SETTINGS = training_settings(regularization=[0.5])
#: What the registry shows of these settings.
PARAMETERS = {
    "estimator": "logistic_regression",
    "dataset": "mine",
    "seed": "42",
    "regularization": "0.5",
    "solver": "liblinear",
}
#: What decides the results beside the settings of the training.
CONFIGURATION = {
    "dataset": "mine",
    "entry": {},
    "own_files": ["images"],
    "preview_images": 30,
    "extra_packages": [],
}


def write_results(folder: Path, registry_uri: str, **training) -> Namespace:
    """Train and measure a small model in a folder, and return the options of register.py.

    ``training`` are options of the training. It is a logistic regression without them.
    """
    chosen = training_options(**{"regularization": [0.5]} | training)
    settings = TrainingSettings.from_options(chosen)
    images, labels = labelled_images(60, 5, 4, classes=list(CLASSES))
    arrays = folder / "arrays"
    arrays.mkdir()
    for part, where in (("train", slice(0, 40)), ("test", slice(40, 60))):
        np.save(arrays / f"{part}-images.npy", images[where])
        np.save(arrays / f"{part}-labels.npy", labels[where])
    model = folder / "model.pkl"
    write_model(model, settings)
    write_training(model, settings)
    predicted = joblib.load(model).predict(features(images[40:]))
    data_set = write_data_set_file(folder / "dataset.json", arrays)
    names = data_set.class_names()
    parameters = Sweep.read(folder / "sweep.json").parameters
    measure(labels[40:], predicted, names, parameters, 40).write(folder / "metrics.json")
    (folder / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return Namespace(
        **vars(chosen),
        model=model,
        metrics=folder / "metrics.json",
        training=folder / "training.json",
        sweep=folder / "sweep.json",
        pictures=[folder / "preview.png"],
        data_folder=arrays,
        dataset_file=folder / "dataset.json",
        training_program=PROGRAM,
        environment=ENVIRONMENT,
        configuration=json.dumps(CONFIGURATION),
        azureml="{}",
        model_name="my_model",
        experiment_name="my_experiment",
        registry_uri=registry_uri,
        promote=False,
        receipt=folder / "registered.json",
        record=None,
    )


def write_data_set_file(path: Path, data_folder: Path, **changes) -> DataSet:
    """Describe the arrays in a dataset.json, and return its content."""
    arrays = load_arrays(data_folder)
    train, test = arrays["train-labels"], arrays["test-labels"]
    described = {
        "name": "mine",
        "description": "noisy images",
        "license": None,
        "rows": arrays["test-images"].shape[1],
        "columns": arrays["test-images"].shape[2],
        "n_train": len(train),
        "n_test": len(test),
        "maximum": int(arrays["train-images"].max()),
        "polarity": "light_on_dark",
        "prepare": "fit",
        "classes": [
            ImageClass(label, name, int((train == label).sum()), int((test == label).sum()))
            for label, name in CLASSES.items()
        ],
        "conversion": None,
        "idx_sha256": {
            IDX_FILES[name]: idx.payload_sha256(array) for name, array in arrays.items()
        },
    }
    data_set = DataSet(**described | changes)
    data_set.write(path)
    return data_set


def write_model(path: Path, settings: TrainingSettings) -> None:
    """Train a model on the arrays in the file's folder."""
    train(path.parent, settings, 1, path, None, PROGRAM)


def write_training(model: Path, settings: TrainingSettings = SETTINGS) -> None:
    """Write training.json for the model that is in the file now."""
    Training(
        backend="local",
        backend_reason="no workspace is configured",
        model_sha256=sha256_of_file(model),
        machine={"processor": "any", "blas": ["openblas 0.3"], "numpy_simd": []},
        deterministic=True,
        arguments=settings.arguments(),
        environment=pinned_versions(ENVIRONMENT),
    ).write(model.with_name("training.json"))


def registered(options: Namespace, **changes) -> dict:
    """Register as the rule does, and return the receipt."""
    changed = Namespace(**(vars(options) | changes))
    register.main(changed)
    return json.loads(changed.receipt.read_text())


def runs(options: Namespace) -> list:
    """Return all runs in the registry."""
    client = mlflow.MlflowClient(options.registry_uri)
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def versions(options: Namespace) -> list[tuple[str, int]]:
    """Return name and number of all model versions in the registry."""
    client = mlflow.MlflowClient(options.registry_uri)
    return sorted((found.name, int(found.version)) for found in client.search_model_versions())


def content(options: Namespace) -> tuple[str, str]:
    """Return the only run's id and the id of its only model, after checking its metrics."""
    client = mlflow.MlflowClient(options.registry_uri)
    (run,) = runs(options)
    assert run.info.status == "FINISHED"
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert model.status == LoggedModelStatus.READY
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert sorted(metric.key for metric in model.metrics) == sorted(run.data.metrics) != []
    for name in run.data.metrics:
        assert len(client.get_metric_history(run.info.run_id, name)) == 1
    assert len(run.inputs.dataset_inputs) == 2
    return run.info.run_id, model.model_id
