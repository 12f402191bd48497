"""Test that the SDK completes every step of Azure's MNIST tutorial against the emulator."""

from __future__ import annotations

import time
from pathlib import Path

from emulator_client import (
    LARGE_FILE_SIZE,
    MNIST_FILE_SIZES,
    capture,
    container_client,
    needs_sdk,
    open_workspace,
    submit_script,
    wait_for_status,
    write_arrays,
)
from emulator_script import LOGGED_METRICS

# ---- The client's steps --------------------------------------------------------------------------


def client_tutorial():
    """Do every step of the tutorial, and use the other SDK functions that the workflow needs."""
    workspace = open_workspace()
    result = {"workspace": [workspace.name, workspace.location, workspace.resource_group]}
    result["compute"] = create_cluster(workspace)
    result["mnist"] = download_mnist()
    dataset, result["data"] = register_dataset(workspace)
    result["environment"] = register_environment(workspace)
    run, result["run"] = complete_run(workspace, dataset)
    result["models"] = register_models(workspace, run)
    result["clean"] = delete_resources(workspace, dataset)
    return result


def create_cluster(workspace) -> list:
    """Create a cluster after the SDK has found none."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    missing = capture(ComputeTarget, workspace, "cpu-cluster")["message"]
    configuration = AmlCompute.provisioning_configuration(
        "STANDARD_D2_V2", min_nodes=0, max_nodes=4, idle_seconds_before_scaledown=120
    )
    cluster = ComputeTarget.create(workspace, "cpu-cluster", configuration)
    cluster.wait_for_completion(show_output=True, timeout_in_minutes=20)
    found = ComputeTarget(workspace, "cpu-cluster")
    scale = found.get_status().scale_settings
    nodes = [scale.minimum_node_count, scale.maximum_node_count]
    return ["ComputeTargetNotFound" in missing, found.provisioning_state, found.vm_size, nodes]


def download_mnist() -> list:
    """Download the open dataset, and return the names and sizes of its files."""
    from azureml.opendatasets import MNIST

    paths = MNIST.get_file_dataset().download("mnist", overwrite=True)
    return sorted((Path(path).name, Path(path).stat().st_size) for path in paths)


def register_dataset(workspace):
    """Upload a folder, register it twice, and get it by name and by version."""
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    folder = write_arrays()
    uploaded = Dataset.File.upload_directory(folder, (store, "arrays"), overwrite=True)
    first = uploaded.register(workspace, "arrays", tags={"sha256": "one"}, description="first")
    second = first.register(workspace, "arrays", tags={"sha256": "two"}, create_new_version=True)
    again = capture(first.register, workspace, "arrays")["message"]
    latest = Dataset.get_by_name(workspace, "arrays")
    old = Dataset.get_by_name(workspace, "arrays", version=1)
    paths = latest.download("downloaded")
    versions = [latest.version, dict(latest.tags), old.version, old.tags, old.description]
    latest.add_tags({"more": "yes"})
    registered = Dataset.get_all(workspace).registrations
    return second, {
        "sizes": {blob.name: blob.size for blob in container_client(store).list_blobs()},
        "downloaded": sorted(Path(path).stat().st_size for path in paths),
        "versions": versions,
        "again": "already a dataset" in again,
        "registered": [[dataset.name, dataset.version, dataset.tags] for dataset in registered],
    }


def register_environment(workspace) -> list:
    """Register an environment twice without a change, and once with a change."""
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    environment = Environment("tutorial-env")
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["scikit-learn"])
    versions = [environment.register(workspace).version, environment.register(workspace).version]
    environment.python.conda_dependencies.add_pip_package("joblib")
    changed = environment.register(workspace)
    first = Environment.get(workspace, "tutorial-env", version="1")
    listed = {name: latest.version for name, latest in Environment.list(workspace).items()}
    packages = list(first.python.conda_dependencies.pip_packages)
    return [versions, changed.version, packages, listed]


def complete_run(workspace, dataset):
    """Submit the script with a mounted input, follow its log, and read all results."""
    from azureml.core import Experiment, Run

    mounted = dataset.as_named_input("arrays").as_mount()
    options = {"tags": {"fingerprint": "abc"}, "inputs": ["--data", mounted]}
    run = submit_script(workspace, "--log", "--seconds", 3, **options)
    log_readable_while_running = follow_log(run)
    run.download_file("outputs/model.pkl", "model.pkl")
    experiment = Experiment(workspace, "faults")
    tagged = experiment.get_runs(tags={"fingerprint": "abc"}, include_children=True)
    other_tag = experiment.get_runs(tags={"fingerprint": "abd"})
    typed = experiment.get_runs(type="azureml.scriptrun", tags="fingerprint")
    snapshot = {"ContentSnapshotId": run.get_properties()["ContentSnapshotId"]}
    run.tag("collected", "yes")
    run.add_properties({"sha256": "123"})
    reloaded = Run.get(workspace, run.id)
    tags, sha256 = reloaded.get_tags(), reloaded.get_properties()["sha256"]
    return run, {
        "id": run.id,
        "portal": run.get_portal_url().startswith("https://ml.azure.com/runs/"),
        "status": run.get_status(),
        "log readable while running": log_readable_while_running,
        "metrics": run.get_metrics(),
        "files": run.get_file_names(),
        "log": Path(run.get_all_logs("logs")[0]).read_text().splitlines(),
        "size": Path("model.pkl").stat().st_size,
        "tagged": [found.id for found in tagged],
        "other tag": [found.id for found in other_tag],
        "typed": [found.id for found in typed],
        "properties": [found.id for found in experiment.get_runs(properties=snapshot)],
        "reloaded": [type(reloaded).__name__, tags, sha256],
        "by id": workspace.get_run(run.id).status,
    }


def follow_log(run) -> bool:
    """Tell whether the client can read the log's first lines while the run is running."""
    wait_for_status(run, "Running")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        details = run.get_details_with_logs()
        if "tick" in details["logFiles"].get("user_logs/std_log.txt", ""):
            break
        time.sleep(0.2)
    status = details["status"]
    run.wait_for_completion(show_output=True, wait_post_processing=True)
    return status == "Running"


