"""A list of regularization rates in the cloud: one run compares them, and trains the best.

The real SDK and the real Snakemake against the emulator, on scikit-learn's digits: of the rates
here, 2 is chosen, 100 on the list changes nothing, and 0.1 would be better.
"""

import contextlib
import hashlib
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from jsonschema import Draft202012Validator

from azureml_client import (
    HANDLE,
    JOB,
    MODEL,
    RECEIPT,
    TRAINING,
    Cloud,
    kill,
    needs_sdk,
    put_compute,
    until,
)
from azureml_emulator import Emulator
from backends import azureml
from checkout import TOP, Checkout
from lib.command import UserError

SWEEP, PICTURE = "results/sweep.json", "results/sweep.png"
FILES = MODEL, SWEEP
RATES = "[0.5,2,10]"
LIST = {"backend": "azureml", "regularization": RATES}
NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def swept(parsed, tmp_path_factory):
    """A checkout whose rate was chosen, and its model registered, in the cloud."""
    folder = tmp_path_factory.mktemp("swept")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        put_compute(emulator, "cpu-cluster")
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        yield cloud, cloud.succeed(RECEIPT, **LIST)


@pytest.fixture(scope="module")
def here(parsed, tmp_path_factory) -> Checkout:
    """A checkout whose rate was chosen on this machine, with the same pins as in the cloud."""
    checkout = parsed.copied(tmp_path_factory.mktemp("here") / "checkout")
    checkout.finish(MODEL, dataset="digits", backend="local", regularization=RATES)
    return checkout


def contents(checkout: Cloud | Checkout) -> dict[str, bytes]:
    """Return what the files hold that a run leaves."""
    return {name: (checkout.path / name).read_bytes() for name in FILES}


def compared_here(said: str) -> list[str]:
    """Return how many rates were compared on this machine, each time that some were."""
    return re.findall(r"^(\d+) rates to compare", said, re.M)


def check_nothing_to_do(cloud: Cloud, *backends: str) -> None:
    """Check that there is nothing to do, whichever of the backends is asked for."""
    for backend in backends:
        assert NOTHING in cloud.succeed(RECEIPT, backend=backend, regularization=RATES)


# ---- What one run makes ------------------------------------------------------------------------


