"""The registry of the backend local: register a model in MLflow, once for its content."""

import importlib.metadata
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_LOGGING_LEVEL="WARNING")
# Give up after a quarter of a minute. MLflow's own 7 retries take four minutes without a message.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

from image_workflow.backends.interface import Registration
from image_workflow.backends.settings import BackendSettings
from image_workflow.data.arrays import find_array
from image_workflow.errors import UserError
from image_workflow.files import flush
from image_workflow.imports import fast_imports
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import copy_code
from image_workflow.lineage.pins import pinned_packages
from image_workflow.lineage.results import COMMON_SETTINGS, RATE, Version, short_name
from image_workflow.models.estimator import features, load_model
from image_workflow.models.settings import LOGISTIC_REGRESSION

with fast_imports():
    # skops searches all imported modules when it is imported. MLflow imports thousands, so skops
    # has to come first.
    import skops.io  # noqa: F401

    # isort: split
    import mlflow
    import numpy as np
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.numpy_dataset import NumpyDataset
    from mlflow.entities import LoggedModelStatus, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.tracking.context.registry import resolve_tags
    from mlflow.utils.mlflow_tags import MLFLOW_SOURCE_NAME, MLFLOW_USER
    from mlflow.utils.validation import (
        MAX_ENTITY_KEY_LENGTH,
        MAX_PARAM_VAL_LENGTH,
        MAX_TAG_VAL_LENGTH,
    )
    from sqlalchemy import Engine, event, make_url
    from sqlalchemy.exc import DatabaseError

log = logging.getLogger(__name__)
# It warns of every pickle that it writes. Whoever loads one has to take care.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)

EXAMPLES = 5  # test images in the model's input example
DIGEST = 10  # characters of a checksum; MLflow recommends at most 10 for data sets, and allows 36
NAMES = 30  # classes in a description
PARAMETERS = 200  # characters of the parameters in a description

MODEL_DESCRIPTION = (
    "Classifies images by their pixels. Each version says which data set it was trained on, how "
    "accurate it is, and at which regularization rate or by which estimator."
)
# MLflow's list of runs shows no metrics. This tag of an experiment adds a view of the list, named
# accuracy, and tools/ui.py prints its address.
RUN_LIST = {
    "mlflow.sharedViewState.accuracy": json.dumps(
        {
            "selectedColumns": [
                "metrics.`accuracy`",
                "params.`estimator`",
                "params.`regularization`",
                "attributes.`Models`",
                "attributes.`Dataset`",
            ],
            "orderByKey": "metrics.`accuracy`",
            "orderByAsc": False,
        }
    )
}


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
    model = load_model(registration.model, file and file.parent)
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


def is_default(registration: Registration) -> bool:
    """Return whether the estimator is logistic_regression."""
    return registration.parameters["estimator"] == LOGISTIC_REGRESSION


def serialization_format(registration: Registration) -> str:
    """Return the format in which MLflow stores the model.

    skops refuses the types of most other estimators, unless the model itself names them as trusted,
    which would protect nobody. It takes many times the time and space for models of many trees,
    while every model is known to be picklable: model.pkl is a pickle.
    """
    return "skops" if is_default(registration) else "pickle"


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


def run_parameters(registration: Registration) -> dict[str, str]:
    """Return the settings of the training as parameters that MLflow allows.

    The name of a Pipeline's step may have characters that MLflow refuses.
    """
    return {
        cut(re.sub(r"[^\w.\- ]", "_", name), MAX_ENTITY_KEY_LENGTH): cut(text, MAX_PARAM_VAL_LENGTH)
        for name, text in registration.parameters.items()
    }


def cut(text: str, length: int) -> str:
    """Return the text; the end of one that is too long is replaced with a checksum."""
    if len(text) <= length:
        return text
    checksum = f" sha256 {sha256_of_json(text)}"
    return text[: length - len(checksum)] + checksum


