"""Test that SDK v2 completes every step of Azure's MNIST tutorial against the emulator."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
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

#: Jobs of SDK v2 need no Azure package.
JOB_PYTHON = sys.executable

# ---- The client's steps --------------------------------------------------------------------------


def client_v2_tutorial():
    """Do every step of the tutorial, and use the other SDK functions that the workflow needs."""
    client = open_client()
    workspace = client.workspaces.get(client.workspace_name)
    result = {"workspace": [workspace.name, workspace.location, workspace.resource_group]}
    result["compute"] = create_cluster(client)
    result["data"] = find_data(client)
    result["uploads"] = upload_folder_twice(client)
    result["environment"] = find_environment(client)
    result["job"] = complete_job(client)
    result["output"] = write_named_output(client)
    result["models"] = register_models(client)
    result["clean"] = delete_resources(client)
    return result


def create_cluster(client) -> list:
    """Create a cluster after the SDK has found none."""
    from azure.ai.ml.entities import AmlCompute

    missing = capture(client.compute.get, "cpu-cluster")["error"]
    cluster = AmlCompute(
        name="cpu-cluster",
        size="STANDARD_D2_V2",
        min_instances=0,
        max_instances=4,
        idle_time_before_scale_down=120,
    )
    created = client.compute.begin_create_or_update(cluster).result()
    found = client.compute.get("cpu-cluster")
    nodes = [found.min_instances, found.max_instances, found.idle_time_before_scale_down]
    return [missing, created.name, found.provisioning_state, found.size, nodes]


def find_data(client) -> dict:
    """Register a folder of files, and find it again by its version, which is a checksum."""
    missing = capture(client.data.get, "arrays", "abc")["error"]
    register_data(client, "arrays", "abc")
    found = client.data.get("arrays", "abc")
    register_data(client, "arrays", "abd", b"other")
    return {
        "missing": missing,
        "found": [found.name, found.version, found.path, found.type],
        "versions": [data.version for data in client.data.list("arrays")],
    }


def upload_folder_twice(client) -> list:
    """Let the SDK upload an equal folder twice, and return how many blobs it sends."""
    from azure.ai.ml.entities import Data

    folder = Path("folder")
    folder.mkdir()
    (folder / "a.npy").write_bytes(b"a")
    (folder / "b.npy").write_bytes(b"b")
    numbers = [count_uploads()]
    for name in ("first", "second"):
        data = Data(name=name, version="1", path="folder", type="uri_folder")
        client.data.create_or_update(data)
        numbers.append(count_uploads())
    return [after - before for before, after in pairwise(numbers)]


def count_uploads() -> int:
    requests = control("GET", "requests")
    return sum(line["step"] == "put_blob" and line["status"] == 201 for line in requests)


def find_environment(client) -> list:
    """Register an environment with a version, and one whose versions the SDK counts."""
    register_environment(client, "pinned", "abc")
    found = client.environments.get("pinned", "abc")
    numbers = [
        register_environment(client, "counted", None, packages).version
        for packages in (["scikit-learn"], ["scikit-learn"], ["scikit-learn", "joblib"])
    ]
    return [found.name, found.version, found.image, numbers]


def complete_job(client) -> dict:
    """Submit the script with mounted data, follow its log, and read all results."""
    # The SDK sends facts about the repository of the current folder, or these variables.
    os.environ["AZUREML_GIT_REPOSITORY_URI"] = "emulated"
    options = {"max_seconds": 600, "tags": {"fingerprint": "abc"}}
    submitted = submit_job(client, "mnist-1", "--seconds 2", **options)
    wait_for_job(client, "mnist-1", "Running")
    # SDK 1.35.2 leaves run_id empty: it keeps the answer under the names of the service.
    busy = [vars(node)["runId"] for node in client.compute.list_nodes("cpu-cluster")]
    # While a job is running, the SDK would take the emulator's signature for an account key.
    wait_for_job(client, "mnist-1", "Completed")
    streamed = stream_job(client, "mnist-1")
    job = client.jobs.get("mnist-1")
    artifacts = open_container(client, "workspaceartifactstore")
    folder = "ExperimentRun/dcid.mnist-1/"
    files = {blob.name.removeprefix(folder): blob.size for blob in artifacts.list_blobs(folder)}
    log = artifacts.download_blob(f"{folder}user_logs/std_log.txt").readall().decode()
    client.jobs.download("mnist-1", download_path="downloaded")
    client.jobs.update("mnist-1", tags={"collected": "yes"})
    client.jobs.archive("mnist-1")
    return {
        "name": job.name,
        "studio": submitted.studio_url.partition("?")[0],
        "busy": busy,
        "streamed": streamed.splitlines()[0],
        "status": job.status,
        "experiment": job.experiment_name,
        "files": files,
        "log": log.splitlines(),
        "downloaded": Path("downloaded/artifacts/outputs/model.pkl").stat().st_size,
        "tags": dict(client.jobs.get("mnist-1").tags),
        "output": job.outputs["default"].path,
        "listed": [found.name for found in client.jobs.list()],
        "missing": capture(client.jobs.get, "mnist-2")["error"],
    }


def write_named_output(client) -> list:
    """Run a command without code that writes into a named output, and download the output."""
    from azure.ai.ml import Output

    text = "cp ${{inputs.data}}/small.npy ${{outputs.copy}}/copy.npy"
    outputs = {"copy": Output(type="uri_folder")}
    submit_job(client, "named-1", code=None, command=text, outputs=outputs)
    wait_for_job(client, "named-1", "Completed")
    client.jobs.download("named-1", download_path="named", output_name="copy")
    return [path.read_text() for path in Path("named/named-outputs/copy").iterdir()]


def register_models(client) -> dict:
    """Register two versions of a model from the job, download one, and archive one."""
    from azure.ai.ml.entities import Model

    path = "azureml://jobs/mnist-1/outputs/artifacts/paths/outputs/model.pkl"
    metadata = {"tags": {"accuracy": "0.75"}, "properties": {"model_sha256": "123"}}
    unknown = list(client.models.list("mnist"))
    models = [
        client.models.create_or_update(
            Model(name="mnist", path=path, type="custom_model", **metadata)
        )
        for _ in range(2)
    ]
    listed = list(client.models.list("mnist"))
    client.models.download("mnist", "1", download_path="models")
    client.models.archive("mnist", "2")
    return {
        "unknown": unknown,
        "versions": [model.version for model in models],
        "listed": [
            [model.version, model.job_name, model.tags, model.properties] for model in listed
        ],
        "downloaded": [p.stat().st_size for p in Path("models").rglob("*") if p.is_file()],
        "after archiving": [model.version for model in client.models.list("mnist")],
        "archived": client.models.get("mnist", "2").version,
        "next": client.models.create_or_update(Model(name="mnist", path=path)).version,
    }


def delete_resources(client) -> dict:
    """Archive what cannot be deleted, and delete blobs, a job and the cluster."""
    container = open_container(client)
    for blob in container.list_blobs("data/"):
        container.delete_blob(blob.name)
    client.data.archive("arrays", "abc")
    client.environments.archive("pinned", "abc")
    client.jobs.begin_delete("named-1").result()
    client.compute.begin_delete("cpu-cluster").result()
    return {
        "blobs": len(list(container.list_blobs("data/"))),
        "data": [data.version for data in client.data.list("arrays")],
        "environments": len(list(client.environments.list("pinned"))),
        "deleted": capture(client.jobs.get, "named-1")["error"],
        "computes": [compute.name for compute in client.compute.list()],
    }


# ---- The tests -----------------------------------------------------------------------------------


def test_sdk_v2_completes_the_tutorial(shared_emulator, run_client):
    result = run_client(client_v2_tutorial)
    assert result["workspace"] == ["emulated-workspace", "westeurope", "emulated-group"]
    created = ["cpu-cluster", "Succeeded", "STANDARD_D2_V2", [0, 4, 120]]
    assert result["compute"] == ["ResourceNotFoundError", *created]
    assert result["data"] == {
        "missing": "ResourceNotFoundError",
        "found": [
            "arrays",
            "abc",
            "azureml://datastores/workspaceblobstore/paths/data/arrays/abc/",
            "uri_folder",
        ],
        "versions": ["abd", "abc"],
    }
    # The SDK recognizes an equal folder by the metadata of its first blob.
    assert result["uploads"] == [2, 0]
    image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
    assert result["environment"] == ["pinned", "abc", image, ["1", "1", "2"]]
    check_job(result["job"])
    check_definition(shared_emulator.state()["jobs"]["mnist-1"])
    assert result["output"] == ["small"]
    check_models(result["models"])
    assert result["clean"] == {
        "blobs": 0,
        "data": ["1", "abd"],
        "environments": 0,
        "deleted": "ResourceNotFoundError",
        "computes": [],
    }
    assert shared_emulator.unknown() == []
    assert not [line for line in shared_emulator.requests() if line["status"] in (500, 501)]


def check_job(job: dict) -> None:
    """Check the results of `complete_job`."""
    assert job["status"] == "Completed" and job["busy"] == ["mnist-1"]
    assert job["studio"] == "https://ml.azure.com/runs/mnist-1"
    assert job["streamed"] == "RunId: mnist-1"
    assert job["experiment"] == "faults"
    assert job["files"]["outputs/model.pkl"] == job["downloaded"] == 500
    assert list(job["files"]) == ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert job["log"][:2] == ["rate 0.5 variable here", "small.npy"]
    assert job["tags"] == {"fingerprint": "abc", "collected": "yes"}
    assert job["output"].endswith("/ExperimentRun/dcid.mnist-1")
    # An archived job is not listed.
    assert job["listed"] == [] and job["missing"] == "ResourceNotFoundError"


def check_definition(definition: dict) -> None:
    """Check the properties of the job as the client sent them."""
    assert definition["properties"]["mlflow.source.git.repoURL"] == "emulated"
    assert definition["limits"] == {"jobLimitsType": "Command", "timeout": "PT10M"}
    assert list(definition["inputs"]) == ["data", "rate"]


def check_models(models: dict) -> None:
    """Check the results of `register_models`."""
    assert models["unknown"] == []
    assert models["versions"] == ["1", "2"]
    described = ["mnist-1", {"accuracy": "0.75"}, {"model_sha256": "123"}]
    assert models["listed"] == [["2", *described], ["1", *described]]
    assert models["downloaded"] == [500]
    # An archived version is found, but not listed, and its number stays taken.
    assert models["after archiving"] == ["1"]
    assert models["archived"] == "2" and models["next"] == "3"
