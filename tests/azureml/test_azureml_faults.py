"""Check the message, the exit code and the remaining files after each failure of the cloud.

The tests use the real Snakemake and the real SDK. The emulator fails on demand. The tests do not
prove that Azure fails in the same ways.
"""

import time

import pytest

from azureml_client import (
    HANDLE,
    MODEL,
    RECEIPT,
    SDK,
    STEPS,
    TRAINING,
    Cloud,
    needs_sdk,
    put_compute,
    wait_until,
)

pytestmark = needs_sdk

#: The cause that each SDK gives.
MESSAGES = {
    "v1": {
        "unknown_workspace": "Workspace not found",
        "unknown_subscription": "don't have access",
    },
    "v2": {
        "unknown_workspace": "The workspace 'emulated-workspace' was not found. (ResourceNotFound)",
        "unknown_subscription": "(SubscriptionNotFound)",
    },
}[SDK]


def check_nothing_left(cloud: Cloud) -> None:
    """Check that there is no model, no half-written file and no run."""
    assert not cloud.exists(MODEL) and not cloud.exists(TRAINING)
    assert not list(cloud.path.rglob("*.part"))
    assert cloud.runs() == []


# ---- Before anything is submitted ------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "cause"),
    [
        ("wrong_secret", {}, "AADSTS7000215: Invalid client secret"),
        ("unknown_workspace", {}, MESSAGES["unknown_workspace"]),
        ("unknown_subscription", {}, MESSAGES["unknown_subscription"]),
        ("no_permission", {"step": "get_workspace"}, "AuthorizationFailed"),
    ],
)
def test_azureml_stops_with_the_cause_if_the_workspace_cannot_be_opened(
    cloud, fault, options, cause
):
    cloud.emulator.faults.set(fault, **options)
    message = cloud.fail(MODEL, backend="azureml")
    assert "could not open the workspace" in message and cause in message
    assert "Check the network, the workspace's config.json and the rights" in message
    check_nothing_left(cloud)
    assert "Traceback" in (cloud.path / "results/logs/train.log").read_text()


def test_auto_trains_on_this_machine_if_the_workspace_refuses_access(cloud):
    reason = "not authorised: "
    cloud.emulator.faults.set("wrong_secret")
    output = cloud.succeed(RECEIPT, backend="auto")
    assert f"Training on this machine: {reason}" in output
    receipt = cloud.json(RECEIPT)
    assert receipt["backend"] == receipt["registry"] == "local"
    assert receipt["backend_reason"].startswith(reason)
    assert cloud.runs() == []
    # The model is kept when the workspace grants access again.
    cloud.emulator.faults.clear()
    for backend in ("auto", "local"):
        assert "Nothing to be done" in cloud.succeed("-n", RECEIPT, backend=backend)
    assert "train" in cloud.succeed("-n", RECEIPT, backend="azureml")


def test_auto_stops_if_the_workspace_does_not_exist(cloud):
    cloud.emulator.faults.set("unknown_workspace")
    assert MESSAGES["unknown_workspace"] in cloud.fail(MODEL, backend="auto")
    check_nothing_left(cloud)


def test_azureml_stops_if_the_network_never_answers(cloud):
    cloud.emulator.faults.set("black_hole")
    cloud.configure(connect_seconds=2)
    message = cloud.fail(MODEL, backend="azureml")
    assert "could not open the workspace: there was no answer in 2 s" in message
    check_nothing_left(cloud)


def test_auto_trains_on_this_machine_if_the_network_never_answers(cloud):
    cloud.emulator.faults.set("black_hole")
    began = time.monotonic()
    process = cloud.start(MODEL, backend="auto")
    try:
        wait_until(lambda: "Training on this machine" in cloud.said())
        assert time.monotonic() - began < 30
        assert process.wait(60) == 0
    finally:
        process.kill()
    reason = cloud.json(TRAINING)["backend_reason"]
    assert reason == "cannot connect: there was no answer in 15 s"


def test_missing_permission_to_create_the_cluster_is_reported(bare):
    bare.emulator.faults.set("no_permission", step="create_compute")
    message = bare.fail(MODEL, backend="azureml")
    assert "could not create the cluster cpu-cluster" in message
    assert "AuthorizationFailed" in message and "could not be deleted" not in message
    check_nothing_left(bare)
    assert bare.emulator.state()["computes"] == {}
    assert bare.json("registry/azureml.json").popitem()[1]["clusters"] == []


