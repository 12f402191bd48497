"""Lose connections and answers at each step of SDK v2.

Each test asserts that the client ends in time, that the message gives the cause, and that the
same command then gives one run and one model.
"""

import re
import time

import pytest

from azureml_client import (
    MODEL,
    RECEIPT,
    SDK,
    TRAINING,
    Cloud,
    needs_sdk,
    wait_until,
)

pytestmark = [needs_sdk, pytest.mark.skipif(SDK != "v2", reason="tests SDK v2's requests")]

LOGIN, STORAGE = "login.microsoftonline.com", "*.blob.core.windows.net"


def check_next_call(cloud: Cloud) -> None:
    """Check that the same command gives one run and its model."""
    cloud.emulator.faults.clear()
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == ["Completed"]


def edit(cloud: Cloud, module: str, old: str, new: str) -> None:
    """Replace a text in a module of the checkout's backend."""
    path = cloud.path / "workflow/scripts/image_workflow/backends/azureml" / module
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


# ---- Signing in ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["service_gone", "black_hole"])
def test_a_network_that_fails_at_sign_in_is_not_taken_for_a_wrong_secret(cloud, fault):
    cloud.configure(connect_seconds=6)
    cloud.emulator.faults.set(fault, host=LOGIN)
    began = time.monotonic()
    message = cloud.fail(MODEL, backend="azureml")
    assert time.monotonic() - began < 30
    assert "could not open the workspace" in message and cloud.runs() == []
    causes = {
        "service_gone": "the connection was interrupted",
        "black_hole": "there was no answer in 6 s",
    }
    assert causes[fault] in message
    # auto says why it trains here.
    output = cloud.succeed(MODEL, backend="auto")
    assert "Training on this machine: cannot connect: " in output


def test_a_credential_that_expired_is_reported_as_such(cloud):
    cloud.emulator.faults.set("wrong_secret")
    message = cloud.fail(MODEL, backend="azureml")
    assert "AADSTS7000215" in message and "connection" not in message
    assert cloud.emulator.entra.secret not in message


# ---- Answers that are lost -------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        *("get_workspace", "create_compute", "put_blob", "register_data", "register_environment"),
        *("register_code", "submit_job", "get_job", "create_model_version"),
    ],
)
def test_an_answer_that_is_lost_once_is_not_noticed(bare, step):
    bare.emulator.faults.set("answer_lost", step=step, times=1)
    target = RECEIPT if step == "create_model_version" else MODEL
    bare.succeed(target, backend="azureml")
    lost = [line for line in bare.emulator.requests() if line["status"] == "lost"]
    assert [line["step"] for line in lost] == [step]
    assert bare.statuses() == ["Completed"] and len(bare.models()) == (target == RECEIPT)
    state = bare.emulator.state()
    assert len(state["data"]["digits_arrays"]) == 1


@pytest.mark.parametrize("step", ["submit_job", "create_model_version"])
def test_an_answer_that_is_lost_for_good_leaves_one_run_and_one_version(cloud, step):
    cloud.emulator.faults.set("answer_lost", step=step)
    code, output = cloud.run(RECEIPT, backend="azureml")
    # The client finds the run or the version that it could not be told of.
    assert code == 0 or "Run the same command again" in output
    cloud.emulator.faults.clear()
    cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.statuses() == ["Completed"] and cloud.models() == ["sklearn_digits:1"]


# ---- Storage ---------------------------------------------------------------------------------


def test_an_upload_that_is_cut_once_is_repeated(cloud):
    cloud.emulator.faults.set("blob_cut", times=1)
    cloud.succeed(MODEL, backend="azureml")
    assert cloud.statuses() == ["Completed"]


def test_an_upload_that_is_always_cut_stops_and_can_be_repeated(cloud):
    cloud.emulator.faults.set("blob_cut")
    message = cloud.fail(MODEL, backend="azureml")
    assert "could not upload the data" in message and "Run the same command again" in message
    assert cloud.runs() == [] and cloud.emulator.state()["data"] == {}
    check_next_call(cloud)


def test_storage_that_never_answers_while_the_run_is_followed_ends_in_time(cloud):
    cloud.configure(patience_seconds=5)
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.faults.set("black_hole", host=STORAGE)
    assert process.wait(40) == 1
    assert "has not answered for" in cloud.said() and not cloud.exists(MODEL)
    check_next_call(cloud)


