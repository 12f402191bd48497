"""Test that the two SDKs find each other's runs and models in one workspace."""

from __future__ import annotations

import os
from pathlib import Path

from emulator_process import capture
from emulator_sdk_v2 import open_client, stream_job, submit_job, wait_for_job


def client_v1_submits():
    """Complete a run, and register its model."""
    from emulator_client import open_workspace, submit_script, wait_for_status

    workspace = open_workspace()
    run = submit_script(workspace, run_id="from-v1", tags={"sdk": "v1"})
    failed = submit_script(workspace, "--code", 3, run_id="failed-v1")
    long = submit_script(workspace, "--seconds", 60, run_id="long-v1")
    wait_for_status(run, "Completed")
    run.register_model(
        "model", model_path="outputs/model.pkl", tags={"a": "1"}, properties={"sha256": "1"}
    )
    wait_for_status(failed, "Failed")
    wait_for_status(long, "Running")


def client_v2_continues():
    """Read what SDK v1 has made, cancel, archive and delete some of it, and make more."""
    from azure.ai.ml.entities import Model

    client = open_client()
    job = client.jobs.get("from-v1")
    client.jobs.update("from-v1", tags={"seen": "v2"})
    client.jobs.download("from-v1", download_path="downloaded")
    failure = capture(stream_job, client, "failed-v1")["message"]
    (model,) = client.models.list("model")
    client.models.download("model", "1", download_path="models")
    client.jobs.begin_cancel("long-v1").result()
    taken = capture(submit_job, client, "from-v1")
    submit_job(client, "from-v2", tags={"sdk": "v2"})
    wait_for_job(client, "from-v2", "Completed")
    path = "azureml://jobs/from-v2/outputs/artifacts/paths/outputs/model.pkl"
    made = client.models.create_or_update(Model(name="model", path=path, tags={"a": "2"}))
    client.models.archive("model", "1")
    client.jobs.begin_delete("failed-v1").result()
    listed = [found.name for found in client.jobs.list()]
    submit_job(client, "long-v2", "--seconds 60")
    wait_for_job(client, "long-v2", "Running")
    return {
        "job": [job.name, job.status, dict(job.tags), job.compute, job.experiment_name],
        "downloaded": Path("downloaded/artifacts/outputs/model.pkl").stat().st_size,
        "failure": "the script's last line" in failure,
        "model": [model.version, model.type, model.job_name, model.tags, model.properties],
        "model's size": [p.stat().st_size for p in Path("models").rglob("*") if p.is_file()],
        "canceled": client.jobs.get("long-v1").status,
        "taken": "already exists" in taken["message"],
        "listed": listed,
        "made": made.version,
        "models": [found.version for found in client.models.list("model")],
    }


def client_v1_continues():
    """Read what SDK v2 has made, archived and deleted; cancel a job of it, and register again."""
    from azureml.core import Experiment, Model

    from emulator_client import open_workspace, wait_for_status

    workspace = open_workspace()
    run = workspace.get_run("from-v2")
    run.download_file("outputs/model.pkl", "model.pkl")
    run.tag("seen", "v1")
    long = workspace.get_run("long-v2")
    long.cancel()
    canceled = wait_for_status(long, "Canceled")[-1]
    model = Model(workspace, "model", version=2)
    file = model.download("models", exist_ok=True)
    tagged = Experiment(workspace, "faults").get_runs(tags={"sdk": "v2"})
    return {
        "run": [run.id, run.get_status(), run.get_tags(), run.get_file_names()],
        "portal": run.get_portal_url().startswith("https://ml.azure.com/runs/from-v2"),
        "log": "rate 0.5" in Path(run.get_all_logs("logs")[0]).read_text(),
        "details": run.get_details()["status"],
        "size": [os.path.getsize("model.pkl"), os.path.getsize(file)],
        "tagged": [found.id for found in tagged],
        "canceled": canceled,
        "model": [model.tags, model.run_id],
        "listed": [found.id for found in Model.list(workspace, name="model")],
        "new": workspace.get_run("from-v1").register_model("model", "outputs/model.pkl").id,
        "old tags": workspace.get_run("from-v1").get_tags(),
        "deleted": "was not found" in capture(workspace.get_run, "failed-v1")["message"],
    }


def test_sdks_find_each_others_runs_and_models(shared_emulator, run_client):
    run_client(client_v1_submits)
    from_v1 = run_client(client_v2_continues)
    assert from_v1 == {
        "job": ["from-v1", "Completed", {"sdk": "v1"}, "cpu-cluster", "faults"],
        "downloaded": 500,
        "failure": True,
        "model": ["1", "custom_model", "from-v1", {"a": "1"}, {"sha256": "1"}],
        "model's size": [500],
        "canceled": "Canceled",
        "taken": True,
        "listed": ["from-v2", "long-v1", "from-v1"],
        "made": "2",
        "models": ["2"],
    }
    from_v2 = run_client(client_v1_continues)
    tags = {"sdk": "v2", "seen": "v1"}
    files = ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert from_v2 == {
        "run": ["from-v2", "Completed", tags, files],
        "portal": True,
        "log": True,
        "details": "Completed",
        "size": [500, 500],
        "tagged": ["from-v2"],
        "canceled": "Canceled",
        "model": [{"a": "2"}, "from-v2"],
        # The archived version is not listed, and its number stays taken.
        "listed": ["model:2"],
        "new": "model:3",
        "old tags": {"sdk": "v1", "seen": "v2"},
        "deleted": True,
    }
    assert shared_emulator.unknown() == []