def test_a_cluster_that_exceeds_the_quota_is_reported_and_deleted(bare):
    bare.emulator.faults.set("quota_exceeded", times=1)
    message = bare.fail(MODEL, backend="auto")
    assert "could not create the cluster cpu-cluster" in message
    assert "exceeding quota limits" in message and "azureml.compute.vm_size" in message
    check_nothing_left(bare)
    wait_until(lambda: "Succeeded" not in str(bare.emulator.state()["computes"]))
    assert bare.json("registry/azureml.json").popitem()[1]["clusters"] == []


def test_a_compute_target_that_is_no_cluster_is_refused(bare):
    put_compute(bare.emulator, "cpu-cluster", "ComputeInstance")
    message = bare.fail(MODEL, backend="azureml")
    assert "expected cpu-cluster to be a cluster (AmlCompute), found a ComputeInstance" in message
    check_nothing_left(bare)


def test_a_wrong_number_of_nodes_in_the_environment_is_refused(bare):
    message = bare.fail(MODEL, backend="azureml", env={"AML_COMPUTE_CLUSTER_MAX_NODES": "many"})
    assert "AML_COMPUTE_CLUSTER_MAX_NODES must be a number of nodes, found 'many'" in message
    check_nothing_left(bare)


def test_a_refused_upload_registers_no_data_and_can_be_repeated(cloud):
    cloud.emulator.faults.set("blob_part_refused", all=True)
    message = cloud.fail(MODEL, backend="azureml")
    assert "upload" in message and "run the same command again" in message.lower()
    check_nothing_left(cloud)
    state = cloud.emulator.state()
    assert state["datasets"] == {} and not [b for b in state["blobs"] if "mnist-sklearn/" in b]
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == ["Completed"]


def test_missing_permission_to_submit_is_reported_and_leaves_no_run(cloud):
    cloud.emulator.faults.set("no_permission", step=STEPS["submit"], times=1)
    message = cloud.fail(MODEL, backend="auto")
    assert "could not submit the run" in message and "AuthorizationFailed" in message
    check_nothing_left(cloud)
    assert cloud.json(HANDLE)["state"] == "ended"


# ---- Runs that fail ----------------------------------------------------------------------------


def check_failed_run(cloud: Cloud, message: str, status: str) -> None:
    """Check the message about a run that gave no model, and that no results were written."""
    assert cloud.statuses() == [status]
    assert not cloud.exists(MODEL) and not cloud.exists(TRAINING)
    assert cloud.json(HANDLE)["state"] == "ended"
    run_id = cloud.json(HANDLE)["run_id"]
    assert run_id in message and "https://ml.azure.com/runs/" in message
    assert "the next call submits it anew" in message


def check_next_call_submits_again(cloud: Cloud) -> None:
    """Check that the next call submits a second run, which completes."""
    (run_id, status), *_ = cloud.runs()
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == [status, "Completed"]
    assert cloud.json(TRAINING)["run_id"] == run_id.removesuffix("1") + "2"


def test_the_log_of_a_failed_image_build_is_saved(cloud):
    cloud.emulator.faults.set("image_build_failed", times=1)
    message = cloud.fail(MODEL, backend="azureml")
    assert "Image build failed" in message and "ResolvePackageNotFound" in message
    logs = list((cloud.path / "results/azureml/logs").rglob("20_image_build_log.txt"))
    assert "CondaEnvException" in logs[0].read_text()
    check_failed_run(cloud, message, "Failed")


def test_the_last_lines_of_a_script_that_fails_are_shown(cloud):
    script = cloud.path / "workflow/scripts/image_workflow/backends/azureml/reporting.py"
    text = script.read_text()
    last = "    raise SystemExit('last words')\n    sweep_file ="
    script.write_text(text.replace("    sweep_file =", last))
    message = cloud.fail(MODEL, backend="azureml")
    assert "last words" in message and "failed" in message
    assert "user_logs/std_log.txt" in message
    assert list((cloud.path / "results/azureml/logs").rglob("std_log.txt"))
    assert cloud.statuses() == ["Failed"] and not cloud.exists(MODEL)


