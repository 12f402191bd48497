"""A client that is killed at any stage loses nothing and pays nothing twice.

SIGKILL, then the same command: one run submitted, one version registered.
"""

import os
import signal

import pytest

from azureml_client import HANDLE, MODEL, RECEIPT, Cloud, kill, needs_sdk, until

pytestmark = needs_sdk


def check_paid_once(cloud: Cloud) -> None:
    """Finish the same command, and check that there is one run and one version."""
    cloud.emulator.faults.clear()
    cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.submitted() == 1 and cloud.statuses() == ["Completed"]
    assert cloud.models() == ["sklearn_mnist:1"]
    assert cloud.json(RECEIPT)["id"] == "sklearn_mnist:1"


def asked(cloud: Cloud, step: str) -> bool:
    """Tell whether the service has carried out a step."""
    return any(line["step"] == step for line in cloud.emulator.requests())


@pytest.mark.parametrize("lost", [False, True], ids=["", "handle lost"])
def test_killed_after_the_submission(cloud, lost):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    until(lambda: asked(cloud, "submit_run"))
    kill(process)
    assert cloud.json(HANDLE)["state"] in ("intended", "submitted")
    if lost:
        (cloud.path / HANDLE).unlink()
    check_paid_once(cloud)


def test_killed_while_the_run_is_running(cloud):
    process = cloud.start(RECEIPT, backend="azureml")
    until(lambda: "Running" in cloud.statuses())
    kill(process)
    check_paid_once(cloud)


def test_killed_after_the_run_completed(cloud):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    until(lambda: "Queued" in cloud.said())
    kill(process)
    cloud.emulator.faults.clear()
    until(lambda: cloud.statuses() == ["Completed"])
    assert not cloud.exists(MODEL)
    check_paid_once(cloud)


def test_killed_after_the_registration(cloud):
    process = cloud.start(RECEIPT, backend="azureml")
    until(lambda: cloud.models())
    kill(process)
    assert not cloud.exists(RECEIPT)
    check_paid_once(cloud)


def test_a_keyboard_interrupt_says_that_the_run_goes_on(cloud):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    until(lambda: "Queued" in cloud.said())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    assert "the run goes on in the cloud" in cloud.said()
    assert "azureml_cancel" in cloud.said()
    # Cancelled, it is not waited for again: the next training is a new run.
    cloud.succeed("azureml_cancel")
    until(lambda: cloud.statuses() == ["Canceled"])
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == ["Canceled", "Completed"]