def content_tags(registration: Registration) -> dict[str, str]:
    """Return the tags of a run and of a version that say what the model was made from."""
    git = registration.git
    tags = {f"{key}_sha256": value for key, value in registration.sha256.items()}
    tags |= {"git_commit": str(git["commit"]), "git_dirty": str(git["dirty"])}
    return tags | {"class_names": class_names_tag(registration)}


def score_tags(registration: Registration) -> dict[str, str]:
    """Return the tags that the list of versions shows: the accuracy, and the rate or estimator."""
    metrics, estimator = registration.metrics, registration.parameters["estimator"]
    tags = {"accuracy": f"{metrics.accuracy:.4f}"}
    if is_default(registration):
        return tags | {RATE: f"{metrics.parameters[RATE]:.15g}"}
    return tags | {"estimator": short_name(estimator)}


def class_names(registration: Registration) -> dict[str, str]:
    """Return the name of each class, by its label as text, because JSON has no other keys."""
    return {str(label): name for label, name in registration.data_set.class_names().items()}


def class_names_tag(registration: Registration) -> str:
    """Return the names of the classes as JSON, or their checksum if they are too long for a tag."""
    names = class_names(registration)
    text = json.dumps(names, ensure_ascii=False)
    return text if len(text) <= MAX_TAG_VAL_LENGTH else f"sha256 {sha256_of_json(names)}"


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


def run_name(registration: Registration) -> str:
    """Return a name such as ``accuracy 0.9193, rate 0.5, mnist``, with an estimator for the rate.

    MLflow's list of runs shows about 25 characters, and no metrics until they are selected.
    """
    scores = score_tags(registration)
    model = scores.get("estimator") or f"rate {scores[RATE]}"
    return f"accuracy {scores['accuracy']}, {model}, {registration.data_set.name}"


def description(registration: Registration) -> str:
    """Describe the model in a few lines of Markdown. Lists show the first 28 characters only."""
    data_set, git = registration.data_set, registration.git
    accuracy, model = score_tags(registration)["accuracy"], described_model(registration)
    names = [plain(name) for label, name in class_names(registration).items() if name != label]
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    listed = f": {', '.join(names[:NAMES])}{more}" if names else ""
    dirty = ", with uncommitted changes" if git["dirty"] else ""
    return "  \n".join(  # Markdown's line break
        [
            f"Accuracy {accuracy} on {plain(data_set.name)}, {plain(model)}",
            f"{data_set.n_train:,} training images and {data_set.n_test:,} test images of "
            f"{data_set.rows} x {data_set.columns} pixels",
            f"{len(data_set.classes)} classes{listed}",
            f"Code of commit {git['commit']}{dirty}" if git["commit"] else "Code outside of git",
        ]
    )


def described_model(registration: Registration) -> str:
    """Return ``at regularization rate 0.5``, or ``by MLPClassifier with alpha=0.1``."""
    scores = score_tags(registration)
    if is_default(registration):
        return f"at regularization rate {scores[RATE]}"
    given = registration.parameters.items()
    chosen = ", ".join(f"{name}={text}" for name, text in given if name not in COMMON_SETTINGS)
    listed = f" with {shorten(chosen, PARAMETERS, placeholder=' ...')}" if chosen else ""
    return f"by {scores['estimator']}{listed}"


def plain(text: str) -> str:
    """Return Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_~<>\[\]])", r"\\\1", text)


def describe(version: ModelVersion, registration: Registration) -> None:
    """Describe the version and its registered model, unless they have a description."""
    if version.description:
        return
    client = mlflow.MlflowClient()
    # The version comes last, because its description says that nothing is left to do.
    if not client.get_registered_model(version.name).description:
        client.update_registered_model(version.name, MODEL_DESCRIPTION)
    client.update_model_version(version.name, version.version, description(registration))


def requirements(registration: Registration) -> list[str]:
    """Return the pinned pip requirements that the registered model needs to be loaded."""
    pins = pinned_packages(registration.environment)
    if serialization_format(registration) == "skops":
        pins["skops"] = importlib.metadata.version("skops")
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
    return mlflow.create_experiment(name, artifact_location=artifacts, tags=RUN_LIST)


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