def test_a_run_that_was_cancelled_in_the_portal_is_submitted_again(cloud):
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.execution.cancel(cloud.json(HANDLE)["run_id"])
    assert process.wait(60) == 1
    message = cloud.said()
    assert "was canceled" in message
    check_failed_run(cloud, message, "Canceled")
    check_next_call_submits_again(cloud)


def test_a_failed_run_is_submitted_again_although_an_older_receipt_exists(cloud):
    cloud.succeed(RECEIPT, backend="azureml")
    before = (cloud.path / MODEL).read_bytes()
    cloud.emulator.faults.set("image_build_failed", times=1)
    cloud.fail(RECEIPT, backend="azureml", regularization=2)
    assert cloud.exists(RECEIPT) and not cloud.exists(MODEL)
    # With the first rate again, the client downloads the first run's model and submits nothing.
    cloud.succeed(RECEIPT, backend="azureml")
    assert (cloud.path / MODEL).read_bytes() == before
    assert cloud.statuses() == ["Completed", "Failed"]
    cloud.emulator.faults.set("image_build_failed", times=1)
    for call in (cloud.fail, cloud.succeed):
        call(RECEIPT, backend="azureml", regularization=2)
    assert cloud.statuses() == ["Completed", "Failed", "Failed", "Completed"]
    assert cloud.json(RECEIPT)["metrics"]["regularization_rate"] == 2
    assert cloud.json(RECEIPT)["run_id"] == cloud.runs()[-1][0]


def test_a_run_without_a_model_is_reported_and_submitted_again(cloud):
    cloud.emulator.faults.set("missing_output", times=1)
    message = cloud.fail(MODEL, backend="azureml")
    assert "completed, but has no outputs/sklearn_mnist_model.pkl" in message
    check_failed_run(cloud, message, "Completed")
    check_next_call_submits_again(cloud)


# ---- A service that goes away --------------------------------------------------------------------


def test_the_client_waits_while_the_service_is_gone_for_seconds(cloud):
    cloud.emulator.faults.set("slow_queue", seconds=3)
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.faults.set("service_gone", seconds=5)
    assert process.wait(90) == 0, cloud.said()
    assert cloud.statuses() == ["Completed"]


@pytest.mark.parametrize("fault", ["service_gone", "black_hole"])
def test_the_next_call_finds_the_run_if_the_service_was_gone_for_long(cloud, fault):
    cloud.configure(patience_seconds=5)
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(MODEL, backend="auto")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.faults.set(fault)
    assert process.wait(60) == 1, cloud.said()
    message = cloud.said()
    assert (
        "has not answered for" in message and "The run continues; run the same command" in message
    )
    assert not cloud.exists(MODEL) and cloud.json(HANDLE)["state"] == "submitted"
    # The training has a run already, so auto does not train on this machine as well.
    if fault == "service_gone":
        message = cloud.fail(MODEL, backend="auto")
        assert "so it is not done here as well" in message and not cloud.exists(MODEL)
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="auto")
    assert cloud.statuses() == ["Completed"] and cloud.submitted() == 1
    assert cloud.json(TRAINING)["backend"] == "azureml"


# ---- Answers that are lost -----------------------------------------------------------------------


def test_a_submission_whose_answer_was_lost_is_not_repeated(cloud):
    cloud.emulator.faults.set("answer_lost", step=STEPS["submit"], times=1)
    cloud.succeed(MODEL, backend="azureml")
    (run,) = cloud.emulator.state()["runs"]
    assert run["tags"]["fingerprint"] == cloud.json(TRAINING)["fingerprint"]


def test_a_registration_whose_answer_was_lost_leaves_one_version(cloud):
    cloud.emulator.faults.set("answer_lost", step=STEPS["register"], times=1)
    cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.models() == ["sklearn_digits:1"] and cloud.json(RECEIPT)["version"] == 1


def test_missing_permission_to_register_is_reported_and_keeps_the_model(cloud):
    cloud.emulator.faults.set("no_permission", step=STEPS["register"], times=1)
    message = cloud.fail(RECEIPT, backend="azureml")
    assert "could not register the model: The client has no authorization" in message
    assert cloud.exists(MODEL) and not cloud.exists(RECEIPT) and cloud.models() == []
    cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.models() == ["sklearn_digits:1"] and cloud.submitted() == 1
