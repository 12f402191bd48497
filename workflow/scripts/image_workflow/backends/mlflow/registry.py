"""Register a model in MLflow, once for its content."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.numpy_dataset import NumpyDataset
from mlflow.entities import LifecycleStage, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_USER

from image_workflow.backends.interface import Registration
from image_workflow.backends.mlflow.database import prepare_store, registration_lock, sqlite_file
from image_workflow.backends.mlflow.errors import deleted_experiment, store_errors
from image_workflow.backends.mlflow.texts import (
    MODEL_DESCRIPTION,
    RUN_LIST,
    class_names,
    class_names_tag,
    content_tags,
    description,
    requirements,
    run_name,
    run_parameters,
    score_tags,
    serialization_format,
)
from image_workflow.backends.settings import BackendSettings
from image_workflow.data.arrays import find_array
from image_workflow.lineage.code import copy_code
from image_workflow.lineage.results import Version
from image_workflow.models.estimator import features, load_model

log = logging.getLogger(__name__)
# It warns of every pickle that it writes. Whoever loads one has to take care.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)

EXAMPLES = 5  # test images in the model's input example
DIGEST = 10  # characters of a checksum; MLflow recommends at most 10 for data sets, and allows 36


class MlflowRegistry:
    """An MLflow store, as a :class:`image_workflow.backends.interface.Registry`.

    Parameters
    ----------
    settings : BackendSettings
    """

    def __init__(self, settings: BackendSettings):
        self.uri, self.experiment = settings.registry_uri, settings.experiment

    def register(self, registration: Registration) -> Version:
        """Register the model, unless a version with the same content exists.

        Raises
        ------
        UserError
            If the store refuses, or cannot be reached.
        """
        mlflow.set_tracking_uri(self.uri)
        with store_errors(self.uri), registration_lock(self.uri):
            prepare_store(self.uri)
            version = self._find_or_register(registration)
        log.info("%s version %s", version.name, version.version)
        return Version(
            name=version.name,
            version=int(version.version),
            id=None,
            registry="local",
            registry_uri=self.uri,
            run_id=version.run_id,
        )

    def _find_or_register(self, registration: Registration) -> ModelVersion:
        version = find_version(registration)
        if version:
            log.info("this model is registered already")
        else:
            model_uri = find_or_log_model(experiment_id(self.experiment), registration)
            tags = score_tags(registration) | content_tags(registration)
            version = mlflow.register_model(model_uri, registration.name, tags=tags)
        describe(version, registration)
        return version


def find_version(registration: Registration) -> ModelVersion | None:
    """Return the registered version with this model, estimator's code and class names, or None."""
    model_sha256 = registration.sha256["model"]
    criteria = f"name = '{registration.name}' and tag.model_sha256 = '{model_sha256}'"
    names = class_names_tag(registration)
    for version in mlflow.MlflowClient().search_model_versions(criteria):
        # Earlier versions of this workflow registered no class names.
        same_names = version.tags.get("class_names", names) == names
        # Another predict in the user's file leaves the bytes of the model as they are.
        same_code = version.tags.get("estimator_sha256") == registration.sha256.get("estimator")
        if same_names and same_code:
            return version
    return None


def find_or_log_model(experiment_id: str, registration: Registration) -> str:
    """Return the URI of the logged model, after logging it in a run if no run has it.

    MLflow cannot complete a model whose logging was interrupted. Therefore the run that this
    workflow left unfinished is deleted, and everything is logged in a new run.

    Parameters
    ----------
    experiment_id : str
    registration : Registration
    """
    client = mlflow.MlflowClient()
    for run in same_runs(experiment_id, registration):
        criteria = f"source_run_id = '{run.info.run_id}'"
        models = client.search_logged_models([experiment_id], criteria)
        ready = (model for model in models if model.status == LoggedModelStatus.READY)
        if run.info.status == "FINISHED":
            if model := next(ready, None):
                return model.model_uri
        elif started_here(run):
            for model in models:
                client.delete_logged_model(model.model_id)
            client.delete_run(run.info.run_id)
    return log_run(experiment_id, registration)


