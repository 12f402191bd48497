"""Find the cluster by its name, or create it."""

import logging
import threading
import time

from image_workflow.backends.azureml import failures, state
from image_workflow.deadline import within

log = logging.getLogger(__name__)

CREATION_MINUTES = 20
REPORT_SECONDS = 15


def cluster(workspace, settings: dict, workspace_info: dict) -> str:
    """Return the name of the cluster, after it was found or created.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    settings : dict
        The configuration's section azureml.compute.
    workspace_info : dict
        The workspace's description. A new cluster is noted under it.

    Raises
    ------
    CloudError
        If another kind of compute target has that name, or the cluster cannot be created.
    """
    from azureml.core.compute import AmlCompute

    name = settings["name"]
    advice = "Choose another cluster with azureml.compute.name, or ask who manages the workspace."
    with failures.step(f"look for the cluster {name}", advice):
        target = within(120, find, workspace, name)
    if target is not None and not isinstance(target, AmlCompute):
        raise failures.CloudError(
            f"expected {name} to be a cluster (AmlCompute), found a {type(target).__name__}. "
            f"{advice}"
        )
    if target is not None and target.provisioning_state == "Failed":
        raise failures.CloudError(
            f"the cluster {name} is there, but its creation failed. Delete it in the portal, or "
            "choose another with azureml.compute.name."
        )
    if target is None:
        target = create(workspace, settings, workspace_info)
    else:
        log.info("cluster %s: found, %s", name, target.provisioning_state)
    log.info("cluster %s: %s", name, status(target))
    return name


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


def create(workspace, settings: dict, workspace_info: dict):
    """Create the cluster and wait until it is ready. If its creation fails, delete it again."""
    from azureml.core.compute import AmlCompute, ComputeTarget

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
        configuration = AmlCompute.provisioning_configuration(
            vm_size=settings["vm_size"],
            min_nodes=settings["min_nodes"],
            max_nodes=settings["max_nodes"],
            idle_seconds_before_scaledown=settings["idle_seconds"],
        )
        state.note_created(workspace_info, "clusters", name)
        try:
            target = within(120, ComputeTarget.create, workspace, name, configuration)
        except Exception as error:
            if failures.kind(error) != failures.CONNECTION:
                # The service refused, so there is no cluster.
                state.forget_created(workspace_info, "clusters", name)
            raise
        try:
            within(CREATION_MINUTES * 60 + 60, wait, target)
        except Exception:
            _delete(target, workspace_info)
            raise
    return target


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


def status(target) -> str:
    """Return the size, the number of nodes and the state of a cluster, as text."""
    with failures.step("ask for the cluster's status", "Try again."):
        now = within(120, target.get_status)
    if now is None:
        return "no status"
    return (
        f"{now.vm_size}, {now.current_node_count} of {now.scale_settings.maximum_node_count} "
        f"nodes, {now.allocation_state}"
    )


def _delete(target, workspace_info: dict) -> None:
    """Delete a cluster whose creation failed.

    Only log a failed deletion, so that the user sees the original error.
    """
    try:
        within(60, target.delete)
        state.forget_created(workspace_info, "clusters", target.name)
    except Exception as error:
        log.warning("cluster %s: could not be deleted: %s", target.name, failures.describe(error))
