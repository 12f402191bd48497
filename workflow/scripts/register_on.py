"""Register the model where it was trained, and write the registration receipt."""

import argparse
import json
import os
from pathlib import Path

from backends import records
from backends.frame import run_in_cloud
from backends.settings import compute_settings
from lib.command import UserError
from lib.files import write_json
from lib.provenance import SETS, check_chain, load_sets, provenance
from lib.receipt import NUMBERS, git_state, read_sweep, receipt, with_rate
from lib.record import add_record_option, write_record


def main(options: argparse.Namespace) -> None:
    training = json.loads(options.training.read_text(encoding="utf-8"))
    if training["backend"] == "local":
        # Imports MLflow, which takes seconds and is not used in a cloud.
        from register import main as register_here

        register_here(options)
    else:
        write_json(options.receipt, register_there(options, training))
    inputs = [options.model, options.metrics, options.training, options.sweep, *options.pictures]
    inputs += [options.data_folder / f"{part}.npy" for part in SETS]
    write_record(options.record, outputs=[options.receipt], inputs=inputs)


def register_there(options: argparse.Namespace, training: dict) -> dict:
    """Register the model from its run in the cloud; return the receipt."""
    settings = json.loads(options.azureml)
    from backends.azureml import AzureML
    from backends.sdk_v1.workspace import open_configured, uri

    arrays = load_sets(options.data_folder)
    sha256 = provenance(options.model, arrays, options.training_script)
    check_chain(options, training, sha256["model"], arrays)
    measured = json.loads(options.metrics.read_text(encoding="utf-8"))
    parameters = with_rate(options.parameters, measured)
    git = git_state(options.training_script.parent)
    backend = AzureML(open_configured(settings), settings, training["experiment"])
    if backend.account != training["workspace"]:
        raise UserError(
            f"the model was trained in workspace {training['workspace']['name']}, and config.json "
            f"names {backend.account['name']}. Bring back the first one's config.json, or train "
            "in the other: delete results/model.pkl and run again."
        )
    tags = {key: str(measured[key]) for key in NUMBERS} | parameters
    tags |= {"fingerprint": training["fingerprint"], "git_commit": str(git["commit"])}
    properties = {f"{key}_sha256": value for key, value in sha256.items()}
    version = backend.register(training, options.model_name, tags, properties)
    cluster = compute_settings(settings["compute"], os.environ)["name"]
    made = records.created(backend.account).get("clusters", [])
    return receipt(
        version=version,
        registry={"registry": "azureml", "registry_uri": uri(backend.account)},
        training=training,
        measured=measured,
        sweep=read_sweep(options.sweep),
        parameters=parameters,
        sha256=sha256,
        git=git,
        cluster={"name": cluster, "created": cluster in made},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="register_on.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--pictures", nargs="+", type=Path, help="the PNGs")
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument(
        "--data-sha256", nargs=4, required=True, help="the checksums of the data set's four files"
    )
    parser.add_argument(
        "--training-script", type=Path, required=True, help="what trained the model"
    )
    parser.add_argument("--environment", type=Path, required=True, help="conda file with the pins")
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    parser.add_argument("--experiment-name", required=True, help="the MLflow experiment")
    parser.add_argument("--registry-uri", required=True, help="an MLflow store")
    parser.add_argument(
        "--parameters", nargs="+", default=[], metavar="KEY=VALUE", help="how it was trained"
    )
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    add_record_option(parser)
    parser.add_argument("arguments", nargs="*", help="the training script's own, after --")
    run_in_cloud(parser, main)
