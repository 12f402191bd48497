"""Use both SDKs in one workspace: each finds the runs and the models of the other."""

import subprocess
from pathlib import Path

import pytest

from azureml_client import (
    HANDLE,
    MODEL,
    RECEIPT,
    SDKS,
    TRAINING,
    Cloud,
    kill_process_group,
    needs_both,
    put_compute,
    wait_until,
)
from azureml_emulator import Emulator
from checkout import Checkout

pytestmark = needs_both


@pytest.fixture
def clouds(parsed: Checkout, tmp_path: Path):
    """Yield the clients of both SDKs, each with a checkout of its own, in one workspace."""
    # The packages of SDK v1's jobs include those of SDK v2's.
    with Emulator(tmp_path / "emulator", python=SDKS["v1"].job) as emulator:
        put_compute(emulator, "cpu-cluster")
        yield {
            sdk: Cloud(parsed.copied(tmp_path / sdk), emulator, client=SDKS[sdk].client)
            for sdk in SDKS
        }


IN_TURN = pytest.mark.parametrize(("one", "other"), [("v1", "v2"), ("v2", "v1")])


@IN_TURN
def test_what_one_sdk_trained_and_registered_is_found_by_the_other(clouds, one, other):
    first, second = clouds[one], clouds[other]
    first.succeed(RECEIPT, backend="azureml")
    output = second.succeed(RECEIPT, backend="azureml")
    assert "found, Completed" in output and "this model is registered already" in output
    assert second.submitted() == 1 and second.models() == ["sklearn_digits:1"]
    assert (first.path / MODEL).read_bytes() == (second.path / MODEL).read_bytes()
    names = "run_id", "metrics", "fingerprint", "workspace", "machine"
    trainings = [cloud.json(TRAINING) for cloud in (first, second)]
    for name in names:
        assert trainings[0][name] == trainings[1][name], name
    receipts = [cloud.json(RECEIPT) for cloud in (first, second)]
    for name in ("name", "version", "id", "registry_uri", "run_id"):
        assert receipts[0][name] == receipts[1][name], name


def start_queued_run(first: Cloud, second: Cloud) -> subprocess.Popen:
    """Start a training with the first SDK, and give its handle to the second when it is queued."""
    first.emulator.faults.set("slow_queue")
    process = first.start(MODEL, backend="azureml")
    wait_until(lambda: "Queued" in first.said())
    (second.path / HANDLE).parent.mkdir(parents=True)
    (second.path / HANDLE).write_bytes((first.path / HANDLE).read_bytes())
    return process


@IN_TURN
def test_a_run_that_one_sdk_submitted_is_awaited_by_the_other(clouds, one, other):
    first, second = clouds[one], clouds[other]
    kill_process_group(start_queued_run(first, second))
    process = second.start(MODEL, backend="azureml")
    wait_until(lambda: "found, Queued" in second.said())
    first.emulator.faults.clear()
    assert process.wait(60) == 0, second.said()
    assert "| newton: 1437 images, rate 0.5" in second.said()
    assert second.submitted() == 1 and second.statuses() == ["Completed"]


@IN_TURN
def test_a_run_that_one_sdk_submitted_is_shown_and_cancelled_by_the_other(clouds, one, other):
    first, second = clouds[one], clouds[other]
    process = start_queued_run(first, second)
    run_id = first.json(HANDLE)["run_id"]
    assert f"run {run_id}: Queued" in second.succeed("azureml_status")
    second.succeed("azureml_cancel")
    assert process.wait(60) == 1
    assert "was canceled" in first.said() and first.statuses() == ["Canceled"]


@IN_TURN
def test_one_sdk_uses_the_files_that_the_other_uploaded(clouds, one, other):
    clouds[one].succeed(MODEL, backend="azureml")
    before = clouds[one].emulator.state()["blobs"]
    output = clouds[other].succeed(MODEL, backend="azureml", regularization=0.8)
    assert "there already" in output and clouds[one].submitted() == 2
    arrays = [name for name in clouds[one].emulator.state()["blobs"] if name.endswith(".npy")]
    assert arrays == [name for name in before if name.endswith(".npy")]


def test_cleaning_up_with_one_sdk_keeps_what_only_the_other_can_delete(clouds):
    v1, v2 = clouds["v1"], clouds["v2"]
    v1.succeed(RECEIPT, backend="azureml")
    ledger = v1.path / "registry/azureml.json"
    (v2.path / "registry").mkdir(exist_ok=True)
    (v2.path / "registry/azureml.json").write_bytes(ledger.read_bytes())
    v2.succeed(RECEIPT, backend="azureml", regularization=0.8)
    cleaned = v2.succeed("azureml_cleanup", confirm="yes")
    assert "archived: model sklearn_digits:2" in cleaned
    assert "archived: model sklearn_digits:1" in cleaned
    assert "kept: dataset digits:1, which SDK v1 can delete" in cleaned
    assert list(v2.emulator.state()["datasets"]) == ["digits"]
