"""Check that cloud training on MNIST gives the rate, accuracy and bytes of local training."""

import subprocess
import sys

import pytest

from azureml_client import JOB, RECEIPT, Cloud, needs_sdk
from azureml_emulator import Emulator
from checkout import TOP, Checkout

RAW = TOP / "results/raw"
FILES = [
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]


def mnist_is_downloaded() -> bool:
    """Tell whether results/raw contains MNIST. The files of other data sets are smaller."""
    return all((RAW / name).exists() for name in FILES) and (RAW / FILES[0]).stat().st_size > 9e6


@needs_sdk
@pytest.mark.skipif(not mnist_is_downloaded(), reason="MNIST is not in results/raw (make run)")
def test_cloud_and_local_training_on_mnist_give_the_same_model(tmp_path):
    checkout = Checkout.fresh(tmp_path / "checkout")
    # The emulator serves MNIST under the host name of Azure Open Datasets, the first https source.
    with Emulator(tmp_path / "emulator", python=JOB, mnist=RAW) as emulator:
        cloud = Cloud(checkout, emulator)
        rates = {"regularization": "[0.1,0.5,2,10]"}
        cloud.succeed(RECEIPT, dataset="mnist", backend="azureml", timeout=500, **rates)
        assert emulator.unknown() == []
        assert cloud.models() == ["sklearn_mnist:1"] and cloud.statuses() == ["Completed"]
    receipt = cloud.json(RECEIPT)
    assert receipt["sweep"]["regularization_rate"] == 0.5
    assert receipt["metrics"]["accuracy"] == 0.9193 and receipt["version"] == 1
    local_folder = tmp_path / "local"
    arguments = ["--data-folder", "results/arrays", "--output", local_folder / "model.pkl"]
    arguments += ["--validation-fraction", "0.16667", "--regularization"]
    command = [sys.executable, "workflow/scripts/fit.py", *arguments]
    subprocess.run(
        [*command, "0.1", "0.5", "2", "10"], cwd=cloud.path, check=True, capture_output=True
    )
    for name in ("model.pkl", "sweep.json"):
        assert (local_folder / name).read_bytes() == (cloud.path / "results" / name).read_bytes()
