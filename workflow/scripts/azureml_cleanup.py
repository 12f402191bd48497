"""Delete from the workspace what this workflow created there, after asking."""

import image_workflow.start  # noqa: F401

import argparse
import json
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.session import confirm, run_with_sdk
from image_workflow.backends.azureml.workspace import open_workspace
from image_workflow.command import log
from image_workflow.errors import UserError

RECEIPT = Path("results/registered.json")
AGAIN = "Run the same command again; it continues with what is left."


def main(options: argparse.Namespace) -> None:
    workspace = open_workspace(json.loads(options.azureml))
    info = workspace.info
    handle = state.read(state.HANDLE)
    if handle and handle["state"] != state.ENDED and handle["workspace"] == info:
        raise UserError(
            f"run {handle['run_id']} has not been waited for. Run the workflow again, or "
            "`snakemake azureml_cancel`, and clean up then."
        )
    created = state.created(info)
    to_remove = [(kind, name) for kind in workspace.removal for name in created.get(kind, [])]
    for kind, name in to_remove:
        log.info("to %s: %s %s", workspace.removal[kind], kind.removesuffix("s"), name)
    for kind, reason in workspace.kept.items():
        for name in created.get(kind, []):
            log.info("kept: %s %s, %s", kind.removesuffix("s"), name, reason)
    if not to_remove:
        log.info("nothing to delete in workspace %s", info["name"])
        return
    confirm(options.confirm)
    for kind, name in to_remove:
        how = workspace.removal[kind]
        with failures.step(f"{how} {kind.removesuffix('s')} {name}", AGAIN):
            workspace.delete(kind, name, created)
        state.forget_created(info, kind, name)
        log.info("%sd: %s %s", how, kind.removesuffix("s"), name)
    # The receipt's version no longer exists; the next call registers again.
    RECEIPT.unlink(missing_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_cleanup.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--confirm", choices=["yes", "no"], default="no", help="do not ask")
    run_with_sdk(parser, main)
