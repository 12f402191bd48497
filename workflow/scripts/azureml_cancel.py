"""Cancel the run in the handle file, results/azureml/handle.json."""

import argparse
import json

from backends import failures, records
from backends.deadline import within
from backends.frame import run_in_cloud
from backends.sdk_v1 import runs
from backends.sdk_v1.workspace import open_configured
from lib.command import UserError, log


def main(options: argparse.Namespace) -> None:
    handle = records.read(records.HANDLE)
    if not handle:
        raise UserError(
            f"there is no run to cancel: {records.HANDLE} does not exist. `snakemake "
            "azureml_status` shows the runs that are active."
        )
    settings = json.loads(options.azureml)
    workspace = open_configured(settings)
    with failures.step("cancel the run", "Try again, or cancel it in the portal."):
        run = runs.find(workspace, handle["run_id"])
        if run is None:
            records.end_handle("Not submitted")
            log.info("run %s was not submitted", handle["run_id"])
        elif run.status in runs.FINAL:
            log.info("run %s has ended already: %s", run.id, run.status)
        else:
            within(120, run.cancel)
            records.end_handle("Canceled")
            log.info("run %s: canceled; the next training is a new run", run.id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_cancel.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    run_in_cloud(parser, main)
