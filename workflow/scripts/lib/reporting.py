"""What a training tells the run that it is part of, where it is part of one.

A run in Azure ML gets the tutorial's two metrics, the rates that were compared, the checksums of
its files, and a description of its machine. Anywhere else nothing happens here, and nothing of
Azure ML needs to be installed.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import joblib
import numpy as np

from lib.command import log
from lib.machine import machine
from lib.model import predict, regularization_rate


def in_run() -> bool:
    """Tell whether this process is the job of a run, and has the SDK to say something to it."""
    if "AZUREML_RUN_ID" not in os.environ:
        return False
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def report(model: Path, folder: Path) -> None:
    """Log regularization rate and accuracy on the run, under the tutorial's names, and the sweep.

    Parameters
    ----------
    model : pathlib.Path
        The model that was written; sweep.json stands beside it.
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
    fitted = joblib.load(model)
    accuracy = float(np.mean(predict(fitted, images) == labels))
    log.info("accuracy %.4f on %d test images", accuracy, len(labels))
    run = Run.get_context()
    run.log("regularization rate", regularization_rate(fitted))
    run.log("accuracy", accuracy)
    sweep = model.with_name("sweep.json")
    for candidate in json.loads(sweep.read_text(encoding="utf-8"))["candidates"]:
        run.log_row("sweep", **{key.replace("_", " "): value for key, value in candidate.items()})
    files = {"model_sha256": model, "sweep_sha256": sweep}
    run.add_properties(
        {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        | {"machine": json.dumps(machine())}
    )
    # Metrics are sent by a thread, which the end of the script would not wait for.
    run.flush()
