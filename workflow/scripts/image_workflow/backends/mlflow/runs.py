"""Log a model as an MLflow run, with its metrics, data set and pictures."""

from contextlib import suppress

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.numpy_dataset import NumpyDataset
from mlflow.entities import LifecycleStage, LoggedModelStatus, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.default_context import DefaultRunContext
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE

from image_workflow.backends.interface import Registration
from image_workflow.backends.mlflow.errors import deleted_experiment
from image_workflow.backends.mlflow.model_files import log_model
from image_workflow.backends.mlflow.stored import copy_of, files_sha256, reason_not_to_work
from image_workflow.backends.mlflow.texts import (
    RUN_LIST,
    SAME,
    content_tags,
    description,
    run_name,
    run_parameters,
)
from image_workflow.backends.mlflow.unfinished import TOKEN, delete, logged_models
from image_workflow.backends.sqlite_registry import ARTIFACT_TAG, artifact_root, database_path
from image_workflow.data.arrays import find_array
from image_workflow.errors import UserError

DIGEST = 10  # characters of a checksum; MLflow recommends at most 10 for data sets, and allows 36


def find_or_log_model(experiment: str, registration: Registration, token: str) -> tuple[str, str]:
    """Return the URI of the logged model and the digest of its files.

    The model of a complete run with the same content is used, if its files are intact. Otherwise
    everything is logged in a new run.

    Parameters
    ----------
    experiment : str
        The experiment's id.
    registration : Registration
    token : str
        Says which registration the new run belongs to.
    """
    for run in same_runs(experiment, registration):
        expected = run.data.tags.get(ARTIFACT_TAG)
        if run.info.status == "FINISHED" and expected and TOKEN not in run.data.tags:
            for model in logged_models(experiment, run.info.run_id):
                with copy_of(model.artifact_location) as files:
                    is_intact = files_sha256(files) == expected and not reason_not_to_work(files)
                if model.status == LoggedModelStatus.READY and is_intact:
                    return model.model_uri, expected
    return log_run(experiment, registration, token)


def same_runs(experiment: str, registration: Registration) -> list[Run]:
    """Return the experiment's runs with the same model, data, input, code and parameters."""
    tags, parameters = content_tags(registration), run_parameters(registration)
    same_model = f"tags.model_sha256 = '{tags['model_sha256']}'"
    return [
        run
        for run in mlflow.MlflowClient().search_runs([experiment], same_model)
        if all(run.data.tags.get(key) == tags.get(key) for key in SAME)
        and run.data.params.items() <= parameters.items()
    ]


def log_run(experiment: str, registration: Registration, token: str) -> tuple[str, str]:
    """Log everything in a new run; return the URI of its model and the digest of its files.

    Raises
    ------
    UserError
        If the logged model cannot be loaded.
    """
    training_set, test_set = datasets(registration)
    client = mlflow.MlflowClient()
    # mlflow.start_run would add tags that environment variables name.
    run = client.create_run(experiment, tags=run_tags(registration) | {TOKEN: token})
    with mlflow.start_run(run.info.run_id, log_system_metrics=False):
        mlflow.log_params(run_parameters(registration))
        log_inputs(training_set, test_set)
        for path in registration.artifacts:
            mlflow.log_artifact(str(path))
        logged = log_model(registration)
        # If an answer of the server got lost, MLflow has asked again, and there are two.
        for model in logged_models(experiment, run.info.run_id):
            if model.model_id != logged.model_id:
                delete(client.delete_logged_model, model.model_id)
        summary = registration.metrics.summary()
        mlflow.log_metrics(summary, model_id=logged.model_id, dataset=test_set)
        location = client.get_logged_model(logged.model_id).artifact_location
        with copy_of(location) as files:
            digest = files_sha256(files)
            if reason := reason_not_to_work(files):
                raise UserError(
                    f"{registration.model} was logged in MLflow, but MLflow cannot load it: "
                    f"{reason}. Nothing was registered."
                )
        mlflow.set_tag(ARTIFACT_TAG, digest)
    return logged.model_uri, digest


def log_inputs(training_set: NumpyDataset, test_set: NumpyDataset) -> None:
    """Log the data sets, even if another client of the server adds the same to the experiment."""
    inputs = [training_set, test_set], ["training", "evaluation"], [None, None]
    try:
        mlflow.log_inputs(*inputs)
    except MlflowException:  # They exist now.
        mlflow.log_inputs(*inputs)


def run_tags(registration: Registration) -> dict[str, str]:
    """Return the tags of a run, which come from the configuration and from nowhere else."""
    tags = content_tags(registration)
    with suppress(KeyError, OSError):  # In a container, the user may have no name.
        tags |= DefaultRunContext().tags()
    if commit := registration.git["commit"]:
        tags |= {MLFLOW_GIT_COMMIT: commit}
    note = {MLFLOW_RUN_NOTE: description(registration)}
    return tags | note | {"mlflow.runName": run_name(registration)}


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


def experiment_id(name: str) -> str:
    """Return the id of the experiment, and create the experiment if it does not exist.

    If the store is an SQLite file, the artifacts go beside it, whatever the working directory.
    """
    found = mlflow.get_experiment_by_name(name)
    if found and found.lifecycle_stage == LifecycleStage.DELETED:
        raise deleted_experiment(found, mlflow.get_tracking_uri())
    if found:
        return found.experiment_id
    database = database_path(mlflow.get_tracking_uri())
    artifacts = artifact_root(database) if database else None
    try:
        return mlflow.create_experiment(name, artifact_location=artifacts, tags=RUN_LIST)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        # Another registration created it meanwhile.
        return mlflow.get_experiment_by_name(name).experiment_id
