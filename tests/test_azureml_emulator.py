"""The real azureml-core against the emulator: the whole cloud path, and every fault.

Functions named `client_...` run in a process of their own, which only environment variables send to
the emulator; what they return comes back as JSON. They hold what proves that the emulator's answers
are those that the SDK reads. That Azure gives the same answers is not proved here.
"""

from __future__ import annotations

import contextlib
import doctest
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from itertools import groupby
from pathlib import Path

import pytest

from azureml_emulator import Emulator, faults, odata

#: The interpreter that has the SDK; it runs the clients and the jobs.
INTERPRETER = Path(__file__).parents[1] / ".venv-azureml/bin/python"

needs_sdk = pytest.mark.skipif(
    not (INTERPRETER.parents[1] / "installed").exists(),
    reason="the Azure ML SDK v1 is not installed: it needs CPython 3.11 (make setup-azureml)",
)

NAMES = [
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
]

#: Larger than a block of the native engine's uploads.
LARGE = 12_000_000

SCRIPT = """
import argparse, os, subprocess, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--seconds", type=float, default=0)
parser.add_argument("--code", type=int, default=0)
parser.add_argument("--log", action="store_true")
options = parser.parse_args()

print("rate", options.rate, "mark", os.environ.get("MARK"), flush=True)
if options.data:
    print(*sorted(p.name for p in Path(options.data).rglob("*") if p.is_file()))
if options.seconds:
    child = subprocess.Popen(["sleep", str(options.seconds)])
    print("child", child.pid, flush=True)
Path("outputs").mkdir()
Path("outputs/model.pkl").write_bytes(b"model" * 100)
if options.log:
    from azureml.core import Run

    run = Run.get_context()
    print("input", run.input_datasets["arrays"])
    run.log("regularization rate", options.rate)
    run.log("accuracy", 0.75)
    for row in ({"rate": 0.1, "score": 0.5}, {"rate": 0.5, "score": 0.75}):
        run.log_row("sweep", **row)
    run.flush()
for tick in range(int(options.seconds * 2)):
    print("tick", tick, flush=True)
    time.sleep(0.5)
if options.code:
    sys.exit("the last words")
"""

#: What the SDK reads of what that script has logged.
METRICS = {
    "regularization rate": 0.5,
    "accuracy": 0.75,
    "sweep": {"rate": [0.1, 0.5], "score": [0.5, 0.75]},
}


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """One emulator for all tests: each sets its own fault, and uses its own names."""
    folder = tmp_path_factory.mktemp("emulator")
    mnist = folder / "mnist"
    mnist.mkdir()
    for size, name in enumerate(NAMES, 1000):
        (mnist / name).write_bytes(bytes(size))
    with Emulator(folder / "state", python=str(INTERPRETER), mnist=mnist) as running:
        yield running


@pytest.fixture
def fault(emulator):
    """Put a fault in force until the end of the test."""
    yield emulator.faults.set
    emulator.faults.clear()


@pytest.fixture
def client(emulator, tmp_path):
    """Run a `client_...` function in a process of its own, and return its result."""

    def run(function, timeout=60, **arguments):
        process = start(emulator, tmp_path, function, **arguments)
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert process.returncode == 0, text
        return json.loads((tmp_path / "result.json").read_text())

    return run


