"""The cluster: found by name and used, or created."""

import time

from backends import failures, records
from backends.deadline import within
from lib.command import log

LIMIT_MINUTES = 20
BEAT_SECONDS = 15


def cluster(workspace, wanted: dict, account: dict) -> str:
    """Return the name of the cluster, which is there and ready, or made so.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    wanted : dict
        The setting azureml.compute.
    account : dict
        The workspace's description, under which a creation is noted.

    Raises
    ------
    CloudError
        If there is another kind of target of that name, or the cluster cannot be made.
    """
    from azureml.core.compute import AmlCompute

    name = wanted["name"]
    then = "Choose another cluster with azureml.compute.name, or ask who manages the workspace."
    with failures.step(f"look for the cluster {name}", then):
        target = within(120, find, workspace, name)
    if target is not None and not isinstance(target, AmlCompute):
        raise failures.CloudError(
            f"expected {name} to be a cluster (AmlCompute), found a {type(target).__name__}. {then}"
        )
    if target is not None and target.provisioning_state == "Failed":
        raise failures.CloudError(
            f"the cluster {name} is there, but its creation failed. Delete it in the portal, or "
            "choose another with azureml.compute.name."
        )
    if target is None:
        target = create(workspace, wanted, account)
    else:
        log.info("cluster %s: found, %s", name, target.provisioning_state)
    log.info("cluster %s: %s", name, status(target))
    return name


def find(workspace, name: str):
    """Return the compute target of a name, None if there is none."""
    from azureml.core.compute import ComputeTarget
    from azureml.core.compute_target import ComputeTargetException

    try:
        return ComputeTarget(workspace, name)
    except ComputeTargetException as error:
        if "ComputeTargetNotFound" in failures.words(error):
            return None
        raise


def create(workspace, wanted: dict, account: dict):
    """Create the cluster, and wait for it; what could not be made is removed again."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    name = wanted["name"]
    log.info(
        "cluster %s: creating %s, %d to %d nodes",
        *(name, wanted["vm_size"], wanted["min_nodes"], wanted["max_nodes"]),
    )
    then = (
        "Ask for more quota, choose another azureml.compute.vm_size, or name a cluster that is "
        "there with azureml.compute.name."
    )
    with failures.step(f"create the cluster {name}", then):
        configuration = AmlCompute.provisioning_configuration(
            vm_size=wanted["vm_size"],
            min_nodes=wanted["min_nodes"],
            max_nodes=wanted["max_nodes"],
            idle_seconds_before_scaledown=wanted["idle_seconds"],
        )
        target = within(120, ComputeTarget.create, workspace, name, configuration)
        records.note_created(account, "clusters", name)
        try:
            within(LIMIT_MINUTES * 60 + 60, wait, target)
        except Exception:
            _remove(target, account)
            raise
    return target


def wait(target) -> None:
    """Wait until a new cluster is ready, and say now and then that it is not."""
    import threading

    began, ready = time.monotonic(), threading.Event()

    def beat() -> None:
        while not ready.wait(BEAT_SECONDS):
            seconds = time.monotonic() - began
            log.info("cluster %s: %s, %.0f s", target.name, target.provisioning_state, seconds)

    threading.Thread(target=beat, daemon=True).start()
    try:
        target.wait_for_completion(show_output=False, timeout_in_minutes=LIMIT_MINUTES)
    finally:
        ready.set()
    log.info(
        "cluster %s: %s after %.0f s",
        *(target.name, target.provisioning_state, time.monotonic() - began),
    )


def status(target) -> str:
    """Say how many nodes a cluster has, and what they do."""
    with failures.step("ask for the cluster's status", "Try again."):
        now = within(120, target.get_status)
    if now is None:
        return "no status"
    return (
        f"{now.vm_size}, {now.current_node_count} of {now.scale_settings.maximum_node_count} "
        f"nodes, {now.allocation_state}"
    )


def _remove(target, account: dict) -> None:
    """Remove a cluster of ours whose creation failed; that it failed is what has to be told."""
    try:
        within(60, target.delete)
        records.forget_created(account, "clusters", target.name)
    except Exception as error:
        log.warning("cluster %s: could not be removed: %s", target.name, failures.words(error))
