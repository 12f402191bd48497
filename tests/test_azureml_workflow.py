"""The whole workflow through the real SDK: the same files as locally, and nothing paid for twice.

What the emulator proves is that our code drives the real SDK and leaves the right state; not that
Azure accepts every byte. With AZUREML_TEST_CONFIG, the path of a real workspace's config.json,
`test_the_whole_path` runs there instead, and costs what a short run on one node costs.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import joblib
import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator

from azureml_client import (
    CLIENT,
    JOB,
    MODEL,
    RECEIPT,
    TRAINING,
    Cloud,
    needs_sdk,
    put_compute,
)
from azureml_emulator import Emulator
from checkout import TOP
from lib import code
from samples import labelled_images, write_data_set

pytestmark = needs_sdk


@pytest.fixture(scope="module")
def done(parsed, tmp_path_factory):
    """A checkout whose model was trained and registered in the cloud, cluster and all."""
    folder = tmp_path_factory.mktemp("done")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        said = cloud.succeed(RECEIPT, backend="azureml")
        yield cloud, said


def test_the_steps_of_the_tutorial_are_shown(done):
    _, said = done
    for line in (
        "workspace emulated-workspace in westeurope, resource group emulated-group, azureml-core",
        "cluster cpu-cluster: creating STANDARD_D2_V2, 0 to 4 nodes",
        "dataset mnist_opendataset version 1: registered",
        "environment tutorial-env version 1: registered",
        "submitted, https://ml.azure.com/runs/",
        "| newton: 1437 images, regularization rate 0.5",
        "sklearn_mnist version 1 in workspace emulated-workspace",
    ):
        assert line in said
    assert re.search(r"\d s  Running", said) and re.search(r"\d s  Completed", said)


def test_the_workspace_has_what_the_tutorial_leaves_there(done):
    cloud, _ = done
    state, receipt = cloud.emulator.state(), cloud.json(RECEIPT)
    (run,) = state["runs"]
    assert run["tags"]["fingerprint"] == cloud.json(TRAINING)["fingerprint"]
    (dataset,) = state["datasets"].values() if isinstance(state["datasets"], dict) else [None]
    assert receipt["sha256"]["data"] in json.dumps(dataset)
    assert len([name for name in state["blobs"] if receipt["sha256"]["data"] in name]) == 4
    (model,) = state["models"]
    assert model["properties"]["model_sha256"] == receipt["sha256"]["model"]
    assert model["runId"] == run["runId"] == receipt["run_id"]
    assert float(model["kvTags"]["accuracy"]) == receipt["metrics"]["accuracy"]
    assert list(state["environments"]) == ["tutorial-env"]
    assert state["computes"]["cpu-cluster"]["settings"]["scaleSettings"]["maxNodeCount"] == 4
    assert run["runDefinition"]["maxRunDurationSeconds"] == 7200
    metrics = cloud.json(TRAINING)["metrics"]
    assert metrics == {"regularization rate": 0.5, "accuracy": receipt["metrics"]["accuracy"]}


def test_no_request_goes_to_an_unknown_host(done):
    cloud, _ = done
    assert cloud.emulator.unknown() == []


def test_the_snapshot_has_the_training_code_and_nothing_else(done):
    cloud, _ = done
    (run,) = (cloud.emulator.folder / "runs").iterdir()
    sent = {path.relative_to(run / "source") for path in (run / "source").rglob("*.py")}
    scripts = TOP / "workflow/scripts"
    assert sent == {path.relative_to(scripts) for path in code.files(scripts / "train.py")}


def test_the_receipt_is_as_its_schema_says(done):
    cloud, _ = done
    schema = yaml.safe_load((TOP / "workflow/schemas/receipt.schema.yaml").read_text())
    receipt = cloud.json(RECEIPT)
    Draft202012Validator(schema).validate(receipt)
    assert list(receipt) == list(schema["properties"])
    assert (receipt["registry"], receipt["id"]) == ("azureml", "sklearn_mnist:1")
    assert receipt["cluster"] == {"name": "cpu-cluster", "created": True}


def test_the_model_is_the_one_that_is_trained_here(done, tmp_path):
    cloud, _ = done
    here = tmp_path / "here"
    shutil.copytree(cloud.path / "results/arrays", here / "results/arrays")
    arguments = ["--data-folder", "results/arrays", "--regularization", "0.5", "--seed", "42"]
    script = TOP / "workflow/scripts/train.py"
    # The tests' interpreter has the training pins: local.txt is part of dev.txt.
    command = [sys.executable, script, *arguments, "--output", "model.pkl"]
    subprocess.run(command, cwd=here, check=True, capture_output=True)
    assert (here / "model.pkl").read_bytes() == (cloud.path / MODEL).read_bytes()
    ours, theirs = joblib.load(here / "model.pkl"), joblib.load(cloud.path / MODEL)
    for one, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        np.testing.assert_array_equal(one.coef_, other.coef_)


def test_the_secret_is_nowhere(done):
    cloud, said = done
    secret = cloud.emulator.entra.secret
    assert len(secret) > 20
    written = [path for path in cloud.path.rglob("*") if path.is_file()]
    written += [path for path in (cloud.emulator.folder / "runs").rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    assert secret not in said
    assert secret not in json.dumps(cloud.emulator.state())
    # Nor a storage account's key or signature.
    logs = [path.read_text() for path in (cloud.path / "results/logs").glob("*.log")]
    assert not [text for text in logs if "sig=" in text or "AccountKey" in text]


def test_nothing_runs_again_whatever_the_backend_is_called(done, tmp_path):
    cloud = done[0].copied(tmp_path)
    for backend in ("azureml", "auto"):
        assert "Nothing to be done" in cloud.succeed("-n", RECEIPT, backend=backend)
    assert re.search(r"train +1", cloud.succeed("-n", RECEIPT, backend="local"))
    # Nor without the workspace: a model that exists is kept.
    (cloud.path / "config.json").unlink()
    assert "Nothing to be done" in cloud.succeed("-n", RECEIPT, backend="auto")


@pytest.mark.parametrize("module", ["preview.py", "register.py"])
def test_an_edit_that_training_does_not_use_submits_nothing(done, tmp_path, module):
    cloud = done[0].copied(tmp_path)
    with open(cloud.path / "workflow/scripts" / module, "a") as file:
        file.write("\n# edited\n")
    assert not re.search(r"^train ", cloud.succeed("-n", MODEL, backend="azureml"), re.M)


def test_an_edit_upstream_that_changes_no_data_submits_nothing(done, tmp_path):
    cloud = done[0].copied(tmp_path)
    with open(cloud.path / "workflow/scripts/lib/sources.py", "a") as file:
        file.write("\n# edited\n")
    assert "Download the train files" in cloud.succeed(MODEL, backend="azureml")
    assert len(cloud.runs()) == 1


def test_an_edit_of_the_client_finds_the_run_again(done, tmp_path):
    cloud = done[0].copied(tmp_path)
    with open(cloud.path / "workflow/scripts/backends/azureml.py", "a") as file:
        file.write("\n# edited\n")
    shutil.rmtree(cloud.path / "results/azureml")
    before = (cloud.path / MODEL).read_bytes()
    assert "found, Completed" in cloud.succeed(RECEIPT, backend="azureml")
    assert (cloud.path / MODEL).read_bytes() == before
    assert len(cloud.runs()) == 1 and cloud.models() == ["sklearn_mnist:1"]


def test_another_rate_is_another_run_on_the_same_data(done, tmp_path):
    cloud = done[0].copied(tmp_path)
    said = cloud.succeed(RECEIPT, backend="azureml", regularization="0.8")
    for line in (
        "cluster cpu-cluster: found",
        "there already, in datastore",
        "dataset mnist_opendataset version 1: registered already",
        "environment tutorial-env version 1: registered already",
    ):
        assert line in said
    assert len(cloud.runs()) == 2 and cloud.json(RECEIPT)["version"] == 2
    assert cloud.json(RECEIPT)["cluster"]["created"]

    # The last test of this workspace: what this workflow made is shown, and then deleted.
    shown = cloud.succeed("azureml_status")
    assert "0 active of 2 runs in Tutorial-sklearn-mnist" in shown
    assert "model sklearn_mnist version 2: accuracy" in shown
    refused = cloud.fail("azureml_cleanup")
    assert "to delete: cluster cpu-cluster" in refused and "--config confirm=yes" in refused
    assert len(cloud.models()) == 2
    cleaned = cloud.succeed("azureml_cleanup", confirm="yes")
    assert "kept: environment tutorial-env:1, which SDK v1 cannot delete" in cleaned
    state = cloud.emulator.state()
    left = [blob for blob in state["blobs"] if "mnist-sklearn/" in blob]
    assert (state["models"], state["datasets"], state["computes"], left) == ([], {}, {}, [])
    assert "nothing to delete" in cloud.succeed("azureml_cleanup", confirm="yes")


def test_a_cluster_of_others_is_kept(cloud):
    put_compute(cloud.emulator, "theirs")
    cloud.succeed(RECEIPT, backend="azureml", env={"AML_COMPUTE_CLUSTER_NAME": "theirs"})
    assert cloud.json(RECEIPT)["cluster"] == {"name": "theirs", "created": False}
    cloud.succeed("azureml_cleanup", confirm="yes")
    assert set(cloud.emulator.state()["computes"]) == {"cpu-cluster", "theirs"}
    assert not cloud.exists(RECEIPT)


def test_the_open_dataset_is_a_source(emulator, tmp_path):
    folder = tmp_path / "mnist"
    files = write_data_set(
        folder, labelled_images(20, 6, 5, [0, 1]), labelled_images(8, 6, 5, [0, 1])
    )
    emulator.mnist = folder
    registry = {"small": {"files": files, "sources": [{"opendatasets": "MNIST"}]}}
    (tmp_path / "datasets.yaml").write_text(yaml.safe_dump(registry))
    targets = [f"{name}.gz" for name in files if name.startswith("train")]
    script = TOP / "workflow/scripts/download.py"
    command = [CLIENT, script, "--datasets", "datasets.yaml", "--dataset", "small", *targets]
    env = os.environ | emulator.environment(tmp_path / "home")
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "from opendatasets MNIST, sha256 verified" in ended.stderr
    assert (tmp_path / targets[0]).exists()


@pytest.mark.skipif(
    "AZUREML_TEST_CONFIG" not in os.environ,
    reason="opt-in: AZUREML_TEST_CONFIG names no real workspace's config.json",
)
def test_the_whole_path_in_a_real_workspace(parsed, tmp_path):
    checkout = parsed.copied(tmp_path / "checkout")
    shutil.copy(os.environ["AZUREML_TEST_CONFIG"], checkout.path / "config.json")
    snakemake = [CLIENT, "-m", "snakemake", "--cores", "1"]
    config = ["--config", "dataset=digits", "backend=azureml", "model_name=mnist_sklearn_test"]
    subprocess.run([*snakemake, RECEIPT, *config], cwd=checkout.path, check=True)
    receipt = json.loads((checkout.path / RECEIPT).read_text())
    assert receipt["backend"] == receipt["registry"] == "azureml"
    assert receipt["sweep"]["regularization_rate"] == 0.1
    assert receipt["metrics"]["accuracy"] == pytest.approx(0.9056, abs=1e-4)
    subprocess.run(
        [*snakemake, "azureml_cleanup", *config, "confirm=yes"], cwd=checkout.path, check=True
    )