def same_runs(experiment_id: str, registration: Registration) -> list[Run]:
    """Return the experiment's runs with the same model, code, class names and parameters."""
    tags, parameters = content_tags(registration), run_parameters(registration)
    same_model = f"tags.model_sha256 = '{tags['model_sha256']}'"
    return [
        run
        for run in mlflow.MlflowClient().search_runs([experiment_id], same_model)
        if all(
            run.data.tags.get(key) == tags.get(key) for key in ("class_names", "estimator_sha256")
        )
        and run.data.params.items() <= parameters.items()
    ]


def started_here(run: Run) -> bool:
    """Return whether the same user started the run from this folder.

    Others may register the same model on the same server at this moment.
    """
    here = resolve_tags()
    return all(run.data.tags.get(key) == here.get(key) for key in (MLFLOW_USER, MLFLOW_SOURCE_NAME))


def log_run(experiment_id: str, registration: Registration) -> str:
    """Log the model, its metrics, data set and pictures as an MLflow run; return the model's URI.

    Parameters
    ----------
    experiment_id : str
    registration : Registration
    """
    file = registration.estimator_file
    model = load_model(registration.model, registration.sha256["model"], file and file.parent)
    example = features(find_array(registration.data_folder, "test-images")[:EXAMPLES])
    training_set, test_set = datasets(registration)
    with (
        code_paths(file) as code,
        mlflow.start_run(
            experiment_id=experiment_id,
            run_name=run_name(registration),
            tags=content_tags(registration),
            description=description(registration),
        ),
    ):
        mlflow.log_params(run_parameters(registration))
        mlflow.log_inputs([training_set, test_set], ["training", "evaluation"], [None, None])
        for path in registration.artifacts:
            mlflow.log_artifact(str(path))
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            code_paths=code,
            serialization_format=serialization_format(registration),
            signature=mlflow.models.infer_signature(example, np.asarray(model.predict(example))),
            input_example=example,
            pip_requirements=requirements(registration),
            metadata={"class_names": class_names(registration)},
        )
        summary = registration.metrics.summary()
        mlflow.log_metrics(summary, model_id=logged.model_id, dataset=test_set)
    return logged.model_uri


@contextmanager
def code_paths(estimator_file: Path | None) -> Iterator[list[str] | None]:
    """Copy the user's file and the modules that it imports, and yield what MLflow has to store.

    MLflow would store the folder of a module with everything in it.
    """
    if not estimator_file:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        copy_code(estimator_file, Path(folder))
        yield sorted(map(str, Path(folder).iterdir()))


def datasets(registration: Registration) -> tuple[NumpyDataset, NumpyDataset]:
    """Return the training set and the test set, for MLflow to show their names and shapes.

    The arrays are memory maps. MLflow reads only their shapes and types, because the digest is
    given.
    """
    data_set = registration.data_set
    described = {"license": data_set.license, "description": data_set.description}
    source = CodeDatasetSource(
        {"sha256": registration.sha256["data"]}
        | data_set.idx_sha256
        | {key: value for key, value in described.items() if value}
    )

    def dataset(part: str) -> NumpyDataset:
        return mlflow.data.from_numpy(
            find_array(registration.data_folder, f"{part}-images"),
            targets=find_array(registration.data_folder, f"{part}-labels"),
            source=source,
            name=f"{data_set.name} {part}",
            digest=registration.sha256["data"][:DIGEST],
        )

    return dataset("train"), dataset("test")


def describe(version: ModelVersion, registration: Registration) -> None:
    """Describe the version and its registered model, unless they have a description."""
    if version.description:
        return
    client = mlflow.MlflowClient()
    # The version comes last, because its description says that nothing is left to do.
    if not client.get_registered_model(version.name).description:
        client.update_registered_model(version.name, MODEL_DESCRIPTION)
    client.update_model_version(version.name, version.version, description(registration))


def experiment_id(name: str) -> str:
    """Return the id of the experiment, and create the experiment if it does not exist.

    If the store is an SQLite file, the artifacts go beside it, whatever the working directory.
    """
    found = mlflow.get_experiment_by_name(name)
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        raise deleted_experiment(found, mlflow.get_tracking_uri())
    if found:
        return found.experiment_id
    artifacts = None
    if database := sqlite_file(mlflow.get_tracking_uri()):
        artifacts = (database.resolve().parent / "artifacts").as_uri()
    return mlflow.create_experiment(name, artifact_location=artifacts, tags=RUN_LIST)