def register_models(workspace, run) -> dict:
    """Register two versions of a model from the run, find them by each filter, and delete one."""
    from azureml.core import Model

    metadata = {"tags": {"accuracy": "0.75"}, "properties": {"sha256": "123"}}
    first = run.register_model("mnist", model_path="outputs/model.pkl", **metadata)
    second = run.register_model("mnist", model_path="outputs", description="a folder")
    second.add_tags({"kind": "folder"})

    def find(**filters):
        return [model.id for model in Model.list(workspace, **filters)]

    found = {
        "name": find(name="mnist"),
        "latest": find(name="mnist", latest=True),
        "tag": find(tags=[["accuracy", "0.75"]]),
        "tag's name": find(tags=["kind"]),
        "other tag": find(tags=[["accuracy", "0.5"]]),
        "property": find(properties=[["sha256", "123"]]),
        "run": find(run_id=run.id),
        "other name": find(name="other"),
    }
    file = Model(workspace, "mnist", version=1).download("models", exist_ok=True)
    folder = second.download("models", exist_ok=True)
    second.delete()
    return {
        "first": [first.id, first.version, first.tags, first.properties, first.run_id],
        "found": found,
        "downloaded": [file, folder],
        "after deletion": find(name="mnist"),
        "missing": capture(Model, workspace, "other")["error"],
    }


def delete_resources(workspace, dataset) -> list:
    """Unregister the dataset, delete its blobs and the cluster, and return what is left."""
    from azureml.core import Dataset
    from azureml.core.compute import ComputeTarget

    dataset.unregister_all_versions()
    container = container_client(workspace.get_default_datastore())
    for blob in container.list_blobs(name_starts_with="arrays/"):
        container.delete_blob(blob.name)
    cluster = ComputeTarget(workspace, "cpu-cluster")
    cluster.delete()
    cluster.wait_for_completion(is_delete_operation=True)
    counts = [len(Dataset.get_all(workspace)), len(list(container.list_blobs()))]
    return [*counts, list(workspace.compute_targets)]


# ---- The tests -----------------------------------------------------------------------------------


@needs_sdk
def test_sdk_completes_the_tutorial(shared_emulator, run_client):
    result = run_client(client_tutorial, timeout=150)
    assert result["workspace"] == ["emulated-workspace", "westeurope", "emulated-group"]
    assert result["compute"] == [True, "Succeeded", "STANDARD_D2_V2", [0, 4]]
    assert result["mnist"] == [[name, size] for name, size in MNIST_FILE_SIZES.items()]
    check_data(result["data"])
    assert result["environment"] == [["1", "1"], "2", ["scikit-learn"], {"tutorial-env": "2"}]
    check_run(result["run"])
    check_models(result["models"], result["run"]["id"])
    assert result["clean"] == [0, 0, []]
    assert shared_emulator.unknown() == []
    assert not [line for line in shared_emulator.requests() if line["status"] in (500, 501)]


def check_data(data: dict) -> None:
    """Check the results of `register_dataset`."""
    assert data["sizes"] == {"arrays/large.npy": LARGE_FILE_SIZE, "arrays/small.npy": 5}
    assert data["downloaded"] == [5, LARGE_FILE_SIZE]
    assert data["versions"] == [2, {"sha256": "two"}, 1, {"sha256": "one"}, "first"]
    assert data["again"]
    assert data["registered"] == [["arrays", 2, {"sha256": "two", "more": "yes"}]]


def check_run(run: dict) -> None:
    """Check the results of `complete_run`."""
    assert run["status"] == run["by id"] == "Completed"
    assert run["portal"] and run["log readable while running"]
    assert run["metrics"] == LOGGED_METRICS
    assert run["files"] == ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert run["log"][:2] == ["rate 0.5 variable here", "large.npy small.npy"]
    assert run["size"] == 500
    assert run["tagged"] == run["typed"] == run["properties"] == [run["id"]]
    assert run["other tag"] == []
    tags = {"fingerprint": "abc", "collected": "yes"}
    assert run["reloaded"] == ["ScriptRun", tags, "123"]


def check_models(models: dict, run_id: str) -> None:
    """Check the results of `register_models`."""
    assert models["first"] == ["mnist:1", 1, {"accuracy": "0.75"}, {"sha256": "123"}, run_id]
    assert models["found"] == {
        "name": ["mnist:2", "mnist:1"],
        "latest": ["mnist:2"],
        "tag": ["mnist:1"],
        "tag's name": ["mnist:2"],
        "other tag": [],
        "property": ["mnist:1"],
        "run": ["mnist:2", "mnist:1"],
        "other name": [],
    }
    assert models["downloaded"] == ["models/model.pkl", "models/outputs/model.pkl"]
    assert models["after deletion"] == ["mnist:1"]
    assert models["missing"] == "WebserviceException"


def test_emulator_writes_no_secret_to_its_folder(shared_emulator):
    secret = shared_emulator.entra.secret.encode()
    files = [path for path in shared_emulator.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_bytes()]
