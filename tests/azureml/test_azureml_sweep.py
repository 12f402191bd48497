"""Compare regularization rates in the cloud, with the real Snakemake and SDK and the emulator.

One run compares the rates, and trains the model at the best rate. The data set is scikit-learn's
digits. Of the rates 0.5, 2 and 10, the rate 2 is the best. The rate 100 is worse, and 0.1 is
better.
"""

import contextlib
import hashlib
import json
import re
import shutil
from types import SimpleNamespace

import pytest

from azureml_client import (
    HANDLE,
    JOB,
    MODEL,
    RECEIPT,
    SDK,
    TRAINING,
    Cloud,
    kill_process_group,
    needs_sdk,
    put_compute,
    wait_until,
)
from azureml_emulator import Emulator
from checkout import Checkout
from image_workflow.backends.azureml.backend import AzureML
from image_workflow.errors import UserError
from schemas import schema

SWEEP, PLOT = "results/sweep.json", "results/sweep.png"
FILES = MODEL, SWEEP
RATES = "[0.5,2,10]"
CLOUD_CONFIG = {"backend": "azureml", "regularization": RATES}
NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def cloud_run(parsed, tmp_path_factory):
    """Compare rates and register a model in the cloud. Provide the checkout and the output."""
    folder = tmp_path_factory.mktemp("cloud-run")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        put_compute(emulator, "cpu-cluster")
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        yield cloud, cloud.succeed(RECEIPT, **CLOUD_CONFIG)


@pytest.fixture(scope="module")
def local_checkout(parsed, tmp_path_factory) -> Checkout:
    """Compare the rates on this machine, with the package versions of the cloud."""
    checkout = parsed.copied(tmp_path_factory.mktemp("local") / "checkout")
    checkout.finish(MODEL, dataset="digits", backend="local", regularization=RATES)
    return checkout


def contents(checkout: Cloud | Checkout) -> dict[str, bytes]:
    """Return the content of the model and of sweep.json."""
    return {name: (checkout.path / name).read_bytes() for name in FILES}


def local_comparisons(output: str) -> list[str]:
    """Return the number of candidates in each comparison on this machine.

    Lines from a run in the cloud begin with a bar, so the pattern does not match them.
    """
    return re.findall(r"^(\d+) candidates to compare", output, re.M)


def check_nothing_to_do(cloud: Cloud, *backends: str) -> None:
    """Check that the workflow has nothing to do under each of these backends."""
    for backend in backends:
        assert NOTHING in cloud.succeed(RECEIPT, backend=backend, regularization=RATES)


# ---- The results of one run ------------------------------------------------------------------


@needs_sdk
def test_one_run_compares_the_rates_and_trains_at_the_best_rate(cloud_run):
    cloud, output = cloud_run
    assert cloud.statuses() == ["Completed"] and cloud.submitted() == 1
    for line in (
        "| 3 candidates to compare on 240 of 1437 images, 0 of them as before",
        "| candidate 1 of 3, rate 0.5: accuracy ",
        "| newton: 1437 images, rate 2",
        "outputs/metrics.json, outputs/sklearn_mnist_model.pkl, outputs/sweep.json",
        "results/sweep.png: 3 candidates",
    ):
        assert line in output
    assert (cloud.path / PLOT).read_bytes().startswith(b"\x89PNG")
    assert local_comparisons(output) == [] and not cloud.exists("results/candidates")


@needs_sdk
def test_cloud_and_local_training_give_the_same_model_and_sweep(cloud_run, local_checkout):
    assert contents(cloud_run[0]) == contents(local_checkout)


@needs_sdk
def test_the_run_records_the_checksums_of_its_files_and_a_table_of_the_rates(cloud_run):
    cloud, _ = cloud_run
    state, sweep = cloud.emulator.state(), cloud.json(SWEEP)
    (run,) = state["runs"]
    report = cloud.emulator.artifacts.path(
        "ExperimentRun", run["dataContainerId"], "outputs/metrics.json"
    )
    report = json.loads(report.read_text())
    for name, content in zip(("model", "sweep"), contents(cloud).values(), strict=True):
        assert report[f"{name}_sha256"] == hashlib.sha256(content).hexdigest()
    assert report["metrics"] == cloud.json(TRAINING)["metrics"]
    assert report["metrics"]["regularization rate"] == 2
    if SDK == "v2":
        logged = state["mlflow_metrics"][run["runId"]]
        values = {(metric["key"], metric["step"]): metric["value"] for metric in logged}
        assert values["accuracy", 0] == report["metrics"]["accuracy"]
        for step, candidate in enumerate(sweep["candidates"]):
            assert values["validation accuracy", step] == candidate["validation_accuracy"]
            assert values["train accuracy", step] == candidate["train_accuracy"]
        return
    (metrics,) = state["metrics"].values()
    rows = [value["data"] for value in metrics["sweep"]["value"]]
    assert [row["regularization rate"] for row in rows] == [0.5, 2, 10]
    for row, candidate in zip(rows, sweep["candidates"], strict=True):
        assert row["validation accuracy"] == candidate["validation_accuracy"]
        assert row["train accuracy"] == candidate["train_accuracy"]


