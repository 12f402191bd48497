"""Test the emulator's faults in submitted runs."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from emulator_client import (
    capture,
    control,
    needs_sdk,
    open_workspace,
    submit_script,
    wait_for_child,
    wait_for_status,
)

# ---- Submissions and failures --------------------------------------------------------------------


def client_submission_faults():
    """Submit without permission, and lose the answers to a submission and to a registration."""
    workspace = open_workspace()
    control("PUT", "faults/no_permission", times=1, step="submit_run")
    refused = capture(submit_script, workspace, run_id="refused")
    control("PUT", "faults/answer_lost", times=1, step="submit_run")
    lost = capture(submit_script, workspace, run_id="lost", tags={"fingerprint": "lost"})
    run = workspace.get_run("lost")
    wait_for_status(run, "Completed")
    control("PUT", "faults/answer_lost", times=1, step="register_model")
    model = run.register_model("twice", model_path="outputs/model.pkl")
    return [refused, lost, run.get_tags(), model.version]


@needs_sdk
def test_sdk_repeats_a_request_whose_answer_is_lost(shared_emulator, run_client):
    refused, lost, tags, version = run_client(client_submission_faults)
    assert refused["error"] == lost["error"] == "ExperimentExecutionException"
    assert "AuthorizationFailed" in refused["message"]
    # The SDK repeats a request that gets no answer. So the run exists, but has no tags, and the
    # SDK has registered the model twice.
    assert "already exists" in lost["message"]
    assert tags == {}
    assert version == 2
    run_ids = [run["runId"] for run in shared_emulator.state()["runs"]]
    assert [run_id for run_id in run_ids if run_id in ("refused", "lost")] == ["lost"]


def client_failed_runs():
    """Fail in the image build, fail in the script, and lose the outputs of a completed run."""
    workspace = open_workspace()
    control("PUT", "faults/image_build_failed", times=1)
    build = submit_script(workspace)
    build_failure = capture(build.wait_for_completion, show_output=True)
    logs = list(build.get_details()["logFiles"])
    script = submit_script(workspace, "--code", 3)
    script_failure = capture(script.wait_for_completion, wait_post_processing=True)
    files = script.get_file_names()
    control("PUT", "faults/missing_output", times=1)
    run = submit_script(workspace)
    wait_for_status(run, "Completed")
    download = capture(run.download_file, "outputs/model.pkl", "model.pkl")
    registration = capture(run.register_model, "missing", model_path="outputs/model.pkl")
    return [build_failure, logs, script_failure, files, download, registration]


@needs_sdk
def test_sdk_reports_why_a_run_failed_and_keeps_its_files(run_client):
    build, logs, script, files, download, registration = run_client(client_failed_runs)
    assert build["error"] == script["error"] == "ActivityFailedException"
    assert "ImageBuildFailure" in build["message"]
    assert logs == ["azureml-logs/20_image_build_log.txt"]
    assert "exited with status code 1" in script["message"]
    assert "the script's last line" in script["message"]
    assert files == ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert download["error"] == "UserErrorException"
    assert registration["error"] == "ModelPathNotFoundException"


# ---- Cancellations -------------------------------------------------------------------------------


def client_canceled_runs():
    """Cancel runs in the portal, at the time limit and by the client; wait in a slow queue."""
    workspace = open_workspace()
    portal = submit_script(workspace, "--seconds", 60)
    wait_for_status(portal, "Running")
    child = wait_for_child(portal)
    control("POST", f"runs/{portal.id}/cancel")
    canceled = capture(portal.wait_for_completion)
    limited = submit_script(workspace, "--seconds", 60, max_seconds=1)
    limited_statuses = wait_for_status(limited, "Canceled")
    warning = limited.get_details()["warnings"][0]["message"]
    control("PUT", "faults/slow_queue")
    queued, patient = submit_script(workspace), submit_script(workspace)
    statuses = wait_for_status(queued, "Queued")
    queued.cancel()
    statuses += wait_for_status(queued, "Canceled") + wait_for_status(patient, "Queued")
    control("DELETE", "faults/slow_queue")
    statuses += wait_for_status(patient, "Completed")
    statuses = [status for status, _ in groupby(statuses)]
    return [portal.get_status(), canceled, child, limited_statuses, warning, statuses]


@needs_sdk
def test_canceled_runs_end_with_their_child_processes(run_client):
    portal_status, canceled, child, limited_statuses, warning, statuses = run_client(
        client_canceled_runs
    )
    # The SDK raises no exception when somebody else cancels the run.
    assert portal_status == "Canceled" and "error" not in canceled
    assert not Path(f"/proc/{child}").exists()
    assert limited_statuses[-1] == "Canceled" and "maximum duration" in warning
    expected = ["Queued", "Canceled", "Queued", "Completed"]
    assert [status for status in statuses if status in expected] == expected
