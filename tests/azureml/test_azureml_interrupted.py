"""Interrupt the client at each stage, and check what the next call does.

After a client was killed, the same command submits no second run and registers no second
version.
"""

import os
import signal

import pytest

from azureml_client import (
    HANDLE,
    MODEL,
    RECEIPT,
    SDK,
    STEPS,
    Cloud,
    kill_process_group,
    needs_sdk,
    wait_until,
)

pytestmark = needs_sdk


#: The steps before the submission, as the emulator calls them.
PREPARATION = {
    "v1": ["create_compute", "put_blob", "register_dataset", "register_environment"],
    "v2": ["create_compute", "put_blob", "register_data", "register_environment", "register_code"],
}[SDK]


def check_one_run_and_one_version(cloud: Cloud) -> None:
    """Repeat the command, and check that the workspace has one run and one version."""
    cloud.emulator.faults.clear()
    cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.submitted() == 1 and cloud.statuses() == ["Completed"]
    assert cloud.models() == ["sklearn_digits:1"]
    assert cloud.json(RECEIPT)["id"] == "sklearn_digits:1"


def has_handled(cloud: Cloud, step: str) -> bool:
    """Tell whether the service has handled a request of this step."""
    return any(line["step"] == step for line in cloud.emulator.requests())


@pytest.mark.parametrize("step", PREPARATION)
def test_a_client_killed_while_it_prepares_the_run_prepares_it_once(bare, step):
    process = bare.start(MODEL, backend="azureml")
    wait_until(lambda: has_handled(bare, step))
    kill_process_group(process)
    bare.succeed(MODEL, backend="azureml")
    assert bare.submitted() == 1 and bare.statuses() == ["Completed"]
    state = bare.emulator.state()
    assert list(state["computes"]) == ["cpu-cluster"]
    for kind in ("data", "datasets", "environments", "environments_v2"):
        assert all(len(versions) == 1 for versions in state[kind].values())
    # What was created before the kill is cleaned up as well.
    bare.succeed("azureml_cleanup", confirm="yes")
    state = bare.emulator.state()
    assert state["computes"] == {}
    assert not [name for name in state["blobs"] if "mnist-sklearn/" in name]
    for versions in (*state["data"].values(), *state["environments_v2"].values()):
        assert all(version["isArchived"] for version in versions.values())


@pytest.mark.parametrize("handle_is_lost", [False, True], ids=["handle kept", "handle lost"])
def test_a_client_killed_after_the_submission_finds_its_run_again(cloud, handle_is_lost):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    wait_until(lambda: has_handled(cloud, STEPS["submit"]))
    kill_process_group(process)
    assert cloud.json(HANDLE)["state"] in ("intended", "submitted")
    if handle_is_lost:
        (cloud.path / HANDLE).unlink()
    check_one_run_and_one_version(cloud)


def test_a_client_killed_while_the_run_is_running_waits_for_it_again(cloud):
    process = cloud.start(RECEIPT, backend="azureml")
    wait_until(lambda: "Running" in cloud.statuses())
    kill_process_group(process)
    check_one_run_and_one_version(cloud)


def test_a_client_killed_before_the_run_completes_downloads_its_model_later(cloud):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    kill_process_group(process)
    cloud.emulator.faults.clear()
    wait_until(lambda: cloud.statuses() == ["Completed"])
    assert not cloud.exists(MODEL)
    check_one_run_and_one_version(cloud)


def test_a_client_killed_after_the_registration_registers_no_second_version(cloud):
    # The client repeats the request, and is killed before it hears of the version.
    cloud.emulator.faults.set("answer_lost", step=STEPS["register"], times=1)
    process = cloud.start(RECEIPT, backend="azureml")
    wait_until(lambda: cloud.models())
    kill_process_group(process)
    assert not cloud.exists(RECEIPT)
    check_one_run_and_one_version(cloud)
    # The version was registered by the killed client, and is cleaned up all the same.
    cloud.succeed("azureml_cleanup", confirm="yes")
    assert cloud.models() == []


def test_a_run_that_ended_without_its_client_can_be_cancelled_and_cleaned_up(cloud):
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Running" in cloud.statuses())
    kill_process_group(process)
    wait_until(lambda: cloud.statuses() == ["Completed"])
    assert "azureml_cancel" in cloud.fail("azureml_cleanup", confirm="yes")
    assert "has ended already: Completed" in cloud.succeed("azureml_cancel")
    cloud.succeed("azureml_cleanup", confirm="yes")


def test_ctrl_c_says_that_the_run_continues_and_how_to_cancel_it(cloud):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(RECEIPT, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    assert "the run continues in the cloud" in cloud.said()
    assert "azureml_cancel" in cloud.said()
    # The client does not wait for a cancelled run again. The next training submits a new run.
    cloud.succeed("azureml_cancel")
    wait_until(lambda: cloud.statuses() == ["Canceled"])
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == ["Canceled", "Completed"]