@needs_sdk
def test_one_run_compares_the_rates_and_trains_the_best(swept):
    cloud, said = swept
    assert cloud.statuses() == ["Completed"] and cloud.submitted() == 1
    for line in (
        "| 3 rates to compare on 240 of 1437 images, 0 of them as before",
        "| rate 0.5: accuracy ",
        "| newton: 1437 images, regularization rate 2",
        "outputs/sklearn_mnist_model.pkl, outputs/sweep.json",
        "results/sweep.png: 3 rates",
    ):
        assert line in said
    assert (cloud.path / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert compared_here(said) == [] and not cloud.exists("results/candidates")


@needs_sdk
def test_model_and_sweep_are_the_ones_that_are_made_here(swept, here):
    assert contents(swept[0]) == contents(here)


@needs_sdk
def test_the_run_has_the_checksums_of_its_files_and_the_table_of_the_rates(swept):
    cloud, _ = swept
    state, sweep = cloud.emulator.state(), cloud.json(SWEEP)
    (run,), (metrics,) = state["runs"], state["metrics"].values()
    for name, content in zip(("model", "sweep"), contents(cloud).values(), strict=True):
        assert run["properties"][f"{name}_sha256"] == hashlib.sha256(content).hexdigest()
    rows = [value["data"] for value in metrics["sweep"]["value"]]
    assert [row["regularization rate"] for row in rows] == [0.5, 2, 10]
    for row, candidate in zip(rows, sweep["candidates"], strict=True):
        assert row["validation accuracy"] == candidate["validation_accuracy"]
        assert row["train accuracy"] == candidate["train_accuracy"]
    assert cloud.json(TRAINING)["metrics"]["regularization rate"] == 2


@needs_sdk
def test_the_receipt_has_the_sweep(swept):
    cloud, _ = swept
    schema = yaml.safe_load((TOP / "workflow/schemas/receipt.schema.yaml").read_text())
    receipt = cloud.json(RECEIPT)
    Draft202012Validator(schema).validate(receipt)
    assert receipt["sweep"] == cloud.json(SWEEP)
    assert receipt["sweep"]["regularization_rate"] == 2
    assert receipt["metrics"]["regularization_rate"] == 2
    assert receipt["parameters"]["regularization"] == "2"
    assert (receipt["registry"], cloud.models()) == ("azureml", [receipt["id"]])


# ---- What runs again ---------------------------------------------------------------------------


@needs_sdk
def test_nothing_runs_again_in_whatever_order_the_rates_are(swept, tmp_path):
    cloud = swept[0].copied(tmp_path)
    check_nothing_to_do(cloud, "azureml", "auto")
    other = {"backend": "azureml", "regularization": "[10,0.5,2.0,10]"}
    assert NOTHING in cloud.succeed(RECEIPT, **other)
    # Nor is there another run, where all is lost that is known of it here.
    for name in (*FILES, TRAINING):
        (cloud.path / name).unlink()
    shutil.rmtree(cloud.path / "results/azureml")
    assert "found, Completed" in cloud.succeed(MODEL, **other)
    assert contents(cloud) == contents(swept[0]) and cloud.submitted() == 1


@needs_sdk
def test_a_rate_more_is_one_run_more_and_a_version_if_the_model_is_another(cloud):
    cloud.succeed(RECEIPT, **LIST)
    # A list with a rate that is worse leaves the model as it is, and so the version.
    said = cloud.succeed(RECEIPT, backend="azureml", regularization="[0.5,2,10,100]")
    assert "this model is registered already" in said
    assert cloud.submitted() == 2 and cloud.models() == ["sklearn_mnist:1"]
    assert [one["regularization_rate"] for one in cloud.json(RECEIPT)["sweep"]["candidates"]] == [
        *(0.5, 2, 10, 100)
    ]
    cloud.succeed(RECEIPT, backend="azureml", regularization="[0.1,0.5,2,10]")
    assert cloud.json(RECEIPT)["sweep"]["regularization_rate"] == 0.1
    assert cloud.statuses() == ["Completed"] * 3 and cloud.submitted() == 3
    assert cloud.models() == ["sklearn_mnist:1", "sklearn_mnist:2"]


# ---- What goes wrong ---------------------------------------------------------------------------


@needs_sdk
def test_a_run_without_its_sweep_is_unusable(cloud):
    cloud.emulator.faults.set("missing_output", times=1, path="outputs/sweep.json")
    message = cloud.fail(MODEL, **LIST)
    assert "completed, but has no outputs/sweep.json; it has outputs/sklearn" in message
    assert "the next call submits it anew" in message
    (run,) = cloud.emulator.state()["runs"]
    assert run["status"] == "Completed"
    assert run["tags"]["unusable"] == "outputs/sweep.json is missing"
    assert cloud.json(HANDLE)["state"] == "ended"
    assert not any(map(cloud.exists, (*FILES, TRAINING)))
    cloud.succeed(MODEL, **LIST)
    assert cloud.statuses() == ["Completed"] * 2 and all(map(cloud.exists, FILES))
    assert cloud.json(TRAINING)["run_id"] == run["runId"].removesuffix("1") + "2"


@contextlib.contextmanager
def damaged(cloud: Cloud, name: str):
    """Let a file of the workspace's run have another byte than the run wrote."""
    (run,) = cloud.emulator.state()["runs"]
    where = "ExperimentRun", run["dataContainerId"], name
    whole = cloud.emulator.artifacts.path(*where).read_bytes()
    cloud.emulator.artifacts.write(*where, whole.replace(b"0", b"1", 1))
    try:
        yield
    finally:
        cloud.emulator.artifacts.write(*where, whole)


@needs_sdk
def test_a_damaged_sweep_is_refused_and_neither_file_is_written(swept, tmp_path):
    cloud = swept[0].copied(tmp_path)
    for name in (*FILES, TRAINING):
        (cloud.path / name).unlink()
    with damaged(cloud, "outputs/sweep.json"):
        message = cloud.fail(MODEL, **LIST)
    assert "sweep.json of run mnist-sklearn-" in message
    assert "did not arrive whole: expected sha256" in message
    assert "Run the same command again" in message
    assert not any(map(cloud.exists, (*FILES, TRAINING)))
    assert not list(cloud.path.rglob("*.part"))
    # The run is there, and whole.
    cloud.succeed(MODEL, **LIST)
    assert contents(cloud) == contents(swept[0]) and cloud.submitted() == 1


@pytest.mark.parametrize("name", ["outputs/sklearn_mnist_model.pkl", "outputs/sweep.json"])
def test_a_damaged_file_replaces_neither_of_those_that_are_there(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    sent = {"outputs/sklearn_mnist_model.pkl": b"new model", "outputs/sweep.json": b"new sweep"}
    right = {key: hashlib.sha256(content).hexdigest() for key, content in sent.items()}
    sent[name] = b"damaged"
    run = SimpleNamespace(
        id="a-run",
        get_file_names=lambda: list(sent),
        get_properties=lambda: dict(
            zip(("model_sha256", "sweep_sha256"), right.values(), strict=True)
        ),
        download_file=lambda name, target: Path(target).write_bytes(sent[name]),
    )
    backend = azureml.AzureML.__new__(azureml.AzureML)
    backend._run = lambda run_id: run
    old = {tmp_path / "model.pkl": b"old model", tmp_path / "sweep.json": b"old sweep"}
    for path, content in old.items():
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"of run a-run did not arrive whole"):
        backend.collect("a-run", tmp_path / "model.pkl")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == old


@needs_sdk
def test_a_client_that_is_killed_collects_both_files_the_next_time(cloud, here):
    process = cloud.start(MODEL, **LIST)
    until(lambda: "Running" in cloud.statuses())
    kill(process)
    assert not any(map(cloud.exists, FILES))
    cloud.succeed(MODEL, **LIST)
    assert contents(cloud) == contents(here)
    assert cloud.submitted() == 1 and cloud.statuses() == ["Completed"]


# ---- From one backend to the other -------------------------------------------------------------


def check_made_here(cloud: Cloud, here: Checkout) -> None:
    """Check that the model and the sweep are those of this machine."""
    # Up to the last digits: the client's NumPy is another than the pins'.
    ours, theirs = cloud.json(SWEEP), json.loads((here.path / SWEEP).read_text())
    assert ours["regularization_rate"] == theirs["regularization_rate"]
    for one, other in zip(ours["candidates"], theirs["candidates"], strict=True):
        assert one == pytest.approx(other, abs=0.01)
    receipt = cloud.json(RECEIPT)
    assert receipt["backend"] == receipt["registry"] == "local"
    assert receipt["sweep"] == ours
    assert receipt["metrics"]["regularization_rate"] == ours["regularization_rate"]
    assert cloud.exists(PICTURE)


@needs_sdk
@pytest.mark.parametrize("fault", ["wrong_secret", "black_hole"])
def test_auto_that_falls_back_compares_the_rates_here(cloud, here, fault):
    cloud.configure(connect_seconds=2)
    cloud.emulator.faults.set(fault)
    said = cloud.succeed(RECEIPT, backend="auto", regularization=RATES)
    assert "Training on this machine: " in said
    assert compared_here(said) == ["3"]
    check_made_here(cloud, here)
    # Though the workflow was laid out for the cloud; nor does the model go where that comes back.
    check_nothing_to_do(cloud, "auto", "local")
    cloud.emulator.faults.clear()
    check_nothing_to_do(cloud, "auto", "local")
    assert cloud.runs() == []


@needs_sdk
def test_a_model_that_was_made_here_is_kept_until_the_cloud_is_named(cloud, here):
    config = (cloud.path / "config.json").rename(cloud.path / "later.json")
    said = cloud.succeed(RECEIPT, backend="auto", regularization=RATES)
    assert compared_here(said) == ["3"]
    check_made_here(cloud, here)
    config.rename(cloud.path / "config.json")
    check_nothing_to_do(cloud, "auto", "local")
    assert cloud.runs() == []
    said = cloud.succeed(RECEIPT, **LIST)
    assert compared_here(said) == [] and cloud.submitted() == 1
    assert contents(cloud) == contents(here)
    assert cloud.json(RECEIPT)["backend"] == cloud.json(RECEIPT)["registry"] == "azureml"
    check_nothing_to_do(cloud, "azureml", "auto")


@needs_sdk
def test_a_model_that_was_made_in_the_cloud_is_made_anew_here_when_that_is_asked_for(
    swept, here, tmp_path
):
    cloud = swept[0].copied(tmp_path)
    said = cloud.succeed(RECEIPT, backend="local", regularization=RATES)
    assert compared_here(said) == ["3"]
    check_made_here(cloud, here)
    check_nothing_to_do(cloud, "local", "auto")
    assert cloud.submitted() == 1
