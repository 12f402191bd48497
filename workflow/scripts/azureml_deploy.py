"""Deploy the model version in results/registered.json to an online endpoint in Azure ML."""

import image_workflow.start  # noqa: F401

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.endpoint import Deployer
from image_workflow.backends.azureml.service import Service
from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.azureml.workspace import open_workspace
from image_workflow.command import log
from image_workflow.errors import UserError
from image_workflow.imports import add_estimator_folder_option
from image_workflow.inference.classifier import ImageClassifier
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.results import DataSet, Receipt
from image_workflow.lineage.verification import settings_of
from image_workflow.models.estimator import load_model

#: How many test images a deployment has to answer as the model on this machine does.
TEST_IMAGES = 20
REGISTER = "snakemake --cores 1 results/registered.json --config backend=azureml"
CALL = """\
To call the endpoint:
  KEY=$(az ml online-endpoint get-credentials --name {name} --resource-group {resource_group} \\
    --workspace-name {workspace} --query primaryKey --output tsv)
  curl {uri} --header "Authorization: Bearer $KEY" --header "Content-Type: application/json" \\
    --data '{{"data": [[{pixels} numbers from 0 to 255]]}}'
A machine runs, and costs money, until `snakemake azureml_undeploy`."""


def read_receipt(path: Path, model_name: str) -> Receipt:
    """Return the receipt, or raise UserError unless an endpoint can have its version.

    Parameters
    ----------
    path : pathlib.Path
    model_name : str
        The configured name of the model.
    """
    if not path.exists():
        raise UserError(f"there is no version to deploy: {path} does not exist. Run `{REGISTER}`.")
    receipt = Receipt.read(path)
    if receipt.registry != "azureml":
        raise UserError(
            f"expected a version in Azure ML in {path}, found {receipt.name} version "
            f"{receipt.version} in the local registry. Run `{REGISTER}`, or serve this version on "
            "your machine with `make serve`."
        )
    if receipt.name != model_name:
        raise UserError(
            f"expected a version of {model_name} in {path}, as the configuration says, found one "
            f"of {receipt.name}. Add the --config of the call that registered it."
        )
    return receipt


def service(options: argparse.Namespace, receipt: Receipt) -> Service:
    """Return what to deploy, after comparing the results with the receipt.

    Raises
    ------
    UserError
        If the data set, the model or the user's file is not the one that was registered.
    """
    data_set = DataSet.read(options.dataset_file)
    again = f"Run `{REGISTER}`."
    same = data_set.idx_sha256 == receipt.idx_sha256
    if not same or [asdict(one) for one in data_set.classes] != receipt.classes:
        raise UserError(
            f"{options.dataset_file} does not describe the data of {receipt.name} version "
            f"{receipt.version}. {again}"
        )
    settings = settings_of(receipt.configuration, options.estimator_folder, options.receipt)
    if (
        settings.file
        and sha256_of_json(settings.estimator_digests()) != receipt.sha256["estimator"]
    ):
        raise UserError(f"{settings.file} was edited after the model was registered. {again}")
    folder = settings.estimator_folder if settings.file else None
    model = load_model(options.model, receipt.sha256["model"], folder)
    images = np.load(options.test_images, mmap_mode="r")[:TEST_IMAGES]
    model_input = data_set.model_input()
    return Service(
        model=receipt.id,
        model_sha256=receipt.sha256["model"],
        program=options.scoring_program,
        model_input=model_input,
        estimator_file=settings.file,
        environment=options.environment,
        images=images,
        labels=ImageClassifier.from_model(model, model_input).predict(images).labels,
    )


def main(options: argparse.Namespace) -> None:
    settings = json.loads(options.azureml)
    receipt = read_receipt(options.receipt, options.model_name)
    wanted = service(options, receipt)
    workspace = open_workspace(settings)
    deployer = Deployer(workspace, settings, options.model_name)
    info = workspace.info
    if receipt.workspace != info:
        raise UserError(
            f"{receipt.id} is in workspace {receipt.workspace['name']}, and config.json names "
            f"{info['name']}. Bring back the first one's config.json."
        )
    with failures.step("look for the model", "Try again."):
        versions = workspace.models(receipt.name)
    if receipt.id not in [version.id for version in versions]:
        raise UserError(
            f"{receipt.id} is not in workspace {info['name']} any more. Delete {options.receipt}, "
            f"and run `{REGISTER}`."
        )
    endpoint = deployer.deploy(wanted)
    log.info("%s answers at %s", receipt.id, endpoint.scoring_uri)
    log.info(
        CALL.format(
            name=endpoint.name,
            resource_group=info["resource_group"],
            workspace=info["name"],
            uri=endpoint.scoring_uri,
            pixels=wanted.model_input.rows * wanted.model_input.columns,
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_deploy.py", description=__doc__)
    parser.add_argument("--receipt", type=Path, required=True, help="registered.json")
    parser.add_argument("--model", type=Path, required=True, help="model.pkl")
    add_estimator_folder_option(parser)
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--test-images", type=Path, required=True, help=".npy of the test images")
    parser.add_argument(
        "--scoring-program", type=Path, required=True, help="score.py, which the endpoint runs"
    )
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the server's packages"
    )
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    run_with_sdk(parser, main)
