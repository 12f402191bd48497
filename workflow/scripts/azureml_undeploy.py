"""Delete the online endpoint that azureml_deploy created, with its deployments, after asking."""

import image_workflow.start  # noqa: F401

import argparse
import json

from image_workflow.backends.azureml.endpoint import Deployer
from image_workflow.backends.azureml.session import confirm, run_with_sdk
from image_workflow.backends.azureml.workspace import open_workspace


def main(options: argparse.Namespace) -> None:
    settings = json.loads(options.azureml)
    deployer = Deployer(open_workspace(settings), settings, options.model_name)
    deployer.undeploy(lambda: confirm(options.confirm))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_undeploy.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    parser.add_argument("--confirm", choices=["yes", "no"], default="no", help="do not ask")
    run_with_sdk(parser, main)
