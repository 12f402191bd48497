"""Find the cluster by its name, or create it."""

import logging
import time

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.v2.assets import find
from image_workflow.deadline import DeadlineError, within

log = logging.getLogger(__name__)

ANSWER_SECONDS = 120
CREATION_SECONDS = 20 * 60
REPORT_SECONDS = 15


def cluster(client, settings: dict, workspace_info: dict) -> str:
    """Return the name of the cluster, after it was found or created.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    settings : dict
        The configuration's section azureml.compute.
    workspace_info : dict
        The workspace's description. A new cluster is noted under it.

    Raises
    ------
    CloudError
        If another kind of compute target has that name, or the cluster cannot be created.
    """
    name = settings["name"]
    advice = "Choose another cluster with azureml.compute.name, or ask who manages the workspace."
    with failures.step(f"look for the cluster {name}", advice):
        target = within(ANSWER_SECONDS, find, client.compute, name)
    if target is None:
        create(client, settings, workspace_info)
    elif target.type.lower() != "amlcompute":
        raise failures.CloudError(
            f"expected {name} to be a cluster (AmlCompute), found a {type(target).__name__}. "
            f"{advice}"
        )
    elif state_of(target) == "Failed":
        raise failures.CloudError(
            f"the cluster {name} is there, but its creation failed. Delete it in the portal, or "
            "choose another with azureml.compute.name."
        )
    else:
        log.info("cluster %s: found, %s", name, state_of(target))
    with failures.step("ask for the cluster's status", "Run the same command again."):
        log.info("cluster %s: %s", name, within(ANSWER_SECONDS, status, client, name))
    return name


def create(client, settings: dict, workspace_info: dict) -> None:
    """Create the cluster and wait until it is ready. If its creation fails, delete it again."""
    from azure.ai.ml.entities import AmlCompute

    name = settings["name"]
    log.info(
        "cluster %s: creating %s, %d to %d nodes",
        *(name, settings["vm_size"], settings["min_nodes"], settings["max_nodes"]),
    )
    advice = (
        "Ask for more quota, choose another azureml.compute.vm_size, or name a cluster that "
        "exists with azureml.compute.name."
    )
    with failures.step(f"create the cluster {name}", advice):
        wanted = AmlCompute(
            name=name,
            size=settings["vm_size"],
            min_instances=settings["min_nodes"],
            max_instances=settings["max_nodes"],
            idle_time_before_scale_down=settings["idle_seconds"],
        )
        state.note_created(workspace_info, "clusters", name)
        try:
            poller = within(ANSWER_SECONDS, client.compute.begin_create_or_update, wanted)
        except Exception as error:
            if failures.kind(error) != failures.CONNECTION:
                # The service refused, so there is no cluster.
                state.forget_created(workspace_info, "clusters", name)
            raise
        try:
            wait(poller, name)
        except Exception:
            _delete(client, name, workspace_info)
            raise


def wait(poller, name: str) -> None:
    """Wait until a new cluster is ready, and log its state every few seconds."""
    began = time.monotonic()
    while not poller.done():
        seconds = time.monotonic() - began
        if seconds > CREATION_SECONDS:
            raise DeadlineError(f"it was not ready in {CREATION_SECONDS / 60:.0f} minutes")
        poller.wait(REPORT_SECONDS)
        log.info("cluster %s: %s, %.0f s", name, poller.status(), time.monotonic() - began)
    poller.result()


def status(client, name: str) -> str | None:
    """Return the size, the number of nodes and the state of a cluster, or None if there is none."""
    target = find(client.compute, name)
    if target is None:
        return None
    if target.type.lower() != "amlcompute":
        return f"a {type(target).__name__}"
    nodes = len(list(client.compute.list_nodes(name)))
    return f"{target.size}, {nodes} of {target.max_instances} nodes, {state_of(target)}"


def state_of(target) -> str:
    """Return the state of a compute target as text, such as Succeeded."""
    # A string whose text is not its value.
    return getattr(target.provisioning_state, "value", target.provisioning_state)


def delete(client, name: str) -> None:
    """Delete the cluster, if it exists, and wait until it is gone."""
    if within(ANSWER_SECONDS, find, client.compute, name):
        poller = within(ANSWER_SECONDS, client.compute.begin_delete, name)
        within(CREATION_SECONDS, poller.result)


def _delete(client, name: str, workspace_info: dict) -> None:
    """Delete a cluster whose creation failed.

    Only log a failed deletion, so that the user sees the original error.
    """
    try:
        within(ANSWER_SECONDS, client.compute.begin_delete, name)
        state.forget_created(workspace_info, "clusters", name)
    except Exception as error:
        log.warning("cluster %s: could not be deleted: %s", name, failures.describe(error))
