"""Run the whole workflow with the real SDK and the emulator.

The tests prove that our code drives the real SDK and leaves the right state in the workspace. They
do not prove that Azure accepts every byte.

Set AZUREML_TEST_CONFIG to the path of a real workspace's config.json to run
`test_the_whole_path_in_a_real_workspace` too. It costs as much as a short run on one node.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from azureml_client import (
    CLIENT,
    HANDLE,
    JOB,
    MODEL,
    RECEIPT,
    SDK,
    SDKS,
    TRAINING,
    Cloud,
    is_installed,
    needs_sdk,
    put_compute,
)
from azureml_emulator import Emulator
from checkout import TOP
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.code import code_files
from open_points import open_points
from samples import labelled_images, write_data_set
from schemas import schema

pytestmark = needs_sdk

#: How each SDK names the registered data and the environment. SDK v2's versions are checksums.
DATA, ENVIRONMENT = {
    "v1": ("dataset digits version 1", "environment tutorial-env version 1"),
    "v2": (r"data digits_arrays version \w{24}", r"environment tutorial-env version \w{24}"),
}[SDK]


CONFIG = ["dataset=digits", "regularization=0.5", "backend=azureml"]


@pytest.fixture(scope="module")
def cloud_run(parsed, tmp_path_factory):
    """Create a cluster, train and register the model. Provide the checkout and the output."""
    folder = tmp_path_factory.mktemp("cloud-run")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        output = cloud.succeed(RECEIPT, backend="azureml")
        yield cloud, output


def test_the_terminal_shows_each_step_of_the_tutorial(cloud_run):
    _, output = cloud_run
    for line in (
        "workspace emulated-workspace in westeurope, resource group emulated-group, "
        + {"v1": "azureml-core 1.", "v2": "azure-ai-ml 1."}[SDK],
        "cluster cpu-cluster: creating STANDARD_D2_V2, 0 to 4 nodes",
        f"{DATA}: registered",
        f"{ENVIRONMENT}: registered",
        "submitted, https://ml.azure.com/runs/",
        "| newton: 1437 images, rate 0.5",
        "sklearn_digits version 1 in workspace emulated-workspace",
    ):
        assert re.search(line, output), line
    assert re.search(r"\d s  Running", output) and re.search(r"\d s  Completed", output)
    # The SDKs write warnings of their own to the terminal, if they are allowed to.
    assert "experimental" not in output and "WARNING" not in output


def test_the_workspace_contains_everything_that_the_tutorial_creates(cloud_run):
    cloud, _ = cloud_run
    state, receipt = cloud.emulator.state(), cloud.json(RECEIPT)
    (run,) = state["runs"]
    assert run["tags"]["fingerprint"] == cloud.json(TRAINING)["fingerprint"]
    (data,) = state[{"v1": "datasets", "v2": "data"}[SDK]].values()
    assert receipt["sha256"]["data"] in json.dumps(data)
    assert len([name for name in state["blobs"] if receipt["sha256"]["data"] in name]) == 4
    (model,) = state["models"]
    assert model["properties"]["model_sha256"] == receipt["sha256"]["model"]
    assert model["runId"] == run["runId"] == receipt["run_id"]
    assert float(model["kvTags"]["accuracy"]) == receipt["metrics"]["accuracy"]
    assert model["kvTags"]["dataset"] == "digits"
    names = {str(found["label"]): found["name"] for found in receipt["classes"]}
    assert json.loads(model["kvTags"]["class_names"]) == names
    environments = state[{"v1": "environments", "v2": "environments_v2"}[SDK]]
    assert list(environments) == ["tutorial-env"]
    assert state["computes"]["cpu-cluster"]["settings"]["scaleSettings"]["maxNodeCount"] == 4
    if SDK == "v1":
        assert run["runDefinition"]["maxRunDurationSeconds"] == 7200
    else:
        assert state["jobs"][run["runId"]]["limits"]["timeout"] == "PT2H"
    metrics = cloud.json(TRAINING)["metrics"]
    assert metrics == {"regularization rate": 0.5, "accuracy": receipt["metrics"]["accuracy"]}


def test_no_request_goes_to_a_host_that_is_not_emulated(cloud_run):
    cloud, _ = cloud_run
    assert cloud.emulator.unknown() == []


def test_the_snapshot_contains_only_the_training_code(cloud_run):
    cloud, _ = cloud_run
    (run,) = (cloud.emulator.folder / "runs").iterdir()
    submitted = {path.relative_to(run / "source") for path in (run / "source").rglob("*.py")}
    scripts = TOP / "workflow/scripts"
    assert submitted == {path.relative_to(scripts) for path in code_files(scripts / "fit.py")}


def test_the_receipt_of_a_cloud_run_matches_its_schema(cloud_run):
    cloud, _ = cloud_run
    receipt = cloud.json(RECEIPT)
    schema("receipt").validate(receipt)
    schema("training").validate(cloud.json(TRAINING))
    assert (receipt["registry"], receipt["id"]) == ("azureml", "sklearn_digits:1")
    assert receipt["cluster"] == {"name": "cpu-cluster", "created": True}
    assert ("azureml-defaults" in receipt["environment"]) == (SDK == "v1")
    assert "scikit-learn" in receipt["environment"]


def test_cloud_and_local_training_give_the_same_model(cloud_run, tmp_path):
    cloud, _ = cloud_run
    # The interpreter of the tests has the pinned packages of local.txt.
    assert model_trained_here(cloud.path, tmp_path, "42") == sha256_of_file(cloud.path / MODEL)
    cloud_model, local_model = joblib.load(cloud.path / MODEL), joblib.load(tmp_path / "model.pkl")
    for one, other in zip(local_model.estimators_, cloud_model.estimators_, strict=True):
        np.testing.assert_array_equal(one.coef_, other.coef_)


def test_no_file_and_no_output_contains_the_secret(cloud_run):
    cloud, output = cloud_run
    secret = cloud.emulator.entra.secret
    assert len(secret) > 20
    written = [path for path in cloud.path.rglob("*") if path.is_file()]
    written += [path for path in (cloud.emulator.folder / "runs").rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    assert secret not in output
    assert secret not in json.dumps(cloud.emulator.state())
    # The logs contain no key and no signature of a storage account.
    logs = [path.read_text() for path in (cloud.path / "results/logs").glob("*.log")]
    assert not [text for text in logs if "sig=" in text or "AccountKey" in text]


def test_a_cloud_model_is_kept_under_azureml_and_auto_but_not_under_local(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    for backend in ("azureml", "auto"):
        assert "Nothing to be done" in cloud.succeed("-n", RECEIPT, backend=backend)
    assert re.search(r"train +1", cloud.succeed("-n", RECEIPT, backend="local"))
    # auto keeps an existing model even without config.json.
    (cloud.path / "config.json").unlink()
    assert "Nothing to be done" in cloud.succeed("-n", RECEIPT, backend="auto")


@pytest.mark.parametrize("module", ["preview.py", "image_workflow/backends/mlflow/registry.py"])
def test_an_edit_of_code_that_training_does_not_import_plans_no_training(
    cloud_run, tmp_path, module
):
    cloud = cloud_run[0].copied(tmp_path)
    with open(cloud.path / "workflow/scripts" / module, "a") as file:
        file.write("\n# edited\n")
    assert not re.search(r"^train ", cloud.succeed("-n", MODEL, backend="azureml"), re.M)


def test_an_edit_of_the_download_code_submits_no_run_if_the_data_stay_the_same(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    with open(cloud.path / "workflow/scripts/image_workflow/data/sources.py", "a") as file:
        file.write("\n# edited\n")
    assert "Download the train files" in cloud.succeed(MODEL, backend="azureml")
    assert len(cloud.runs()) == 1


def test_an_edit_of_the_client_code_downloads_from_the_completed_run(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    with open(
        cloud.path / "workflow/scripts/image_workflow/backends/azureml/backend.py", "a"
    ) as file:
        file.write("\n# edited\n")
    shutil.rmtree(cloud.path / "results/azureml")
    before = (cloud.path / MODEL).read_bytes()
    assert "found, Completed" in cloud.succeed(RECEIPT, backend="azureml")
    assert (cloud.path / MODEL).read_bytes() == before
    assert len(cloud.runs()) == 1 and cloud.models() == ["sklearn_digits:1"]


def test_a_workspace_has_no_champion_and_the_receipt_says_so(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    output = cloud.succeed(RECEIPT, backend="azureml", promote="true")
    assert "version 1 is not promoted: a workspace of Azure ML has no aliases." in output
    receipt = cloud.json(RECEIPT)
    assert (receipt["version"], receipt["promotion"]["promoted"]) == (1, False)
    schema("receipt").validate(receipt)


def test_the_job_of_sdk_v2_runs_without_any_azure_package(cloud_run):
    code = "from importlib.util import find_spec as f; print(f('azure'), f('azureml'))"
    printed = subprocess.run([JOB, "-c", code], check=True, capture_output=True, text=True).stdout
    assert (printed == "None None\n") == (SDK == "v2")


def test_the_open_points_hold_in_the_emulated_workspace(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path / "copy")
    other = call_with_the_other_sdk(cloud.path, tmp_path, ["--config", *CONFIG], cloud)
    for name in (MODEL, TRAINING, RECEIPT):
        (cloud.path / name).unlink()
    again = cloud.succeed(RECEIPT, backend="azureml")
    local = model_trained_here(cloud.path, tmp_path, "42")
    points = open_points(cloud.path, cloud_run[1], again, other, local)
    assert len(points) >= 7 and all(points.values()), points


def call_with_the_other_sdk(checkout: Path, folder: Path, config: list[str], cloud=None) -> str:
    """Call the workflow with the other SDK in a new folder, and return its output.

    Return an empty string if the other SDK is not installed.
    """
    (other,) = set(SDKS) - {SDK}
    if not is_installed(other):
        return ""
    shutil.copytree(checkout, folder / other)
    for name in (MODEL, TRAINING, RECEIPT):
        (folder / other / name).unlink()
    shutil.rmtree(folder / other / "results/azureml")
    ended = subprocess.run(
        [SDKS[other].client, "-m", "snakemake", "--cores", "1", RECEIPT, *config],
        cwd=folder / other,
        env=os.environ | (cloud.emulator.environment(cloud.home) if cloud else {}),
        capture_output=True,
        text=True,
    )
    return ended.stdout + ended.stderr


def model_trained_here(checkout: Path, folder: Path, seed: str) -> str:
    """Train on the checkout's arrays in this process's environment, and return the sha256."""
    command = [sys.executable, TOP / "workflow/scripts/fit.py", "--seed", seed]
    arguments = ["--data-folder", checkout / "results/arrays", "--regularization", "0.5"]
    output = ["--output", folder / "model.pkl"]
    subprocess.run([*command, *arguments, *output], check=True, capture_output=True)
    return sha256_of_file(folder / "model.pkl")


def test_another_rate_submits_a_run_and_cleanup_deletes_models_data_and_cluster(
    cloud_run, tmp_path
):
    cloud = cloud_run[0].copied(tmp_path)
    output = cloud.succeed(RECEIPT, backend="azureml", regularization="0.8")
    for line in (
        "cluster cpu-cluster: found",
        "there already",
        f"{DATA}: registered already",
        f"{ENVIRONMENT}: registered already",
    ):
        assert re.search(line, output)
    assert len(cloud.runs()) == 2 and cloud.json(RECEIPT)["version"] == 2
    assert cloud.json(RECEIPT)["cluster"]["created"]

    # Test the cleanup last, because it deletes what the other tests of this workspace use.
    status = cloud.succeed("azureml_status")
    assert "0 active of 2 runs in Tutorial-sklearn-digits" in status
    assert "model sklearn_digits version 2: accuracy" in status
    refused = cloud.fail("azureml_cleanup")
    assert "to delete: cluster cpu-cluster" in refused and "--config confirm=yes" in refused
    assert len(cloud.models()) == 2
    cleaned = cloud.succeed("azureml_cleanup", confirm="yes")
    state = cloud.emulator.state()
    if SDK == "v1":
        assert "kept: environment tutorial-env:1, which SDK v1 cannot delete" in cleaned
        assert state["datasets"] == {}
    else:
        assert "kept: run mnist-sklearn-" in cleaned and "archived: model sklearn" in cleaned
        assets = (state["data"]["digits_arrays"], state["environments_v2"]["tutorial-env"])
        assert all(found["isArchived"] for asset in assets for found in asset.values())
    left = [blob for blob in state["blobs"] if "mnist-sklearn/" in blob]
    assert cloud.models() == [] and (state["computes"], left) == ({}, [])
    assert "nothing to delete" in cloud.succeed("azureml_cleanup", confirm="yes")


def test_other_class_names_register_another_version_of_the_same_run(cloud):
    entries = cloud.path / "config/datasets.yaml"
    shipped = entries.read_text()
    cloud.succeed(RECEIPT, backend="azureml")
    names = ["nüll", *"123456789"]
    entries.write_text(f"{shipped}  classes: {json.dumps(names)}\n")
    output = cloud.succeed(RECEIPT, backend="azureml")
    assert not re.search(r"^(train|parse) ", output, re.M)
    first, second = cloud.emulator.state()["models"]
    assert list(json.loads(second["kvTags"]["class_names"]).values()) == names
    assert first["runId"] == second["runId"] and cloud.submitted() == 1
    assert cloud.json(RECEIPT)["version"] == 2
    entries.write_text(shipped)
    assert "registered already" in cloud.succeed(RECEIPT, backend="azureml")
    assert cloud.json(RECEIPT)["version"] == 1 and len(cloud.models()) == 2


def test_cleanup_keeps_a_cluster_that_the_workflow_did_not_create(cloud):
    put_compute(cloud.emulator, "theirs")
    cloud.succeed(RECEIPT, backend="azureml", env={"AML_COMPUTE_CLUSTER_NAME": "theirs"})
    assert cloud.json(RECEIPT)["cluster"] == {"name": "theirs", "created": False}
    cloud.succeed("azureml_cleanup", confirm="yes")
    assert set(cloud.emulator.state()["computes"]) == {"cpu-cluster", "theirs"}
    assert not cloud.exists(RECEIPT)


def test_field_case_the_cluster_is_renamed_after_the_training(bare):
    bare.succeed(MODEL, backend="azureml", env={"AML_COMPUTE_CLUSTER_NAME": "first"})
    # The environment variable names another cluster now, but no run is submitted to it.
    renamed = {"backend": "azureml", "env": {"AML_COMPUTE_CLUSTER_NAME": "second"}}
    bare.succeed(RECEIPT, model_name="other", **renamed)
    assert bare.submitted() == 1
    assert bare.json(RECEIPT)["cluster"] == {"name": "first", "created": True}
    # The receipt names the same cluster after the results and the handle were deleted.
    for name in (MODEL, TRAINING, RECEIPT, HANDLE):
        (bare.path / name).unlink()
    bare.succeed(RECEIPT, model_name="other", **renamed)
    assert bare.json(RECEIPT)["cluster"] == {"name": "first", "created": True}
    bare.succeed("azureml_cleanup", confirm="yes")
    assert bare.emulator.state()["computes"] == {}


@pytest.mark.skipif(SDK == "v2", reason="azureml-opendatasets needs SDK v1")
def test_download_gets_the_files_from_azure_open_datasets(emulator, tmp_path):
    folder = tmp_path / "mnist"
    files = write_data_set(
        folder, labelled_images(20, 6, 5, [0, 1]), labelled_images(8, 6, 5, [0, 1])
    )
    emulator.mnist = folder
    entry = {"files": files, "sources": [{"opendatasets": "MNIST"}]}
    targets = [f"{name}.gz" for name in files if name.startswith("train")]
    script = TOP / "workflow/scripts/download.py"
    command = [CLIENT, script, "--entry", json.dumps(entry), *targets]
    env = os.environ | emulator.environment(tmp_path / "home")
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "from opendatasets MNIST, sha256 verified" in ended.stderr
    assert (tmp_path / targets[0]).exists()


@pytest.mark.skipif(
    "AZUREML_TEST_CONFIG" not in os.environ,
    reason="opt-in: set AZUREML_TEST_CONFIG to the config.json of a real workspace",
)
def test_the_whole_path_in_a_real_workspace(parsed, tmp_path):
    checkout = parsed.copied(tmp_path / "checkout")
    shutil.copy(os.environ["AZUREML_TEST_CONFIG"], checkout.path / "config.json")
    # Another seed is another training, so that each test submits a run.
    seed = str(int(time.time()))
    config = ["--config", *CONFIG, f"seed={seed}", "model_name=mnist_sklearn_test", "confirm=yes"]

    def snakemake(target: str) -> str:
        command = [CLIENT, "-m", "snakemake", "--cores", "1", target, *config]
        ended = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    try:
        first = snakemake(RECEIPT)
        other = call_with_the_other_sdk(checkout.path, tmp_path, config)
        for name in (MODEL, TRAINING, RECEIPT):
            (checkout.path / name).unlink()
        again = snakemake(RECEIPT)
        local = model_trained_here(checkout.path, tmp_path, seed)
        points = open_points(checkout.path, first, again, other, local)
        for text, holds in points.items():
            print("holds:" if holds else "does not hold:", text)
    finally:
        print(snakemake("azureml_cleanup"))
    assert all(points.values())
