"""Test the emulator's faults with SDK v2."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from emulator_process import capture, control
from emulator_sdk_v2 import (
    open_client,
    open_container,
    register_data,
    register_environment,
    stream_job,
    submit_job,
    wait_for_job,
)

JOB_PYTHON = sys.executable

#: The options of a client that gives up after one second without an answer.
IMPATIENT = {"retry_total": 0, "connection_timeout": 1, "read_timeout": 1}

#: The errors of requests without an answer; which one depends on the moment of the reset.
LOST = ("ServiceResponseError", "ServiceRequestError")

LOGIN, ARM, BLOBS = "login.microsoftonline.com", "management.azure.com", "*.blob.core.windows.net"

# ---- The connection ------------------------------------------------------------------------------


def client_v2_connection_faults():
    """Open the workspace under each fault of the connection, and then without a fault."""
    results = {}

    def open_workspace(**options):
        client = open_client(**options)
        return client.workspaces.get(client.workspace_name).name

    for name, options in {
        "wrong_secret": {},
        "unknown_workspace": {},
        "no_permission": {"step": "get_workspace"},
        "server_error": {"step": "get_workspace"},
    }.items():
        control("PUT", f"faults/{name}", **options)
        results[name] = capture(open_workspace)
        control("DELETE", "faults")
    for fault, host in (("service_gone", LOGIN), ("black_hole", LOGIN), ("black_hole", ARM)):
        control("PUT", f"faults/{fault}", host=host)
        results[f"{fault} {host}"] = capture(open_workspace, **IMPATIENT)
        control("DELETE", "faults")
    control("PUT", "faults/service_gone", seconds=0.5)
    results["short"] = capture(open_workspace, retry_total=6)
    os.environ["AZURE_TENANT_ID"] = "00000000-0000-0000-0000-000000000000"
    results["other tenant"] = capture(open_workspace)
    return results


def test_sdk_v2_reports_why_it_cannot_open_the_workspace(run_client, set_fault):
    results = run_client(client_v2_connection_faults)
    assert {name: result.get("error") for name, result in results.items()} == {
        "wrong_secret": "ClientAuthenticationError",
        "unknown_workspace": "ResourceNotFoundError",
        "no_permission": "HttpResponseError",
        "server_error": "HttpResponseError",
        f"service_gone {LOGIN}": "ClientAuthenticationError",
        f"black_hole {LOGIN}": "ClientAuthenticationError",
        f"black_hole {ARM}": "ServiceResponseTimeoutError",
        "short": None,
        "other tenant": "ClientAuthenticationError",
    }
    assert "AADSTS7000215" in results["wrong_secret"]["message"]
    assert "Unable to get authority configuration" in results["other tenant"]["message"]
    assert "(ResourceNotFound)" in results["unknown_workspace"]["message"]
    assert "(AuthorizationFailed)" in results["no_permission"]["message"]
    assert "Connection reset by peer" in results[f"service_gone {LOGIN}"]["message"]
    assert all(result["seconds"] < 10 for result in results.values())


# ---- Submissions ---------------------------------------------------------------------------------


def client_v2_submissions():
    """Submit a job again with equal and with other bodies, without its resources, and badly."""
    client = open_client()
    control("PUT", "faults/no_permission", times=1, step="submit_job")
    refused = capture(submit_job, client, "refused")
    control("PUT", "faults/answer_lost", times=1, step="submit_job")
    job = submit_job(client, "once", tags={"a": "1"})
    again = submit_job(client, "once", tags={"b": "2"})
    other = capture(submit_job, client, "once", "--seconds 1")
    control("PUT", "faults/answer_lost", step="submit_job")
    lost = capture(submit_job, client, "lost")
    control("DELETE", "faults")
    found = client.jobs.get("lost").name
    no_cluster = capture(submit_job, client, "incomplete", compute="nothing")
    no_environment = capture(submit_job, client, "incomplete", environment="nothing:1")
    return [refused, job.name, again.tags, other, lost, found, no_cluster, no_environment]


def test_sdk_v2_never_submits_a_job_twice(shared_emulator, run_client, set_fault):
    refused, name, tags, other, lost, found, no_cluster, no_environment = run_client(
        client_v2_submissions
    )
    assert "(AuthorizationFailed)" in refused["message"]
    # The SDK repeats a request that gets no answer, and the second request updates the job.
    assert name == "once" and tags == {"a": "1", "b": "2"}
    assert "A job with this name already exists" in other["message"]
    assert "JobPropertyImmutable" in other["message"]
    assert lost["error"] in LOST and found == "lost"
    assert no_cluster["error"] == no_environment["error"] == "ResourceNotFoundError"
    runs = [run["runId"] for run in shared_emulator.state()["runs"]]
    assert runs == ["once", "lost"] == list(shared_emulator.state()["jobs"])


# ---- Jobs that fail or are canceled --------------------------------------------------------------


def client_v2_failed_jobs():
    """Fail in the image build, fail in the script, and lose the outputs of a completed job."""
    client = open_client()
    control("PUT", "faults/image_build_failed", times=1)
    submit_job(client, "build")
    wait_for_job(client, "build", "Failed")
    build = capture(stream_job, client, "build")
    submit_job(client, "script", "--code 3")
    wait_for_job(client, "script", "Failed")
    script = capture(stream_job, client, "script")
    control("PUT", "faults/missing_output", times=1)
    submit_job(client, "empty")
    wait_for_job(client, "empty", "Completed")
    artifacts = open_container(client, "workspaceartifactstore")
    folders = [f"ExperimentRun/dcid.{name}/" for name in ("build", "script", "empty")]
    files = [[blob.name.removeprefix(f) for blob in artifacts.list_blobs(f)] for f in folders]
    return [build, script, files]


def test_sdk_v2_reports_why_a_job_failed_and_finds_its_files(shared_emulator, run_client):
    build, script, files = run_client(client_v2_failed_jobs)
    assert build["error"] == script["error"] == "JobException"
    assert '"code": "ImageBuildFailure"' in build["message"]
    assert "azureml-logs/20_image_build_log.txt" in build["message"]
    assert "exited with status code 1" in script["message"]
    assert "the script's last line" in script["message"]
    details = json.loads(shared_emulator.history.get_details(None, "build").body)
    assert list(details["logFiles"]) == ["azureml-logs/20_image_build_log.txt"]
    assert files == [
        ["azureml-logs/20_image_build_log.txt"],
        ["outputs/model.pkl", "user_logs/std_log.txt"],
        ["user_logs/std_log.txt"],
    ]


def client_v2_canceled_jobs():
    """Cancel jobs in the portal, at the time limit and by the client; wait in a slow queue."""
    client = open_client()
    submit_job(client, "limited", "--seconds 60", max_seconds=1)
    submit_job(client, "portal", "--seconds 60")
    wait_for_job(client, "portal", "Running")
    log = "ExperimentRun/dcid.portal/user_logs/std_log.txt"
    child = wait_for_line(open_container(client, "workspaceartifactstore"), log, "child ")
    control("POST", "runs/portal/cancel")
    portal = wait_for_job(client, "portal", "Canceled")
    streamed = capture(stream_job, client, "portal")
    limited = wait_for_job(client, "limited", "Canceled")
    warning = stream_job(client, "limited")
    control("PUT", "faults/slow_queue")
    submit_job(client, "queued")
    queued = wait_for_job(client, "queued", "Queued")
    deleted = capture(client.jobs.begin_delete, "queued")
    client.jobs.begin_cancel("queued").result()
    queued.append(client.jobs.get("queued").status)
    again = capture(client.jobs.begin_cancel, "queued")
    return [child, portal, streamed, limited, warning, queued, deleted, again]


def wait_for_line(container, blob, prefix):
    """Wait until a log has a line with a prefix, and return the rest of the line."""
    for _ in range(100):
        for line in container.download_blob(blob).readall().decode().splitlines():
            if line.startswith(prefix):
                return line.removeprefix(prefix)
        time.sleep(0.1)
    raise AssertionError(f"no line {prefix!r}")


def test_sdk_v2_sees_canceled_jobs(run_client, set_fault):
    child, portal, streamed, limited, warning, queued, deleted, again = run_client(
        client_v2_canceled_jobs
    )
    assert not Path(f"/proc/{child}").exists()
    assert portal[-1] == limited[-1] == queued[-1] == "Canceled"
    # The SDK raises no exception when it follows a canceled job.
    assert "error" not in streamed
    assert "maximum duration of 1.0 seconds" in warning
    assert "has not ended" in deleted["message"]
    assert "cannot be canceled" in again["message"]


# ---- Clusters and assets -------------------------------------------------------------------------


def client_v2_resources():
    """Create clusters that Azure refuses, and register versions with another content."""
    from azure.ai.ml.entities import AmlCompute, Data, Model

    client = open_client()

    def create_cluster(name):
        cluster = AmlCompute(name=name, size="BIG")
        return client.compute.begin_create_or_update(cluster).result().name

    control("PUT", "faults/quota_exceeded", times=1)
    quota = capture(create_cluster, "over-quota")
    state = client.compute.get("over-quota").provisioning_state
    control("PUT", "faults/vm_size_unknown", times=1)
    size = capture(create_cluster, "unknown-size")
    first = register_data(client, "arrays", "1")
    moved = Data(name="arrays", version="1", path=f"{first.path}other/", type="uri_folder")
    path = capture(client.data.create_or_update, moved)
    register_environment(client, "pinned", "1")
    content = capture(register_environment, client, "pinned", "1", ["other"])
    control("PUT", "faults/answer_lost", times=1, step="create_model_version")
    model = client.models.create_or_update(Model(name="once", path=f"{first.path}small.npy"))
    absent = Model(name="absent", path="azureml://datastores/workspaceblobstore/paths/absent")
    files = capture(client.models.create_or_update, absent)
    clusters = [quota, state, size, create_cluster("fine")]
    return [clusters, path, content, model.version, files]


def test_sdk_v2_reports_why_it_cannot_create_or_register(shared_emulator, run_client):
    clusters, path, content, version, files = run_client(client_v2_resources)
    quota, state, size, fine = clusters
    assert "(ClusterCoreQuotaReached)" in quota["message"] and state == "Failed"
    assert "(BadRequest)" in size["message"] and "size BIG" in size["message"]
    assert fine == "fine" and "unknown-size" not in shared_emulator.state()["computes"]
    assert path["message"].startswith("(UserError) Asset paths cannot be updated.")
    assert content["error"] == "ResourceExistsError"
    # The SDK repeats the request whose answer is lost, but for the same version.
    assert version == "1"
    assert [model["id"] for model in shared_emulator.state()["models"]] == ["once:1"]
    assert "There are no files at" in files["message"]


# ---- Blobs ---------------------------------------------------------------------------------------


def client_v2_blob_faults():
    """Send and fetch blobs while storage refuses, cuts, disappears and does not answer."""
    container = open_container(open_client(), "workspaceblobstore")
    results = {}

    def send(name):
        container.upload_blob(f"sent/{name}", b"x" * 1000, overwrite=True)

    send("there")
    for name, options in {
        "blob_part_refused": {"all": True},
        "blob_cut": {},
        "service_gone": {"host": BLOBS},
    }.items():
        control("PUT", f"faults/{name}", **options)
        results[name] = capture(send, name)
        control("DELETE", "faults")
    control("PUT", "faults/black_hole", host=BLOBS)
    download = {"connection_timeout": 1, "read_timeout": 1, "retry_total": 0}
    impatient = container.get_blob_client("sent/there")
    results["black_hole"] = capture(impatient.download_blob, **download)
    results["elsewhere"] = capture(open_container, open_client())
    control("DELETE", "faults")
    control("PUT", "faults/blob_cut", times=1)
    results["repeated"] = capture(send, "repeated")
    return [results, [blob.name for blob in container.list_blobs("sent/")]]


def test_storage_library_reports_blobs_that_it_cannot_send(run_client, set_fault):
    results, names = run_client(client_v2_blob_faults)
    assert results["blob_part_refused"]["error"] == "HttpResponseError"
    assert results["blob_cut"]["error"] in LOST and results["service_gone"]["error"] in LOST
    assert results["black_hole"]["error"] == "ServiceResponseTimeoutError"
    assert "error" not in results["elsewhere"] and "error" not in results["repeated"]
    # Nothing is stored of a blob that was cut.
    assert names == ["sent/repeated", "sent/there"]
    assert all(result["seconds"] < 10 for result in results.values())
