"""Show the workspace, its cluster, the active runs, the registered versions, and the endpoints."""

import image_workflow.start  # noqa: F401

import argparse
import json
import os

from image_workflow.backends.azureml import endpoint, failures, state
from image_workflow.backends.azureml.runs import FINAL
from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.azureml.watching import described
from image_workflow.backends.azureml.workspace import open_workspace
from image_workflow.backends.settings import compute_settings
from image_workflow.command import log

AGAIN = "Try again."


def main(options: argparse.Namespace) -> None:
    azureml = json.loads(options.azureml)
    workspace = open_workspace(azureml)
    name = compute_settings(azureml["compute"], os.environ)["name"]
    with failures.step("look for the cluster", AGAIN):
        found = workspace.find_cluster(name)
    log.info("cluster %s: %s", name, found.description if found else "not there")
    with failures.step("list the runs", AGAIN):
        runs = workspace.runs(options.experiment_name)
    active = [run for run in runs if run.status not in FINAL]
    for run in active:
        log.info("run %s: %s, %s", run.id, run.status, run.portal_url)
    log.info("%d active of %d runs in %s", len(active), len(runs), options.experiment_name)
    if handle := state.read(state.HANDLE):
        log.info("handle: run %s, %s", handle["run_id"], handle.get("status", handle["state"]))
    with failures.step("list the models", AGAIN):
        models = workspace.models(options.model_name)
    for model in models:
        log.info(
            "model %s version %s: accuracy %s, run %s",
            *(model.name, model.version, model.tags.get("accuracy"), model.run_id),
        )
    log.info("%d registered versions of %s", len(models), options.model_name)
    if workspace.endpoints:
        with failures.step("list the endpoints", AGAIN):
            for found in endpoint.ours(workspace.endpoints):
                log.info(
                    "endpoint %s: %s, %s",
                    *(found.name, described(found), found.scoring_uri),
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_status.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--experiment-name", required=True, help="the experiment of the runs")
    parser.add_argument("--model-name", required=True, help="the registered model's name")
    run_with_sdk(parser, main)
