"""Train on the backend that is configured, and record which it was and why."""

import argparse
import importlib.metadata
import json
import os
import platform
from pathlib import Path

from backends import Job, records
from backends.choice import Choice, choose
from backends.failures import CONNECTION, PERMISSION, CloudError
from backends.frame import run_in_cloud
from backends.settings import compute_settings
from lib import code
from lib.command import log
from lib.files import write_json
from lib.fingerprint import fingerprint
from lib.pins import pinned, pinned_python
from lib.record import add_record_option, sha256, write_record


def main(options: argparse.Namespace) -> None:
    for path in options.remove:
        path.unlink(missing_ok=True)
    train(options)
    write_record(
        options.record,
        outputs=[options.output, options.training, options.output.with_name("sweep.json")],
        inputs=[options.data_folder / f"train-{kind}.npy" for kind in ("images", "labels")],
    )


def train(options: argparse.Namespace) -> None:
    """Choose the backend, and train there."""
    settings = json.loads(options.azureml)
    chosen = choose(options.backend, Path.cwd(), settings["workspace_config"])
    if chosen.backend == "azureml":
        job = describe(options)
        try:
            backend = open_workspace(options, settings)
        except CloudError as error:
            chosen = fall_back(error, options.backend, job)
        else:
            return train_there(backend, job, options, chosen)
    if options.backend == "auto":
        log.warning("Training on this machine: %s.", chosen.reason)
    return train_here(options, chosen)


def describe(options: argparse.Namespace) -> Job:
    """Return what is to be trained, with its fingerprint."""
    # Imports NumPy, which takes longer than finding out that there is no workspace.
    from lib import idx
    from lib.provenance import load_sets

    data_sha256 = idx.payload_sha256(*load_sets(options.data_folder))
    files, folder = code.files(options.script), options.script.parent
    pins = {"python": pinned_python(options.environment)} | pinned(options.environment)
    mark = fingerprint(data_sha256, files, folder, options.arguments, pins)
    return Job(
        script=options.script,
        arguments=options.arguments,
        data_folder=options.data_folder,
        data_sha256=data_sha256,
        environment=options.environment,
        fingerprint=mark,
    )


def open_workspace(options: argparse.Namespace, settings: dict):
    """Return the backend, its workspace open; an import that only the cloud path pays."""
    settings["compute"] = compute_settings(settings["compute"], os.environ)
    from backends.azureml import AzureML
    from backends.sdk_v1.workspace import open_configured

    return AzureML(open_configured(settings), settings, options.experiment_name)


def fall_back(error: CloudError, requested: str, job: Job) -> Choice:
    """Return the choice to train here, if that is wanted and nothing was submitted; else raise."""
    if requested != "auto" or error.kind not in (CONNECTION, PERMISSION):
        raise error
    if records.pending(job.fingerprint):
        run_id = records.read(records.HANDLE)["run_id"]
        raise CloudError(
            f"{error} Run {run_id} was submitted for this training, so it is not done here as "
            "well; run again when the workspace can be reached, or train here with "
            "--config backend=local.",
            error.kind,
        ) from None
    return Choice("local", f"{error.kind}: {error.cause}".rstrip("."))


def train_there(backend, job: Job, options: argparse.Namespace, chosen: Choice) -> None:
    """Train on the backend: submit or find the run, wait for it, collect the model."""
    run_id = backend.submit(job)
    backend.wait(run_id)
    collected = backend.collect(run_id, options.output)
    versions = {"python": pinned_python(options.environment)} | pinned(options.environment)
    write_training(options, chosen, versions, collected, job.fingerprint)


def train_here(options: argparse.Namespace, chosen: Choice) -> None:
    """Train in this process, by the script that is sent to a cloud."""
    # Imports NumPy and scikit-learn, which waiting for a cloud does without.
    from lib.machine import machine
    from train import main as train_model
    from train import parser

    arguments = [
        *("--data-folder", str(options.data_folder), *options.arguments),
        *("--threads", str(options.threads), "--output", str(options.output)),
        *("--candidates", str(options.candidates)),
    ]
    train_model(parser().parse_args(arguments))
    names = pinned(options.environment)
    versions = {"python": platform.python_version()}
    versions |= {name: found for name in names if (found := installed(name))}
    made = {"model_sha256": sha256(options.output), "machine": machine()}
    write_training(options, chosen, versions, made, None)


def write_training(
    options: argparse.Namespace,
    chosen: Choice,
    versions: dict[str, str],
    collected: dict,
    mark: str | None,
) -> None:
    """Write training.json: the same keys, whichever backend."""
    keys = (
        *("run_id", "portal_url", "experiment", "workspace", "metrics", "model_sha256"),
        "machine",
    )
    write_json(
        options.training,
        {"backend": chosen.backend, "backend_reason": chosen.reason, "planned": options.planned}
        | {key: collected.get(key) for key in keys}
        | {"fingerprint": mark, "arguments": options.arguments, "environment": versions},
    )


def installed(package: str) -> str | None:
    """Return the version of a package that is installed here."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="train_on.py", description=__doc__)
    parser.add_argument(
        "--backend", required=True, choices=["auto", "local", "azureml"], help="where to train"
    )
    parser.add_argument(
        "--planned", required=True, help="what the rule compares, see training.json"
    )
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--experiment-name", required=True, help="the experiment of the runs")
    parser.add_argument("--script", type=Path, required=True, help="train.py")
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the cloud's pins"
    )
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument("--threads", type=int, required=True, help="for training here")
    parser.add_argument(
        "--candidates", type=Path, required=True, help="for training here, see train.py"
    )
    parser.add_argument("--output", type=Path, required=True, help="model.pkl")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument(
        "--remove",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="results of an earlier configuration that this one does not have",
    )
    add_record_option(parser)
    parser.add_argument("arguments", nargs="*", help="the training script's own, after --")
    run_in_cloud(parser, main)
