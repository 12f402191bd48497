"""Register the model with the backend that trained it, and write the registration receipt."""

import image_workflow.start  # noqa: F401

import argparse
import json
from pathlib import Path

from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.interface import Registration, Registry, Validation
from image_workflow.backends.settings import BackendSettings, add_backend_options
from image_workflow.command import log
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES, check_arrays, load_arrays
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json
from image_workflow.lineage.code import code_digest
from image_workflow.lineage.custody import check_chain
from image_workflow.lineage.git import git_state
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import (
    RATE,
    DataSet,
    Metrics,
    Receipt,
    Sweep,
    Training,
    value_text,
)
from image_workflow.models.settings import TrainingSettings, add_training_options


def registration(options: argparse.Namespace) -> Registration:
    """Read the results, check that they belong to the configuration, and describe the model.

    Raises
    ------
    UserError
        If the arrays or the model belong to another configuration.
    """
    settings = TrainingSettings.from_options(options)
    training, metrics = Training.read(options.training), Metrics.read(options.metrics)
    data_set = DataSet.read(options.dataset_file)
    arrays = load_arrays(options.data_folder)
    idx_sha256 = {file: idx.payload_sha256(arrays[name]) for name, file in IDX_FILES.items()}
    check_arrays(idx_sha256, data_set.idx_sha256, options.data_folder, options.dataset_file.name)
    sha256 = {
        "model": sha256_of_file(options.model),
        "data": idx.payload_sha256(*arrays.values()),
        "code": code_digest(options.training_program),
    }
    if digests := settings.estimator_digests():
        sha256["estimator"] = sha256_of_json(digests)
    check_model(options.model, sha256["model"], training, options.training, settings.arguments())
    return Registration(
        name=options.model_name,
        model=options.model,
        training=training,
        metrics=metrics,
        data_set=data_set,
        parameters=described_parameters(settings, metrics, data_set),
        sha256=sha256,
        git=git_state(options.training_program.parent),
        artifacts=[
            *(options.model, options.metrics, options.sweep, options.dataset_file),
            *options.pictures,
        ],
        data_folder=options.data_folder,
        environment=options.environment,
        estimator_file=settings.file,
        validation=validation(Sweep.read(options.sweep), settings, idx_sha256),
        promote=options.promote,
    )


def check_model(
    model: Path, model_sha256: str, training: Training, training_file: Path, arguments: list[str]
) -> None:
    """Raise UserError unless the model was trained as the configuration says.

    Parameters
    ----------
    model : pathlib.Path
        The model's file, with the checksum ``model_sha256``.
    training : Training
        The content of ``training_file``.
    arguments : list of str
        The configured arguments of the training script.
    """
    if model_sha256 != training.model_sha256:
        raise UserError(
            f"{model} is not the model that {training_file} describes: expected sha256 "
            f"{training.model_sha256}, found {model_sha256}. Run again to train it anew."
        )
    if training.arguments != arguments:
        raise UserError(
            f"{model} was not trained as the configuration says: expected "
            f"{' '.join(arguments)!r}, found {' '.join(training.arguments)!r} in "
            f"{training_file}. Run again to train it anew."
        )


def validation(
    sweep: Sweep, settings: TrainingSettings, idx_sha256: dict[str, str]
) -> Validation | None:
    """Return the validation accuracy of a comparison, or None if nothing was compared."""
    accuracy = sweep.validation_accuracy()
    if accuracy is None:
        return None
    training_set = [idx_sha256[IDX_FILES[f"train-{kind}"]] for kind in ("images", "labels")]
    held_out = [*training_set, settings.seed, settings.validation_fraction]
    return Validation(accuracy, sha256_of_json(held_out))


def described_parameters(
    settings: TrainingSettings, metrics: Metrics, data_set: DataSet
) -> dict[str, str]:
    """Return the settings of the training as text, with the chosen value of each parameter.

    A parameter with the name of a setting, such as ``seed``, is called ``parameters.seed``.
    """
    others = {
        "estimator": settings.estimator,
        "dataset": data_set.name,
        "seed": str(settings.seed),
    }
    if not settings.is_own:
        rate = f"{metrics.parameters[RATE]:.15g}"
        return others | {"regularization": rate, "solver": settings.solver}
    return others | {
        (f"parameters.{name}" if name in others else name): value_text(value)
        for name, value in metrics.parameters.items()
    }


def registry_of(training: Training, settings: BackendSettings) -> Registry:
    """Return the registry of the backend that trained the model."""
    # Both MLflow and the SDK take seconds to import, and one of them suffices.
    if training.backend == "local":
        from image_workflow.backends.mlflow.registry import MlflowRegistry

        return MlflowRegistry(settings)
    from image_workflow.backends.azureml.backend import AzureML

    return AzureML.open(settings.azureml, training.experiment)


def main(options: argparse.Namespace) -> None:
    files = [options.model, options.training, options.metrics, options.sweep]
    files += [options.dataset_file, *options.pictures]
    files += [options.data_folder / f"{name}.npy" for name in IDX_FILES]
    inputs = check_chain(options.record, files)
    model = registration(options)
    registry = registry_of(model.training, BackendSettings.from_options(options))
    version = registry.register(model)
    if promotion := version.promotion:
        verdict = "is the champion" if promotion.promoted else "is not promoted"
        log.info("%s version %s %s: %s.", version.name, version.version, verdict, promotion.reason)
    Receipt.of(
        version=version,
        training=model.training,
        metrics=model.metrics,
        sweep=Sweep.read(options.sweep),
        data_set=model.data_set,
        parameters=model.parameters,
        sha256=model.sha256,
        git=model.git,
        configuration=json.loads(options.configuration)
        | TrainingSettings.from_options(options).to_config(),
    ).write(options.receipt)
    write_record(options.record, outputs=[options.receipt], inputs=inputs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="register.py", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--pictures", nargs="+", type=Path, required=True, help="the PNG files")
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    add_training_options(parser)
    parser.add_argument(
        "--training-program", type=Path, required=True, help="fit.py, which trained the model"
    )
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the pinned packages"
    )
    parser.add_argument(
        "--configuration",
        required=True,
        help="what decides the results beside the settings of the training, as JSON",
    )
    add_backend_options(parser)
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    parser.add_argument(
        "--promote",
        action="store_true",
        help="make the version the champion, if it is not worse than the present one",
    )
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    add_record_option(parser)
    run_with_sdk(parser, main)