@needs_sdk
def test_the_receipt_contains_the_sweep(cloud_run):
    cloud, _ = cloud_run
    receipt = cloud.json(RECEIPT)
    schema("receipt").validate(receipt)
    assert receipt["sweep"] == cloud.json(SWEEP)
    assert receipt["sweep"]["regularization_rate"] == 2
    assert receipt["metrics"]["regularization_rate"] == 2
    assert receipt["parameters"]["regularization"] == "2"
    assert (receipt["registry"], cloud.models()) == ("azureml", [receipt["id"]])


# ---- Calls that repeat or change the rates ---------------------------------------------------


@needs_sdk
def test_the_same_rates_in_another_order_submit_no_run(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    check_nothing_to_do(cloud, "azureml", "auto")
    reordered = {"backend": "azureml", "regularization": "[10,0.5,2.0,10]"}
    assert NOTHING in cloud.succeed(RECEIPT, **reordered)
    # The client finds the run again after its results and its handle were deleted.
    for name in (*FILES, TRAINING):
        (cloud.path / name).unlink()
    shutil.rmtree(cloud.path / "results/azureml")
    assert "found, Completed" in cloud.succeed(MODEL, **reordered)
    assert contents(cloud) == contents(cloud_run[0]) and cloud.submitted() == 1


@needs_sdk
def test_a_new_rate_submits_a_run_and_registers_a_version_only_if_the_model_changes(cloud):
    cloud.succeed(RECEIPT, **CLOUD_CONFIG)
    # The added rate is worse, so the model and its version stay the same.
    output = cloud.succeed(RECEIPT, backend="azureml", regularization="[0.5,2,10,100]")
    assert "this model is registered already" in output
    assert cloud.submitted() == 2 and cloud.models() == ["sklearn_digits:1"]
    assert [
        candidate["regularization_rate"] for candidate in cloud.json(RECEIPT)["sweep"]["candidates"]
    ] == [*(0.5, 2, 10, 100)]
    cloud.succeed(RECEIPT, backend="azureml", regularization="[0.1,0.5,2,10]")
    assert cloud.json(RECEIPT)["sweep"]["regularization_rate"] == 0.1
    assert cloud.statuses() == ["Completed"] * 3 and cloud.submitted() == 3
    assert cloud.models() == ["sklearn_digits:1", "sklearn_digits:2"]


# ---- Missing and damaged files ---------------------------------------------------------------


@needs_sdk
def test_a_run_without_sweep_json_is_tagged_unusable_and_submitted_again(cloud):
    cloud.emulator.faults.set("missing_output", times=1, path="outputs/sweep.json")
    message = cloud.fail(MODEL, **CLOUD_CONFIG)
    assert (
        "completed, but has no outputs/sweep.json; it has outputs/metrics.json, outputs/sk"
        in message
    )
    assert "the next call submits it anew" in message
    (run,) = cloud.emulator.state()["runs"]
    assert run["status"] == "Completed"
    assert run["tags"]["unusable"] == "outputs/sweep.json is missing"
    assert cloud.json(HANDLE)["state"] == "ended"
    assert not any(map(cloud.exists, (*FILES, TRAINING)))
    cloud.succeed(MODEL, **CLOUD_CONFIG)
    assert cloud.statuses() == ["Completed"] * 2 and all(map(cloud.exists, FILES))
    assert cloud.json(TRAINING)["run_id"] == run["runId"].removesuffix("1") + "2"


@contextlib.contextmanager
def damage(cloud: Cloud, name: str):
    """Change one byte of a file of the run in the workspace, while the context is open."""
    (run,) = cloud.emulator.state()["runs"]
    artifact = "ExperimentRun", run["dataContainerId"], name
    original = cloud.emulator.artifacts.path(*artifact).read_bytes()
    cloud.emulator.artifacts.write(*artifact, original.replace(b"0", b"1", 1))
    try:
        yield
    finally:
        cloud.emulator.artifacts.write(*artifact, original)


@needs_sdk
def test_a_damaged_sweep_json_is_refused_and_no_file_is_written(cloud_run, tmp_path):
    cloud = cloud_run[0].copied(tmp_path)
    for name in (*FILES, TRAINING):
        (cloud.path / name).unlink()
    with damage(cloud, "outputs/sweep.json"):
        message = cloud.fail(MODEL, **CLOUD_CONFIG)
    assert "sweep.json of run mnist-sklearn-" in message
    assert "did not arrive whole: expected sha256" in message
    assert "Run the same command again" in message
    assert not any(map(cloud.exists, (*FILES, TRAINING)))
    assert not list(cloud.path.rglob("*.part"))
    # The files of the run are intact again, so the next call downloads them.
    cloud.succeed(MODEL, **CLOUD_CONFIG)
    assert contents(cloud) == contents(cloud_run[0]) and cloud.submitted() == 1


@pytest.mark.parametrize("name", ["outputs/sklearn_mnist_model.pkl", "outputs/sweep.json"])
def test_both_local_files_are_kept_if_one_arrives_damaged(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    sent = {"outputs/sklearn_mnist_model.pkl": b"new model", "outputs/sweep.json": b"new sweep"}
    right = {key: hashlib.sha256(content).hexdigest() for key, content in sent.items()}
    sent[name] = b"damaged"
    report = dict(zip(("model_sha256", "sweep_sha256"), right.values(), strict=True))
    report |= {"metrics": {}, "machine": {}, "deterministic": True}
    sent["outputs/metrics.json"] = json.dumps(report).encode()
    workspace = SimpleNamespace(download=lambda run, name, file: file.write_bytes(sent[name]))
    old = {tmp_path / "model.pkl": b"old model", tmp_path / "sweep.json": b"old sweep"}
    for path, content in old.items():
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"of run a-run did not arrive whole"):
        AzureML(workspace, {}, "e")._download(SimpleNamespace(id="a-run"), tmp_path / "model.pkl")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old


@needs_sdk
def test_a_client_killed_while_the_run_is_running_downloads_both_files_later(cloud, local_checkout):
    process = cloud.start(MODEL, **CLOUD_CONFIG)
    wait_until(lambda: "Running" in cloud.statuses())
    kill_process_group(process)
    assert not any(map(cloud.exists, FILES))
    cloud.succeed(MODEL, **CLOUD_CONFIG)
    assert contents(cloud) == contents(local_checkout)
    assert cloud.submitted() == 1 and cloud.statuses() == ["Completed"]


# ---- Changes of the backend ------------------------------------------------------------------


def check_trained_locally(cloud: Cloud, local_checkout: Checkout) -> None:
    """Check that the model, the sweep and the receipt are those of training on this machine."""
    # The client of SDK v1 has NumPy 1.26 and the local checkout NumPy 2: the bytes are the same.
    assert contents(cloud) == contents(local_checkout)
    sweep, receipt = cloud.json(SWEEP), cloud.json(RECEIPT)
    assert receipt["backend"] == receipt["registry"] == "local"
    assert receipt["sweep"] == sweep
    assert receipt["metrics"]["regularization_rate"] == sweep["regularization_rate"]
    assert cloud.exists(PLOT)


@needs_sdk
@pytest.mark.parametrize("fault", ["wrong_secret", "black_hole"])
def test_auto_compares_the_rates_on_this_machine_if_the_workspace_cannot_be_opened(
    cloud, local_checkout, fault
):
    cloud.configure(connect_seconds=2)
    cloud.emulator.faults.set(fault)
    output = cloud.succeed(RECEIPT, backend="auto", regularization=RATES)
    assert "Training on this machine: " in output
    assert local_comparisons(output) == ["3"]
    check_trained_locally(cloud, local_checkout)
    # The model is kept now, and also when the workspace can be opened again.
    check_nothing_to_do(cloud, "auto", "local")
    cloud.emulator.faults.clear()
    check_nothing_to_do(cloud, "auto", "local")
    assert cloud.runs() == []


@needs_sdk
def test_a_local_model_is_kept_until_the_backend_is_azureml(cloud, local_checkout):
    config = (cloud.path / "config.json").rename(cloud.path / "later.json")
    output = cloud.succeed(RECEIPT, backend="auto", regularization=RATES)
    assert local_comparisons(output) == ["3"]
    check_trained_locally(cloud, local_checkout)
    config.rename(cloud.path / "config.json")
    check_nothing_to_do(cloud, "auto", "local")
    assert cloud.runs() == []
    output = cloud.succeed(RECEIPT, **CLOUD_CONFIG)
    assert local_comparisons(output) == [] and cloud.submitted() == 1
    assert contents(cloud) == contents(local_checkout)
    assert cloud.json(RECEIPT)["backend"] == cloud.json(RECEIPT)["registry"] == "azureml"
    check_nothing_to_do(cloud, "azureml", "auto")


@needs_sdk
def test_a_model_from_the_cloud_is_trained_again_if_the_backend_is_local(
    cloud_run, local_checkout, tmp_path
):
    cloud = cloud_run[0].copied(tmp_path)
    output = cloud.succeed(RECEIPT, backend="local", regularization=RATES)
    assert local_comparisons(output) == ["3"]
    check_trained_locally(cloud, local_checkout)
    check_nothing_to_do(cloud, "local", "auto")
    assert cloud.submitted() == 1
