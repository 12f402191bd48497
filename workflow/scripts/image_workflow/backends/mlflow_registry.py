"""The registry of the backend local: register a model in MLflow, once for its content."""

import importlib.metadata
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_LOGGING_LEVEL="WARNING")
# Give up after a quarter of a minute. MLflow's own 7 retries take four minutes without a message.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import joblib

from image_workflow.backends.interface import Registration
from image_workflow.backends.settings import BackendSettings
from image_workflow.data.arrays import find_array
from image_workflow.errors import UserError
from image_workflow.files import flush
from image_workflow.imports import fast_imports
from image_workflow.lineage.pins import pinned_packages
from image_workflow.lineage.results import Version
from image_workflow.models.estimator import features

with fast_imports():
    # skops searches all imported modules when it is imported. MLflow imports thousands, so skops
    # has to come first.
    import skops.io  # noqa: F401

    # isort: split
    import mlflow
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from sqlalchemy import Engine, event, make_url
    from sqlalchemy.exc import DatabaseError

log = logging.getLogger(__name__)

EXAMPLES = 5  # test images in the model's input example


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
        try:
            version = self._find_or_register(registration)
        except (MlflowException, DatabaseError) as error:
            reason = getattr(error, "message", None) or str(error.orig)
            raise UserError(
                f"the MLflow registry {self.uri} refused: {reason} "
                "Check registry_uri in config/config.yaml, and that the store can be reached."
            ) from error
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
        if (database := sqlite_file(self.uri)) and not database.exists():
            make_database(database)
        if version := find_version(registration.name, registration.sha256["model"]):
            log.info("this model is registered already")
            return version
        git = registration.git
        tags = {f"{key}_sha256": value for key, value in registration.sha256.items()}
        tags |= {"git_commit": str(git["commit"]), "git_dirty": str(git["dirty"])}
        model_uri = log_run(experiment_id(self.experiment), registration, tags)
        return mlflow.register_model(model_uri, registration.name, tags=tags)


def find_version(name: str, model_sha256: str) -> ModelVersion | None:
    """Return the registered version with this content, or None."""
    criteria = f"name = '{name}' and tag.model_sha256 = '{model_sha256}'"
    return next(iter(mlflow.MlflowClient().search_model_versions(criteria)), None)


def log_run(experiment_id: str, registration: Registration, tags: dict[str, str]) -> str:
    """Log the model as an MLflow run and return the model's URI.

    If a run with the same model and parameters exists, registering was interrupted after it, and
    that run is continued.

    Parameters
    ----------
    experiment_id : str
    registration : Registration
    tags : dict of str
        The run's tags. ``model_sha256`` identifies the run.
    """
    same_model = f"tags.model_sha256 = '{tags['model_sha256']}'"
    runs = mlflow.MlflowClient().search_runs([experiment_id], same_model)
    same_parameters = (
        run for run in runs if run.data.params.items() <= registration.parameters.items()
    )
    run_id = next((run.info.run_id for run in same_parameters), None)
    model = joblib.load(registration.model)
    example = features(find_array(registration.data_folder, "test-images")[:EXAMPLES])
    with mlflow.start_run(run_id, experiment_id=None if run_id else experiment_id, tags=tags):
        mlflow.log_params(registration.parameters)
        for path in registration.artifacts:
            mlflow.log_artifact(str(path))
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=mlflow.models.infer_signature(example, model.predict(example)),
            input_example=example,
            pip_requirements=requirements(registration.environment),
        )
        mlflow.log_metrics(registration.metrics.summary(), model_id=logged.model_id)
    return logged.model_uri


def requirements(environment: Path) -> list[str]:
    """Return the pinned pip requirements that the registered model needs to be loaded."""
    pins = pinned_packages(environment) | {"skops": importlib.metadata.version("skops")}
    return [f"{package}=={version}" for package, version in pins.items()]


def experiment_id(name: str) -> str:
    """Return the id of the experiment, and create the experiment if it does not exist.

    If the store is an SQLite file, the artifacts go beside it, whatever the working directory.
    """
    found = mlflow.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    artifacts = None
    if database := sqlite_file(mlflow.get_tracking_uri()):
        artifacts = (database.resolve().parent / "artifacts").as_uri()
    return mlflow.create_experiment(name, artifact_location=artifacts)


def sqlite_file(registry_uri: str) -> Path | None:
    """Return the database file of an sqlite:/// URI, or None for another kind of store."""
    if not registry_uri.startswith("sqlite:///"):
        return None
    database = make_url(registry_uri).database
    return Path(database) if database and database != ":memory:" else None


def make_database(path: Path) -> None:
    """Create MLflow's database, completely or not at all.

    MLflow creates it in a thousand small steps and flushes each to disk. Here only the finished
    database is flushed, before it gets its name. If another process created the database meanwhile,
    that one is kept.
    """

    def do_not_flush(connection, _):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".part", f".{path.name}.", path.parent) as folder:
        made = Path(folder, path.name)
        event.listen(Engine, "connect", do_not_flush)
        try:
            mlflow.MlflowClient(f"sqlite:///{made}").search_experiments()
        finally:
            event.remove(Engine, "connect", do_not_flush)
        flush(made)
        # On a file system without hard links, MLflow creates the database in its own way.
        with suppress(OSError):
            os.link(made, path)
    flush(path.parent)
