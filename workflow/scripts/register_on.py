"""Register the model where it was trained, and write the registration receipt.

Where that is this machine, register.py takes the place of this process.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from backends import records
from backends.frame import run_in_cloud
from backends.settings import compute_settings
from lib.command import UserError
from lib.files import write_json
from lib.receipt import NUMBERS, git_state, read_sweep, receipt, with_rate

LOCAL = Path(__file__).with_name("register.py")


def main(options: argparse.Namespace) -> None:
    training = json.loads(options.training.read_text(encoding="utf-8"))
    if training["backend"] == "local":
        arguments = sys.argv[1:]
        at = arguments.index("--azureml")
        command = [sys.executable, str(LOCAL), *arguments[:at], *arguments[at + 2 :]]
        sys.stderr.flush()
        os.execv(command[0], command)
    write_json(options.receipt, register_there(options, training))


def register_there(options: argparse.Namespace, training: dict) -> dict:
    """Register the model from its run in the cloud; return the receipt."""
    settings = json.loads(options.azureml)
    from backends.azureml import AzureML
    from backends.sdk_v1.workspace import open_configured, uri
    from lib.provenance import load_sets, provenance

    sha256 = provenance(options.model, load_sets(options.data_folder), options.training_script)
    if sha256["model"] != training["model_sha256"]:
        raise UserError(
            f"{options.model} is not the model of run {training['run_id']}: expected sha256 "
            f"{training['model_sha256']}, found {sha256['model']}. Delete it and run again."
        )
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
    parser.add_argument("--pictures", nargs="+", type=Path, help="for register.py")
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument(
        "--training-script", type=Path, required=True, help="what trained the model"
    )
    parser.add_argument("--environment", type=Path, required=True, help="for register.py")
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    parser.add_argument("--experiment-name", required=True, help="for register.py")
    parser.add_argument("--registry-uri", required=True, help="for register.py")
    parser.add_argument(
        "--parameters", nargs="+", default=[], metavar="KEY=VALUE", help="how it was trained"
    )
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    run_in_cloud(parser, main)
