"""Find, create and delete the cluster."""

import logging
import time

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.v2.assets import find
from image_workflow.backends.azureml.workspace import Cluster
from image_workflow.deadline import DeadlineError, within

log = logging.getLogger(__name__)

ANSWER_SECONDS = 120
CREATION_SECONDS = 20 * 60
REPORT_SECONDS = 15


def describe(client, name: str) -> Cluster | None:
    """Return the description of a compute target, or None if there is none of this name."""
    target = find(client.compute, name)
    if target is None:
        return None
    kind = type(target).__name__
    # A string whose text is not its value.
    ready = getattr(target.provisioning_state, "value", target.provisioning_state)
    if kind != "AmlCompute" or ready != "Succeeded":
        return Cluster(kind, ready, f"{kind}, {ready}")
    nodes = len(list(client.compute.list_nodes(name)))
    text = f"{target.size}, {nodes} of {target.max_instances} nodes, {ready}"
    return Cluster(kind, ready, text)


def create(client, settings: dict, workspace_info: dict) -> None:
    """Create the cluster and wait until it is ready. If its creation fails, delete it again.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    settings : dict
        The configuration's section azureml.compute.
    workspace_info : dict
        The workspace's description. The cluster is noted under it.
    """
    from azure.ai.ml.entities import AmlCompute

    name = settings["name"]
    wanted = AmlCompute(
        name=name,
        size=settings["vm_size"],
        min_instances=settings["min_nodes"],
        max_instances=settings["max_nodes"],
        idle_time_before_scale_down=settings["idle_seconds"],
    )
    with state.noting_created(workspace_info, "clusters", name):
        poller = within(ANSWER_SECONDS, client.compute.begin_create_or_update, wanted)
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
