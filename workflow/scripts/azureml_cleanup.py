"""Delete from the workspace what this workflow created there, after asking."""

import argparse
import json
import sys
from pathlib import Path

from backends import failures, records
from backends.deadline import within
from backends.frame import run_in_cloud
from backends.sdk_v1 import compute, data
from backends.sdk_v1 import workspace as workspaces
from lib.command import UserError, log

RECEIPT = Path("results/registered.json")
AGAIN = "Run the same command again: what is deleted already is forgotten."

#: What can be deleted, in this order. Runs and environments stay: SDK v1 cannot delete them.
KINDS = "models", "datasets", "paths", "clusters"


def main(options: argparse.Namespace) -> None:
    settings = json.loads(options.azureml)
    workspace = workspaces.open_configured(settings)
    account = workspaces.description(workspace)
    handle = records.read(records.HANDLE)
    if handle and handle["state"] != records.ENDED:
        raise UserError(
            f"run {handle['run_id']} has not been waited for. Run the workflow again, or "
            "`snakemake azureml_cancel`, and clean up then."
        )
    created = records.created(account)
    doomed = [(kind, name) for kind in KINDS for name in created.get(kind, [])]
    kept = [(kind, name) for kind, name in doomed if kind == "clusters" and not ours(name)]
    doomed = [one for one in doomed if one not in kept]
    for kind, name in doomed:
        log.info("to delete: %s %s", kind.removesuffix("s"), name)
    for _, name in kept:
        log.info("kept: cluster %s, which the receipt does not say that this workflow made", name)
    for kind in ("environments", "runs"):
        for name in created.get(kind, []):
            log.info("kept: %s %s, which SDK v1 cannot delete", kind.removesuffix("s"), name)
    if not doomed:
        log.info("nothing to delete in workspace %s", account["name"])
        return
    confirm(options.confirm)
    for kind, name in doomed:
        with failures.step(f"delete {kind.removesuffix('s')} {name}", AGAIN):
            DELETE[kind](workspace, name, created)
        records.forget_created(account, kind, name)
        log.info("deleted: %s %s", kind.removesuffix("s"), name)
    # They tell of a version and of a run's model that are no more; the next call makes them anew.
    RECEIPT.unlink(missing_ok=True)


def ours(cluster: str) -> bool:
    """Tell whether the receipt says that this workflow made the cluster."""
    made = records.read(RECEIPT).get("cluster") or {}
    return bool(made.get("created")) and made.get("name") == cluster


def confirm(answer: str) -> None:
    """Return if the user agrees; raise UserError if not, or if there is nobody to ask."""
    if answer == "yes":
        return
    if not sys.stdin.isatty():
        raise UserError("nothing was deleted. To delete all this, add --config confirm=yes.")
    sys.stderr.write("Delete all this? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was deleted.")


def delete_model(workspace, name: str, created: dict) -> None:
    """Delete a version of a model, such as sklearn_mnist:1; it may be gone already."""
    from azureml.core import Model

    model, version = name.rsplit(":", 1)
    for found in within(120, Model.list, workspace, name=model):
        if int(found.version) == int(version):
            within(120, found.delete)


def delete_dataset(workspace, name: str, created: dict) -> None:
    """Unregister a dataset, unless there are versions of it that this workflow did not make."""
    from azureml.core import Dataset

    dataset = name.rsplit(":", 1)[0]
    latest = within(120, lambda: dict(Dataset.get_all(workspace))).get(dataset)
    if latest is None:
        return
    there = {f"{dataset}:{version}" for version in range(1, latest.version + 1)}
    if there <= set(created["datasets"]):
        within(120, latest.unregister_all_versions)
    else:
        log.info("kept: dataset %s, which has versions of others", dataset)


def delete_path(workspace, path: str, created: dict) -> None:
    """Delete the uploaded files."""
    data.remove(within(120, workspace.get_default_datastore), path)


def delete_cluster(workspace, name: str, created: dict) -> None:
    """Delete the cluster, and wait until it is gone."""
    if target := within(120, compute.find, workspace, name):
        within(120, target.delete)
        within(1200, target.wait_for_completion, is_delete_operation=True)


DELETE = {
    "models": delete_model,
    "datasets": delete_dataset,
    "paths": delete_path,
    "clusters": delete_cluster,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="azureml_cleanup.py", description=__doc__)
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    parser.add_argument("--confirm", choices=["yes", "no"], default="no", help="do not ask")
    run_in_cloud(parser, main)
