"""What a training tells the run that it is part of, where it is part of one.

A run in Azure ML gets the tutorial's two metrics, and the model's checksum. Anywhere else nothing
happens here, and nothing of Azure ML needs to be installed.
"""

import hashlib
import importlib.util
import os
from pathlib import Path

import joblib
import numpy as np

from lib.command import log
from lib.model import predict


def in_run() -> bool:
    """Tell whether this process is the job of a run, and has the SDK to say something to it."""
    if "AZUREML_RUN_ID" not in os.environ:
        return False
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def report(model: Path, rate: float, folder: Path) -> None:
    """Log regularization rate and accuracy on the run, under the tutorial's names.

    Parameters
    ----------
    model : pathlib.Path
        The model that was written.
    rate : float
        Its regularization rate.
    folder : pathlib.Path
        Has test-images.npy and test-labels.npy, anywhere below it.
    """
    if not in_run():
        return
    from azureml.core import Run

    images, labels = (
        np.load(next(folder.rglob(f"test-{kind}.npy")), mmap_mode="r")
        for kind in ("images", "labels")
    )
    accuracy = float(np.mean(predict(joblib.load(model), images) == labels))
    log.info("accuracy %.4f on %d test images", accuracy, len(labels))
    run = Run.get_context()
    run.log("regularization rate", rate)
    run.log("accuracy", accuracy)
    run.add_properties({"model_sha256": hashlib.sha256(model.read_bytes()).hexdigest()})
    # Metrics are sent by a thread, which the end of the script would not wait for.
    run.flush()
