"""Register the model in MLflow, once for its content, and write the registration receipt."""

import argparse
import importlib.metadata
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_LOGGING_LEVEL="WARNING")
# A quarter of a minute; MLflow's own 7 retries are four minutes without a word.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import joblib
import numpy as np

from lib.command import UserError, log, run
from lib.files import flush, write_json
from lib.imports import quick_imports
from lib.model import features
from lib.pins import pinned
from lib.provenance import check_chain, load_sets, provenance
from lib.receipt import NUMBERS, git_state, read_sweep, receipt, with_rate

with quick_imports():
    # Before MLflow: when imported it looks through all modules, of which MLflow brings thousands.
    import skops.io  # noqa: F401

    # isort: split
    import mlflow
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from sqlalchemy import Engine, event, make_url
    from sqlalchemy.exc import DatabaseError


def find_version(name: str, model_sha256: str) -> ModelVersion | None:
    """Return the registered version of this very model, if there is one."""
    criteria = f"name = '{name}' and tag.model_sha256 = '{model_sha256}'"
    return next(iter(mlflow.MlflowClient().search_model_versions(criteria)), None)


def log_run(
    experiment_id: str,
    model,
    example: np.ndarray,
    requirements: list[str],
    parameters: dict[str, str],
    measured: dict,
    tags: dict[str, str],
    artifacts: list[Path],
) -> str:
    """Log one MLflow run of the model and return the model's URI.

    A run of the same model and parameters is taken up again: it was interrupted.

    Parameters
    ----------
    experiment_id : str
    model : fitted estimator
    example : ndarray of float64, shape (n, rows * cols)
        A few inputs in [0, 1], for the model's signature and input example.
    requirements : list of str
        What the model needs to be loaded, as pinned pip requirements.
    parameters : dict of str
    measured : dict
        The content of metrics.json.
    tags : dict of str
        ``model_sha256`` among them, which identifies the run.
    artifacts : list of pathlib.Path
    """
    same = f"tags.model_sha256 = '{tags['model_sha256']}'"
    earlier = mlflow.MlflowClient().search_runs([experiment_id], same)
    ours = (run for run in earlier if run.data.params.items() <= parameters.items())
    run_id = next((run.info.run_id for run in ours), None)
    with mlflow.start_run(run_id, experiment_id=None if run_id else experiment_id, tags=tags):
        mlflow.log_params(parameters)
        for path in artifacts:
            mlflow.log_artifact(str(path))
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=mlflow.models.infer_signature(example, model.predict(example)),
            input_example=example,
            pip_requirements=requirements,
        )
        mlflow.log_metrics({key: measured[key] for key in NUMBERS}, model_id=logged.model_id)
    return logged.model_uri


def experiment(name: str) -> str:
    """Return the id of the experiment, made where it is missing.

    The artifacts of a store on SQLite go beside the database, whatever the working directory.
    """
    found = mlflow.get_experiment_by_name(name)
    if found:
        return found.experiment_id
    artifacts = None
    if database := sqlite_file(mlflow.get_tracking_uri()):
        artifacts = (database.resolve().parent / "artifacts").as_uri()
    return mlflow.create_experiment(name, artifact_location=artifacts)


def sqlite_file(registry_uri: str) -> Path | None:
    """Return the database file of an sqlite:/// URI, None for another kind of store."""
    if not registry_uri.startswith("sqlite:///"):
        return None
    database = make_url(registry_uri).database
    return Path(database) if database and database != ":memory:" else None


def make_database(path: Path) -> None:
    """Make MLflow's database where there is none, whole or not at all.

    MLflow makes it in a thousand small steps, and each would wait for the disk. Here the whole
    does, once, before it gets its name. A database that is there by then is another's, and stays.
    """

    def hurry(connection, _):
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = MEMORY")

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(".part", f".{path.name}.", path.parent) as folder:
        made = Path(folder, path.name)
        event.listen(Engine, "connect", hurry)
        try:
            mlflow.MlflowClient(f"sqlite:///{made}").search_experiments()
        finally:
            event.remove(Engine, "connect", hurry)
        flush(made)
        # On a file system without links MLflow makes the database in its own way.
        with suppress(OSError):
            os.link(made, path)
    flush(path.parent)


def main(options: argparse.Namespace) -> None:
    measured = json.loads(options.metrics.read_text(encoding="utf-8"))
    training = json.loads(options.training.read_text(encoding="utf-8"))
    arrays = load_sets(options.data_folder)
    sha256 = provenance(options.model, arrays, options.training_script)
    check_chain(options, training, sha256["model"], arrays)
    packages = pinned(options.environment)
    parameters = with_rate(options.parameters, measured)
    git = git_state(options.training_script.parent)
    tags = {f"{key}_sha256": value for key, value in sha256.items()}
    tags |= {"git_commit": str(git["commit"]), "git_dirty": str(git["dirty"])}

    mlflow.set_tracking_uri(options.registry_uri)
    try:
        if (database := sqlite_file(options.registry_uri)) and not database.exists():
            make_database(database)
        version = find_version(options.model_name, sha256["model"])
        if version:
            log.info("this model is registered already")
        else:
            model_uri = log_run(
                experiment(options.experiment_name),
                joblib.load(options.model),
                features(arrays[2][:5]),
                [f"{name}=={pin}" for name, pin in packages.items()]
                + [f"skops=={importlib.metadata.version('skops')}"],
                parameters,
                measured,
                tags,
                [options.model, options.metrics, options.sweep, *options.pictures],
            )
            version = mlflow.register_model(model_uri, options.model_name, tags=tags)
    except (MlflowException, DatabaseError) as error:
        reason = getattr(error, "message", None) or str(error.orig)
        raise UserError(
            f"the MLflow registry {options.registry_uri} refused: {reason} "
            "Check registry_uri in config/config.yaml, and that the store can be reached."
        ) from error
    log.info("%s version %s", version.name, version.version)
    write_json(
        options.receipt,
        receipt(
            version={"name": version.name, "version": int(version.version), "id": None},
            registry={"registry": "local", "registry_uri": options.registry_uri},
            training=training | {"run_id": version.run_id},
            measured=measured,
            sweep=read_sweep(options.sweep),
            parameters=parameters,
            sha256=sha256,
            git=git,
        ),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="register.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--pictures", nargs="+", type=Path, required=True, help="the PNGs")
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument(
        "--data-sha256", nargs=4, required=True, help="the checksums of the data set's four files"
    )
    parser.add_argument(
        "--training-script", type=Path, required=True, help="what trained the model"
    )
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the training pins"
    )
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    parser.add_argument("--experiment-name", required=True, help="the MLflow experiment")
    parser.add_argument("--registry-uri", required=True, help="an MLflow store")
    parser.add_argument(
        "--parameters", nargs="+", default=[], metavar="KEY=VALUE", help="how it was trained"
    )
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    parser.add_argument("arguments", nargs="*", help="the training script's own, after --")
    run(parser, main)
