"""Delete from the workspace what this workflow created there."""

import logging

from image_workflow.backends.azureml.v1 import compute, data
from image_workflow.deadline import within

log = logging.getLogger(__name__)


def delete_model(workspace, name: str, created: dict) -> None:
    """Delete a model version such as sklearn_mnist:1, if it still exists."""
    from azureml.core import Model

    model, version = name.rsplit(":", 1)
    for found in within(120, Model.list, workspace, name=model):
        if int(found.version) == int(version):
            within(120, found.delete)


def delete_dataset(workspace, name: str, created: dict) -> None:
    """Unregister a dataset, unless it has versions that this workflow did not create."""
    from azureml.core import Dataset

    dataset = name.rsplit(":", 1)[0]
    latest = within(120, lambda: dict(Dataset.get_all(workspace))).get(dataset)
    if latest is None:
        return
    versions = {f"{dataset}:{version}" for version in range(1, latest.version + 1)}
    if versions <= set(created["datasets"]):
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


#: How to delete each kind. Each function takes the workspace, a name, and all names in the ledger
#: by kind.
DELETE = {
    "models": delete_model,
    "datasets": delete_dataset,
    "paths": delete_path,
    "clusters": delete_cluster,
}
#: What happens to each kind in the ledger, in this order, and why the others are kept.
REMOVAL = dict.fromkeys(DELETE, "delete")
KEPT = {
    "environments": "which SDK v1 cannot delete",
    "runs": "which SDK v1 cannot delete",
    "data": "which SDK v2 can archive: .venv-azureml/bin/snakemake azureml_cleanup",
    "endpoints": "which SDK v2 can delete: .venv-azureml/bin/snakemake azureml_undeploy",
}