def test_a_black_hole_at_the_download_ends_in_time_and_the_next_call_downloads(cloud):
    # Wait before the download, so that the fault begins with it.
    edit(
        cloud,
        "backend.py",
        "            names = self._check",
        "            import time\n            time.sleep(4)\n            names = self._check",
    )
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "s  Completed" in cloud.said())
    cloud.emulator.faults.set("black_hole", host=STORAGE)
    began = time.monotonic()
    assert process.wait(140) == 1
    assert time.monotonic() - began < 130
    assert "could not download the model" in cloud.said() and not cloud.exists(MODEL)
    check_next_call(cloud)


# ---- The cluster and the job -----------------------------------------------------------------


def test_a_vm_size_that_does_not_exist_is_reported(bare):
    bare.emulator.faults.set("vm_size_unknown")
    message = bare.fail(MODEL, backend="azureml")
    assert "could not create the cluster cpu-cluster" in message
    assert "azureml.compute.vm_size" in message and bare.runs() == []
    check_next_call(bare)


def test_a_run_that_exceeds_its_limit_is_reported_as_cancelled(cloud):
    edit(cloud, "v2/runs.py", "timeout=submission.limit_seconds", "timeout=1")
    edit(
        cloud,
        "reporting.py",
        "    sweep_file =",
        "    import time; time.sleep(30)\n    sweep_file =",
    )
    message = cloud.fail(MODEL, backend="azureml")
    assert "was canceled, or took longer than azureml.run_limit_seconds" in message
    assert cloud.statuses() == ["Canceled"] and not cloud.exists(MODEL)


def test_a_name_that_exists_with_another_body_is_the_same_run(cloud):
    cloud.succeed(MODEL, backend="azureml")
    # Hide the run from the first look, as if another client submitted it a moment later.
    edit(
        cloud,
        "v2/workspace.py",
        "        job = within(ANSWER_SECONDS, assets.find, self.client.jobs, run_id)\n",
        "        if not self._logs:\n            self._logs[''] = {}\n            return None\n"
        "        job = within(ANSWER_SECONDS, assets.find, self.client.jobs, run_id)\n",
    )
    assert "-1 is there already (" in cloud.succeed(MODEL, backend="azureml")
    refused = [line for line in cloud.emulator.requests() if line["status"] == 400]
    assert [line["step"] for line in refused] == ["submit_job"]
    assert cloud.statuses() == ["Completed"]


def test_a_service_that_is_away_for_a_minute_is_waited_for(cloud):
    cloud.configure(patience_seconds=120)
    cloud.emulator.faults.set("slow_queue", seconds=3)
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.faults.set("service_gone", seconds=60)
    assert process.wait(150) == 0, cloud.said()
    assert "no answer, trying again" in cloud.said() and cloud.statuses() == ["Completed"]


def test_metrics_that_the_portal_refuses_cost_no_training(cloud):
    cloud.emulator.faults.set("server_error", step="log_batch")
    output = cloud.succeed(MODEL, backend="azureml")
    assert "| the portal does not show the metrics: HTTP Error 503" in output
    assert cloud.json(TRAINING)["metrics"]["accuracy"] > 0.89


def test_two_clients_that_submit_at_once_share_one_run(cloud, tmp_path):
    other = cloud.copied(tmp_path / "other")
    cloud.emulator.faults.set("slow_queue", seconds=3)
    processes = [one.start(MODEL, backend="azureml") for one in (cloud, other)]
    for one, process in zip((cloud, other), processes, strict=True):
        assert process.wait(90) == 0, one.said()
    assert cloud.statuses() == ["Completed"]
    assert cloud.json(TRAINING)["run_id"] == other.json(TRAINING)["run_id"]


def test_a_workspace_that_disappears_is_reported(cloud):
    cloud.configure(patience_seconds=3)
    cloud.emulator.faults.set("slow_queue")
    process = cloud.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in cloud.said())
    cloud.emulator.faults.set("unknown_workspace")
    assert process.wait(60) == 1
    assert "The workspace 'emulated-workspace' was not found" in cloud.said()
    check_next_call(cloud)


# ---- What the workspace is told --------------------------------------------------------------


def test_no_git_remote_and_no_path_of_this_machine_reaches_the_workspace(cloud):
    config = cloud.path / ".git/config"
    config.parent.mkdir()
    (config.parent / "HEAD").write_text("ref: refs/heads/main\n")
    for folder in ("objects", "refs"):
        (config.parent / folder).mkdir()
    config.write_text('[remote "origin"]\n\turl = git@example.com:a-secret-project.git\n')
    env = {"AZUREML_GIT_REPOSITORY_URI": "https://example.com/a-secret-project.git"}
    cloud.succeed(RECEIPT, backend="azureml", env=env)
    known = str(cloud.emulator.state())
    assert "a-secret-project" not in known and "mlflow.source.git" not in known
    assert str(cloud.path.parent) not in known and not re.search(r"/tmp/tmp\w+", known)
