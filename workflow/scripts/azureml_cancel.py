"""Cancel the run in the handle file, results/azureml/handle.json."""

import image_workflow.start  # noqa: F401

import argparse
import json

from image_workflow.backends.azureml import failures, runs, state
from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.azureml.workspace import open_workspace
from image_workflow.command import log
from image_workflow.errors import UserError


def main(options: argparse.Namespace) -> None:
    handle = state.read(state.HANDLE)
    if not handle:
        raise UserError(
            f"there is no run to cancel: {state.HANDLE} does not exist. `snakemake "
            "azureml_status` shows the runs that are active."
        )
    workspace = open_workspace(json.loads(options.azureml))
    if handle["workspace"] != workspace.info:
        raise UserError(
            f"run {handle['run_id']} is in workspace {handle['workspace']['name']}, and "
            f"config.json names {workspace.info['name']}. Bring back the first one's config.json."
        )
    with failures.step("cancel the run", "Try again, or cancel it in the portal."):
        run = workspace.find_run(handle["run_id"])
        if run is None:
            state.end_handle("Not submitted")
            log.info("run %s was not submitted", handle["run_id"])
        elif run.status in runs.FINAL:
            state.end_handle(run.status)
            log.info("run %s has ended already: %s", run.id, run.status)
        else:
            workspace.cancel(run.id)
            state.end_handle("Canceled")
            log.info("run %s: canceled; the next training is a new run", run.id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_cancel.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    run_with_sdk(parser, main)
