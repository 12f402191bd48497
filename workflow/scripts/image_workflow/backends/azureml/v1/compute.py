"""Find and create the cluster."""

import logging
import threading
import time

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.workspace import Cluster
from image_workflow.deadline import within

log = logging.getLogger(__name__)

CREATION_MINUTES = 20
REPORT_SECONDS = 15


def describe(workspace, name: str) -> Cluster | None:
    """Return the description of a compute target, or None if there is none of this name."""
    target = find(workspace, name)
    if target is None:
        return None
    kind, ready = type(target).__name__, target.provisioning_state
    now = target.get_status() if kind == "AmlCompute" else None
    if now is None:
        return Cluster(kind, ready, f"{kind}, {ready}")
    text = (
        f"{now.vm_size}, {now.current_node_count} of {now.scale_settings.maximum_node_count} "
        f"nodes, {now.allocation_state}"
    )
    return Cluster(kind, ready, text)


def find(workspace, name: str):
    """Return the compute target of this name, or None."""
    from azureml.core.compute import ComputeTarget
    from azureml.core.compute_target import ComputeTargetException

    try:
        return ComputeTarget(workspace, name)
    except ComputeTargetException as error:
        if "ComputeTargetNotFound" in failures.describe(error):
            return None
        raise


def create(workspace, settings: dict, workspace_info: dict) -> None:
    """Create the cluster and wait until it is ready. If its creation fails, delete it again.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    settings : dict
        The configuration's section azureml.compute.
    workspace_info : dict
        The workspace's description. The cluster is noted under it.
    """
    from azureml.core.compute import AmlCompute, ComputeTarget

    name = settings["name"]
    configuration = AmlCompute.provisioning_configuration(
        vm_size=settings["vm_size"],
        min_nodes=settings["min_nodes"],
        max_nodes=settings["max_nodes"],
        idle_seconds_before_scaledown=settings["idle_seconds"],
    )
    with state.noting_created(workspace_info, "clusters", name):
        target = within(120, ComputeTarget.create, workspace, name, configuration)
    try:
        within(CREATION_MINUTES * 60 + 60, wait, target)
    except Exception:
        _delete(target, workspace_info)
        raise


def wait(target) -> None:
    """Wait until a new cluster is ready, and log its state every few seconds."""
    began, ready = time.monotonic(), threading.Event()

    def report() -> None:
        while not ready.wait(REPORT_SECONDS):
            seconds = time.monotonic() - began
            log.info("cluster %s: %s, %.0f s", target.name, target.provisioning_state, seconds)

    threading.Thread(target=report, daemon=True).start()
    try:
        target.wait_for_completion(show_output=False, timeout_in_minutes=CREATION_MINUTES)
    finally:
        ready.set()
    seconds = time.monotonic() - began
    log.info("cluster %s: %s after %.0f s", target.name, target.provisioning_state, seconds)


def _delete(target, workspace_info: dict) -> None:
    """Delete a cluster whose creation failed.

    Only log a failed deletion, so that the user sees the original error.
    """
    try:
        within(60, target.delete)
        state.forget_created(workspace_info, "clusters", target.name)
    except Exception as error:
        log.warning("cluster %s: could not be deleted: %s", target.name, failures.describe(error))