def start(emulator, folder: Path, function, **arguments) -> subprocess.Popen:
    """Start a client process; its fresh home is below the folder."""
    command = [str(INTERPRETER), __file__, function.__name__, json.dumps(arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | emulator.environment(folder / "home"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# What the client processes share.


def connect():
    """Open the workspace as a service principal does."""
    from azureml.core import Workspace
    from azureml.core.authentication import ServicePrincipalAuthentication

    names = ("TENANT_ID", "ID", "PASSWORD")
    values = [os.environ[f"AZUREML_SERVICE_PRINCIPAL_{name}"] for name in names]
    auth = ServicePrincipalAuthentication(*values, cloud="AzureCloud")
    return Workspace.from_config(os.environ["AZUREML_EMULATOR_CONFIG"], auth=auth)


def control(method: str, path: str, **body):
    """Use the emulator's control surface from a client process."""
    request = urllib.request.Request(
        f"{os.environ['AZUREML_EMULATOR_URL']}/_emulator/{path}", json.dumps(body).encode()
    )
    request.method = method
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.load(opener.open(request))


def submit(workspace, *arguments, limit=None, inputs=(), **options):
    """Submit the script on a cluster that is there already."""
    from azureml.core import Environment, Experiment, RunConfiguration, ScriptRunConfig

    control("PUT", "computes/cpu-cluster")
    source = Path("source")
    source.mkdir(exist_ok=True)
    (source / "train.py").write_text(SCRIPT)
    (source / "package").mkdir(exist_ok=True)
    (source / "package" / "module.py").write_text("value = 1\n")
    settings = RunConfiguration()
    settings.target = "cpu-cluster"
    settings.environment = Environment("emulated")
    settings.environment_variables = {"MARK": "here"}
    settings.max_run_duration_seconds = limit
    arguments = [*map(str, arguments), *inputs]
    config = ScriptRunConfig(str(source), "train.py", arguments, run_config=settings)
    return Experiment(workspace, "faults").submit(config, **options)


def wait(run, *statuses, seconds=30):
    """Poll a run until it has one of the statuses, and return the statuses seen."""
    seen, deadline = [run.get_status()], time.monotonic() + seconds
    while seen[-1] not in statuses:
        assert time.monotonic() < deadline, seen
        time.sleep(0.2)
        status = run.get_status()
        seen += [status] if status != seen[-1] else []
    return seen


def outcome(function, *arguments, **options) -> dict:
    """Call a function, and return its result's text or its exception."""
    began = time.monotonic()
    try:
        result = {"result": repr(function(*arguments, **options))}
    except Exception as error:
        result = {"error": type(error).__name__, "message": str(error)}
    return result | {"seconds": time.monotonic() - began}


# The whole path.


def client_tutorial():
    """Every step of the tutorial, and what a workflow's other commands use."""
    workspace = connect()
    result = {"workspace": [workspace.name, workspace.location, workspace.resource_group]}
    result["compute"] = tutorial_compute(workspace)
    result["mnist"] = tutorial_mnist()
    dataset, result["data"] = tutorial_data(workspace)
    environment, result["environment"] = tutorial_environment(workspace)
    run, result["run"] = tutorial_run(workspace, dataset, environment)
    result["models"] = tutorial_models(workspace, run)
    result["clean"] = tutorial_clean(workspace, dataset)
    return result


def tutorial_compute(workspace) -> list:
    """Create a cluster, as it is not there."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    missing = outcome(ComputeTarget, workspace, "cpu-cluster")["message"]
    wanted = AmlCompute.provisioning_configuration(
        "STANDARD_D2_V2", min_nodes=0, max_nodes=4, idle_seconds_before_scaledown=120
    )
    cluster = ComputeTarget.create(workspace, "cpu-cluster", wanted)
    cluster.wait_for_completion(show_output=True, timeout_in_minutes=20)
    found = ComputeTarget(workspace, "cpu-cluster")
    scale = found.get_status().scale_settings
    nodes = [scale.minimum_node_count, scale.maximum_node_count]
    return ["ComputeTargetNotFound" in missing, found.provisioning_state, found.vm_size, nodes]


def tutorial_mnist() -> list:
    """Download the open dataset."""
    from azureml.opendatasets import MNIST

    paths = MNIST.get_file_dataset().download("mnist", overwrite=True)
    return sorted((Path(path).name, Path(path).stat().st_size) for path in paths)


def tutorial_data(workspace):
    """Upload a folder, register it twice, find it by name and by version."""
    from azureml.core import Dataset

    store = workspace.get_default_datastore()
    folder = Path("arrays")
    folder.mkdir()
    (folder / "small.npy").write_bytes(b"small")
    (folder / "large.npy").write_bytes(bytes(LARGE))
    uploaded = Dataset.File.upload_directory(str(folder), (store, "arrays"), overwrite=True)
    first = uploaded.register(workspace, "arrays", tags={"sha256": "one"}, description="first")
    second = first.register(workspace, "arrays", tags={"sha256": "two"}, create_new_version=True)
    again = outcome(first.register, workspace, "arrays")["message"]
    found = Dataset.get_by_name(workspace, "arrays")
    old = Dataset.get_by_name(workspace, "arrays", version=1)
    paths = found.download("downloaded")
    versions = [found.version, dict(found.tags), old.version, old.tags, old.description]
    found.add_tags({"more": "yes"})
    registered = Dataset.get_all(workspace).registrations
    return second, {
        "sizes": {blob.name: blob.size for blob in container(store).list_blobs()},
        "downloaded": sorted(Path(path).stat().st_size for path in paths),
        "versions": versions,
        "again": "already a dataset" in again,
        "registered": [[one.name, one.version, one.tags] for one in registered],
    }


def container(store):
    """Return the storage library's own view of a datastore."""
    return store.blob_service.get_container_client(store.container_name)


def tutorial_environment(workspace):
    """Register an environment twice, and once changed."""
    from azureml.core import Environment
    from azureml.core.conda_dependencies import CondaDependencies

    wanted = Environment("tutorial-env")
    wanted.python.conda_dependencies = CondaDependencies.create(pip_packages=["scikit-learn"])
    versions = [wanted.register(workspace).version, wanted.register(workspace).version]
    wanted.python.conda_dependencies.add_pip_package("joblib")
    changed = wanted.register(workspace)
    found = Environment.get(workspace, "tutorial-env", version="1")
    listed = {name: one.version for name, one in Environment.list(workspace).items()}
    packages = list(found.python.conda_dependencies.pip_packages)
    return changed, [versions, changed.version, packages, listed]


def tutorial_run(workspace, dataset, environment):
    """Submit with a mounted input, stream the log, read everything back."""
    from azureml.core import Experiment, Run

    mounted = dataset.as_named_input("arrays").as_mount()
    options = {"tags": {"fingerprint": "abc"}, "inputs": ["--data", mounted]}
    run = submit(workspace, "--log", "--seconds", 3, **options)
    streamed = stream(run)
    run.download_file("outputs/model.pkl", "model.pkl")
    experiment = Experiment(workspace, "faults")
    tagged = experiment.get_runs(tags={"fingerprint": "abc"}, include_children=True)
    other = experiment.get_runs(tags={"fingerprint": "abd"})
    typed = experiment.get_runs(type="azureml.scriptrun", tags="fingerprint")
    snapshot = {"ContentSnapshotId": run.get_properties()["ContentSnapshotId"]}
    run.tag("collected", "yes")
    run.add_properties({"sha256": "123"})
    again = Run.get(workspace, run.id)
    return run, {
        "id": run.id,
        "portal": run.get_portal_url().startswith("https://ml.azure.com/runs/"),
        "status": run.get_status(),
        "streamed": streamed,
        "metrics": run.get_metrics(),
        "files": run.get_file_names(),
        "log": Path(run.get_all_logs("logs")[0]).read_text().splitlines(),
        "size": Path("model.pkl").stat().st_size,
        "tagged": [one.id for one in tagged],
        "other": [one.id for one in other],
        "typed": [one.id for one in typed],
        "properties": [one.id for one in experiment.get_runs(properties=snapshot)],
        "again": [type(again).__name__, again.get_tags(), again.get_properties()["sha256"]],
        "by id": workspace.get_run(run.id).status,
    }


def stream(run) -> bool:
    """Tell whether the log's first lines can be read while the run is running."""
    wait(run, "Running")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        details = run.get_details_with_logs()
        if "tick" in details["logFiles"].get("user_logs/std_log.txt", ""):
            break
        time.sleep(0.2)
    during = details["status"]
    run.wait_for_completion(show_output=True, wait_post_processing=True)
    return during == "Running"


def tutorial_models(workspace, run) -> dict:
    """Register a model from the run, and find it in every way."""
    from azureml.core import Model

    about = {"tags": {"accuracy": "0.75"}, "properties": {"sha256": "123"}}
    first = run.register_model("mnist", model_path="outputs/model.pkl", **about)
    second = run.register_model("mnist", model_path="outputs", description="a folder")
    second.add_tags({"kind": "folder"})

    def names(**wanted):
        return [model.id for model in Model.list(workspace, **wanted)]

    found = {
        "name": names(name="mnist"),
        "latest": names(name="mnist", latest=True),
        "tag": names(tags=[["accuracy", "0.75"]]),
        "tag's name": names(tags=["kind"]),
        "other tag": names(tags=[["accuracy", "0.5"]]),
        "property": names(properties=[["sha256", "123"]]),
        "run": names(run_id=run.id),
        "nothing": names(name="other"),
    }
    path = Model(workspace, "mnist", version=1).download("models", exist_ok=True)
    folder = second.download("models", exist_ok=True)
    second.delete()
    return {
        "first": [first.id, first.version, first.tags, first.properties, first.run_id],
        "found": found,
        "downloaded": [path, folder],
        "left": names(name="mnist"),
        "missing": outcome(Model, workspace, "other")["error"],
    }


def tutorial_clean(workspace, dataset) -> list:
    """Unregister the data, delete its blobs and the cluster."""
    from azureml.core import Dataset
    from azureml.core.compute import ComputeTarget

    dataset.unregister_all_versions()
    blobs = container(workspace.get_default_datastore())
    for blob in blobs.list_blobs(name_starts_with="arrays/"):
        blobs.delete_blob(blob.name)
    cluster = ComputeTarget(workspace, "cpu-cluster")
    cluster.delete()
    cluster.wait_for_completion(is_delete_operation=True)
    left = [len(Dataset.get_all(workspace)), len(list(blobs.list_blobs()))]
    return [*left, list(workspace.compute_targets)]


@needs_sdk
def test_tutorial(emulator, client):
    result = client(client_tutorial, timeout=150)
    assert result["workspace"] == ["emulated-workspace", "westeurope", "emulated-group"]
    assert result["compute"] == [True, "Succeeded", "STANDARD_D2_V2", [0, 4]]
    assert result["mnist"] == [[name, size] for size, name in enumerate(NAMES, 1000)]
    check_data(result["data"])
    assert result["environment"] == [["1", "1"], "2", ["scikit-learn"], {"tutorial-env": "2"}]
    check_run(result["run"])
    check_models(result["models"], result["run"]["id"])
    assert result["clean"] == [0, 0, []]
    assert emulator.unknown() == []
    assert not [line for line in emulator.requests() if line["status"] in (500, 501)]


def check_data(data: dict) -> None:
    """Check what the tutorial's data step has seen."""
    assert data["sizes"] == {"arrays/large.npy": LARGE, "arrays/small.npy": 5}
    assert data["downloaded"] == [5, LARGE]
    assert data["versions"] == [2, {"sha256": "two"}, 1, {"sha256": "one"}, "first"]
    assert data["again"]
    assert data["registered"] == [["arrays", 2, {"sha256": "two", "more": "yes"}]]


def check_run(run: dict) -> None:
    """Check what the tutorial's run has given."""
    assert run["status"] == run["by id"] == "Completed"
    assert run["portal"] and run["streamed"]
    assert run["metrics"] == METRICS
    assert run["files"] == ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert run["log"][:2] == ["rate 0.5 mark here", "large.npy small.npy"]
    assert run["size"] == 500
    assert run["tagged"] == run["typed"] == run["properties"] == [run["id"]]
    assert run["other"] == []
    tags = {"fingerprint": "abc", "collected": "yes"}
    assert run["again"] == ["ScriptRun", tags, "123"]


def check_models(models: dict, run_id: str) -> None:
    """Check what the tutorial's registrations have given."""
    assert models["first"] == ["mnist:1", 1, {"accuracy": "0.75"}, {"sha256": "123"}, run_id]
    assert models["found"] == {
        "name": ["mnist:2", "mnist:1"],
        "latest": ["mnist:2"],
        "tag": ["mnist:1"],
        "tag's name": ["mnist:2"],
        "other tag": [],
        "property": ["mnist:1"],
        "run": ["mnist:2", "mnist:1"],
        "nothing": [],
    }
    assert models["downloaded"] == ["models/model.pkl", "models/outputs/model.pkl"]
    assert models["left"] == ["mnist:1"]
    assert models["missing"] == "WebserviceException"


# Faults before a run.


def client_connect():
    """Open the workspace under each fault of the way there."""
    results = {}
    for name in ("wrong_secret", "unknown_workspace", "unknown_subscription"):
        control("PUT", f"faults/{name}", times=1)
        results[name] = outcome(connect)
    control("PUT", "faults/no_permission", times=1, step="get_workspace")
    results["no_permission"] = outcome(connect)
    results["none"] = outcome(connect)
    return results


@needs_sdk
def test_connection_faults(emulator, client):
    results = client(client_connect)
    shown = {name: result.get("error") for name, result in results.items()}
    assert shown == {
        "wrong_secret": "AuthenticationError",
        "unknown_workspace": "ProjectSystemException",
        "unknown_subscription": "UserErrorException",
        "no_permission": "ProjectSystemException",
        "none": None,
    }
    assert "AADSTS7000215: Invalid client secret" in results["wrong_secret"]["message"]
    assert "Workspace not found." in results["unknown_workspace"]["message"]
    assert "You don't have access" in results["unknown_subscription"]["message"]
    assert "AuthorizationFailed" in results["no_permission"]["message"]


def client_compute():
    """Create a cluster without the permission, then without the quota."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    workspace = connect()
    wanted = AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=4)
    control("PUT", "faults/no_permission", times=1, step="create_compute")
    refused = outcome(ComputeTarget.create, workspace, "refused", wanted)
    control("PUT", "faults/quota_exceeded", times=1)
    cluster = ComputeTarget.create(workspace, "poor", wanted)
    failed = outcome(cluster.wait_for_completion)
    control("PUT", "computes/notebook", computeType="ComputeInstance")
    other = type(ComputeTarget(workspace, "notebook")).__name__
    return [refused, failed, cluster.provisioning_state, cluster.get_status(), other]


@needs_sdk
def test_compute_faults(emulator, client):
    refused, failed, state, status, other = client(client_compute)
    assert refused["error"] == failed["error"] == "ComputeTargetException"
    assert "Response Code: 403" in refused["message"]
    assert "ClusterCoreQuotaReached" in failed["message"]
    # A failed cluster stays there, and has no status.
    assert (state, status) == ("Failed", None)
    computes = emulator.state()["computes"]
    assert computes["poor"]["provisioningState"] == "Failed" and "refused" not in computes
    assert other == "ComputeInstance"


def client_upload():
    """Upload a folder while parts of blobs are refused."""
    from azureml.core import Dataset

    store = connect().get_default_datastore()
    folder = Path("arrays")
    folder.mkdir()
    (folder / "small.npy").write_bytes(b"small")
    (folder / "large.npy").write_bytes(bytes(LARGE))
    control("PUT", "faults/blob_part_refused")
    uploaded = outcome(Dataset.File.upload_directory, str(folder), (store, "refused"))
    sizes = {blob.name: blob.size for blob in container(store).list_blobs("refused/")}
    return [uploaded.get("error"), sizes]


@needs_sdk
def test_a_refused_part_of_an_upload_goes_unnoticed(client, fault):
    error, sizes = client(client_upload)
    assert error is None
    assert sizes.get("refused/large.npy", 0) != LARGE


# Faults of a run.


def client_submit():
    """Submit without permission, with an answer that gets lost, and with an id twice."""
    workspace = connect()
    control("PUT", "faults/no_permission", times=1, step="submit_run")
    refused = outcome(submit, workspace, run_id="refused")
    control("PUT", "faults/answer_lost", times=1, step="submit_run")
    lost = outcome(submit, workspace, run_id="lost", tags={"fingerprint": "lost"})
    run = workspace.get_run("lost")
    wait(run, "Completed")
    control("PUT", "faults/answer_lost", times=1, step="register_model")
    model = run.register_model("twice", model_path="outputs/model.pkl")
    return [refused, lost, run.get_tags(), model.version]


@needs_sdk
def test_submission_faults(emulator, client):
    refused, lost, tags, version = client(client_submit)
    assert refused["error"] == lost["error"] == "ExperimentExecutionException"
    assert "AuthorizationFailed" in refused["message"]
    # The SDK repeats what it got no answer to: the run is there, its tags are not, and a model
    # has been registered twice.
    assert "already exists" in lost["message"]
    assert tags == {}
    assert version == 2
    state = emulator.state()
    assert [run["runId"] for run in state["runs"] if run["runId"] in ("refused", "lost")] == [
        "lost"
    ]


def client_failures():
    """A build that fails, a script that fails, outputs that are lost, late metrics."""
    workspace = connect()
    control("PUT", "faults/image_build_failed", times=1)
    build = submit(workspace)
    built = outcome(build.wait_for_completion, show_output=True)
    logs = list(build.get_details()["logFiles"])
    script = submit(workspace, "--code", 3)
    failed = outcome(script.wait_for_completion, wait_post_processing=True)
    files = script.get_file_names()
    control("PUT", "faults/missing_output", times=1)
    missing = submit(workspace)
    wait(missing, "Completed")
    download = outcome(missing.download_file, "outputs/model.pkl", "model.pkl")
    register = outcome(missing.register_model, "missing", model_path="outputs/model.pkl")
    return [built, logs, failed, files, download, register]


@needs_sdk
def test_failures_of_runs(client):
    built, logs, failed, files, download, register = client(client_failures)
    assert built["error"] == failed["error"] == "ActivityFailedException"
    assert "ImageBuildFailure" in built["message"]
    assert logs == ["azureml-logs/20_image_build_log.txt"]
    assert "exited with status code 1" in failed["message"]
    assert "the last words" in failed["message"]
    assert files == ["outputs/model.pkl", "user_logs/std_log.txt"]
    assert download["error"] == "UserErrorException"
    assert register["error"] == "ModelPathNotFoundException"


def client_cancellations():
    """Cancel in the portal, by the client, and by the time limit; wait in a slow queue."""
    workspace = connect()
    portal = submit(workspace, "--seconds", 60)
    wait(portal, "Running")
    deadline = time.monotonic() + 10
    while not (child := child_of(portal)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    control("POST", f"runs/{portal.id}/cancel")
    canceled = outcome(portal.wait_for_completion)
    limited = submit(workspace, "--seconds", 60, limit=1)
    limits = wait(limited, "Canceled")
    warning = limited.get_details()["warnings"][0]["message"]
    control("PUT", "faults/slow_queue")
    queued, patient = submit(workspace), submit(workspace)
    statuses = wait(queued, "Queued")
    queued.cancel()
    statuses += wait(queued, "Canceled") + wait(patient, "Queued")
    control("DELETE", "faults/slow_queue")
    statuses += wait(patient, "Completed")
    statuses = [status for status, _ in groupby(statuses)]
    return [portal.get_status(), canceled, child, limits, warning, statuses]


def child_of(run) -> str:
    """Return the process id of the script's child, from its log."""
    log = run.get_details_with_logs()["logFiles"].get("user_logs/std_log.txt", "")
    return log.partition("child ")[2].partition("\n")[0]


@needs_sdk
def test_cancellations(client):
    portal, canceled, child, limits, warning, statuses = client(client_cancellations)
    # Nothing is raised for a run that somebody else canceled.
    assert portal == "Canceled" and "error" not in canceled
    assert not Path(f"/proc/{child}").exists()
    assert limits[-1] == "Canceled" and "maximum duration" in warning
    assert [one for one in statuses if one in ("Queued", "Canceled", "Completed")] == [
        "Queued",
        "Canceled",
        "Queued",
        "Completed",
    ]


def client_late():
    """Read metrics before and after they become visible."""
    from azureml.core import Dataset

    workspace = connect()
    folder = Path("arrays")
    folder.mkdir()
    (folder / "small.npy").write_bytes(b"small")
    store = workspace.get_default_datastore()
    uploaded = Dataset.File.upload_directory(str(folder), (store, "late"))
    control("PUT", "faults/metrics_late", seconds=4)
    arrays = uploaded.as_named_input("arrays").as_download()
    run = submit(workspace, "--log", inputs=["--data", arrays])
    wait(run, "Completed")
    early = run.get_metrics()
    time.sleep(5)
    return [early, run.get_metrics()]


@needs_sdk
def test_late_metrics(client, fault):
    early, late = client(client_late)
    assert early == {}
    assert late == METRICS


def client_gone():
    """Poll a run while the service is away for a moment, then for long."""
    workspace = connect()
    run = submit(workspace, "--seconds", 2)
    control("PUT", "faults/service_gone", seconds=3)
    short = outcome(run.get_status)
    control("PUT", "faults/service_gone")
    long = outcome(workspace.get_run, run.id)
    control("DELETE", "faults")
    control("PUT", "faults/server_error", step="get_run", times=2)
    return [short, long, wait(run, "Completed")]


@needs_sdk
def test_a_service_that_goes_away_and_comes_back(client, fault):
    short, long, statuses = client(client_gone)
    # The SDK repeats the request for some 20 seconds, then gives up; the run has not noticed.
    assert "error" not in short and short["seconds"] > 1
    assert long["error"] == "ClientRequestError" and 10 < long["seconds"] < 40
    assert statuses[-1] == "Completed"


def client_black_hole():
    """Open the workspace."""
    return connect().name


@needs_sdk
def test_a_black_hole_makes_the_sdk_hang(client, fault, emulator):
    fault("black_hole")
    before = len(emulator.requests())
    with pytest.raises(subprocess.TimeoutExpired):
        client(client_black_hole, timeout=6)
    assert len(emulator.requests()) == before
    emulator.faults.clear()
    assert client(client_black_hole) == "emulated-workspace"


def client_leave():
    """Submit a long run, and leave it."""
    run = submit(connect(), "--seconds", 60)
    wait(run, "Running")
    while not (child := child_of(run)):
        time.sleep(0.2)
    return child


@needs_sdk
def test_no_process_outlives_the_emulator(tmp_path):
    with Emulator(tmp_path / "state") as emulator:
        process = start(emulator, tmp_path, client_leave)
        text, _ = process.communicate(timeout=60)
        assert process.returncode == 0, text
        child = json.loads((tmp_path / "result.json").read_text())
        assert Path(f"/proc/{child}").exists()
    assert not Path(f"/proc/{child}").exists()


# The emulator by itself.


@contextlib.contextmanager
def tunnel(emulator, host: str):
    """Open a connection to a host through the proxy, as a client that speaks HTTP/1.1 only."""
    context = ssl.create_default_context(cafile=emulator.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    port = int(emulator.url.rpartition(":")[2])
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.set_tunnel(host, 443)
    with contextlib.closing(connection):
        yield connection


def exchange(connection, method: str, path: str, body=None, headers=None, **options):
    """Send a request, and return the answer's status, body and headers."""
    connection.request(method, path, body, headers or {}, **options)
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def test_unknown_hosts_are_refused_and_logged(emulator):
    with tunnel(emulator, "example.com") as connection:
        assert exchange(connection, "GET", "/secret?sig=confidential")[0] == 502
    (line,) = emulator.unknown()
    assert (line["host"], line["path"], line["status"]) == ("example.com", "/secret", 502)
    assert "confidential" not in (emulator.folder / "requests.jsonl").read_text()


def test_plain_requests_to_other_hosts_are_refused(emulator):
    port = int(emulator.url.rpartition(":")[2])
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        assert exchange(connection, "GET", "http://169.254.169.254/metadata")[0] == 502
        assert exchange(connection, "GET", "/_emulator/nonsense")[0] == 501


def test_blobs(emulator):
    with tunnel(emulator, "some.blob.core.windows.net") as connection:
        chunked = {"body": iter([b"abc", b"defg"]), "encode_chunked": True}
        headers = {"Transfer-Encoding": "chunked", "x-ms-blob-type": "BlockBlob"}
        assert exchange(connection, "PUT", "/box/a%20b", headers=headers, **chunked)[0] == 201
        status, body, found = exchange(
            connection, "GET", "/box/a%20b", headers={"Range": "bytes=2-3"}
        )
        assert (status, body, found["Content-Range"]) == (206, b"cd", "bytes 2-3/7")
        assert exchange(connection, "HEAD", "/box/a%20b")[2]["Content-Length"] == "7"
        for block, text in (("MQ==", b"one"), ("Mg==", b"two")):
            assert exchange(connection, "PUT", f"/box/c?comp=block&blockid={block}", text)[0] == 201
        order = b"<BlockList><Latest>Mg==</Latest><Latest>MQ==</Latest></BlockList>"
        assert exchange(connection, "PUT", "/box/c?comp=blocklist", order)[0] == 201
        assert exchange(connection, "PUT", "/box/c?comp=appendblock", b"!")[0] == 201
        assert exchange(connection, "GET", "/box/c")[1] == b"twoone!"
        listed = exchange(connection, "GET", "/box?restype=container&comp=list")[1].decode()
        assert "<Name>a b</Name>" in listed and "<Name>c</Name>" in listed
        assert exchange(connection, "PUT", "/box/c?comp=blocklist", order)[0] == 400
        assert exchange(connection, "DELETE", "/box/c")[0] == 202
        assert exchange(connection, "GET", "/box/c")[0] == 404


def test_a_client_may_wait_for_permission_to_send(emulator):
    with tunnel(emulator, "some.blob.core.windows.net") as connection:
        connection.connect()
        connection.sock.sendall(
            b"PUT /box/late HTTP/1.1\r\nHost: some.blob.core.windows.net\r\n"
            b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 100")
        connection.sock.sendall(b"hi")
        assert connection.sock.recv(100).startswith(b"HTTP/1.1 201")
        assert connection.sock.selected_alpn_protocol() == "http/1.1"


def test_a_client_that_dies_leaves_no_half_blob(emulator):
    host = "some.blob.core.windows.net"
    start = f"PUT /box/half HTTP/1.1\r\nHost: {host}\r\n".encode()
    for rest in (
        b"Content-Length: 9\r\n\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ):
        with tunnel(emulator, host) as connection:
            connection.connect()
            connection.sock.sendall(start + rest)
        with tunnel(emulator, host) as connection:
            assert exchange(connection, "HEAD", "/box/half")[0] == 404


def test_services_want_a_token_and_the_right_workspace(emulator):
    path = f"/history/v1.0{emulator.scope}/experiments/none"
    headers = {"Authorization": f"Bearer {emulator.entra.issue('test')}"}
    with tunnel(emulator, "westeurope.api.azureml.ms") as connection:
        assert exchange(connection, "GET", path)[0] == 401
        other = path.replace("emulated-workspace", "other")
        status, body, _ = exchange(connection, "GET", other, headers=headers)
        assert (status, json.loads(body)["error"]["code"]) == (404, "ResourceNotFound")


def test_a_gone_service_resets_connections(emulator, fault):
    with tunnel(emulator, "westeurope.api.azureml.ms") as connection:
        connection.connect()
        fault("service_gone")
        with pytest.raises(ConnectionError):
            exchange(connection, "GET", "/")
        with pytest.raises(ConnectionError):
            connection.connect()


def test_secrets_are_not_written(emulator):
    secret = emulator.entra.secret.encode()
    files = [path for path in emulator.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if secret in path.read_bytes()]


def test_faults_know_their_names(emulator):
    with pytest.raises(ValueError, match="unknown fault 'rain', expected one of wrong_secret"):
        emulator.faults.set("rain")
    with pytest.raises(ValueError, match="unknown option often"):
        emulator.faults.set("slow_queue", often=True)
    assert all(faults.FAULTS.values())


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (None, True),
        ('(Tags/a eq "x y")', True),
        ('((Tags/a eq "x y") and (Tags/b eq "2"))', False),
        ('(Tags/a eq "z") or (Status eq Failed)', True),
        ("(Status eq Failed) and (Status ne Failed)", False),
        (
            "(RunType eq azureml.scriptrun or Properties/azureml.runsource eq azureml.scriptrun)",
            False,
        ),
        ("(Properties/azureml.git.dirty ne null or Properties/azureml.git.dirty eq null)", True),
        ("(ParentRunId eq null)", True),
        ("(CreatedUtc ge 2026-01-01 00:00:00+00:00)", True),
        ("RunId eq other or RunId eq mine", True),
    ],
)
def test_filters(expression, expected):
    run = {"runId": "mine", "status": "Failed", "tags": {"a": "x y"}}
    run |= {"createdUtc": "2026-02-01T10:00:00Z", "properties": {"azureml.git.dirty": "True"}}
    assert odata.matches(expression, run) is expected


def test_examples_of_filters():
    assert doctest.testmod(odata).failed == 0


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "azureml_emulator", "--state", str(tmp_path / "state")]
    command += ["--fault", 'slow_queue={"seconds": 3}']
    folder = Path(__file__).parent
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        lines = list(iter(process.stdout.readline, "# ready\n"))
        exports = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines)
        url = exports["AZUREML_EMULATOR_URL"]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        faults = json.load(opener.open(f"{url}/_emulator/faults"))
        assert faults == {"slow_queue": {"times": None, "seconds": 3}}
        assert Path(exports["AZUREML_EMULATOR_CONFIG"]).exists() and Path(exports["HOME"]).exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))


if __name__ == "__main__":
    returned = globals()[sys.argv[1]](**json.loads(sys.argv[2]))
    Path("result.json").write_text(json.dumps(returned))
