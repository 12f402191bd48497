"""Report from a training that runs in Azure ML: metrics, checksums, and the machine.

The run gets the tutorial's two metrics, a table of the compared rates, the checksums of its files,
and the description of its machine. Outside a run nothing happens, and no Azure package is needed.
"""

import importlib.util
import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np

from image_workflow.data.arrays import find_array
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.machine import machine
from image_workflow.lineage.results import Sweep
from image_workflow.models.estimator import predict, regularization_rate

log = logging.getLogger(__name__)


def in_run() -> bool:
    """Tell whether this process is the job of a run and can import the SDK."""
    if "AZUREML_RUN_ID" not in os.environ:
        return False
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def report_to_run(model: Path, folder: Path) -> None:
    """Report the model to the run that this process belongs to, if there is one.

    Parameters
    ----------
    model : pathlib.Path
        The model's file; sweep.json is beside it.
    folder : pathlib.Path
        Has test-images.npy and test-labels.npy, anywhere below it.
    """
    if not in_run():
        return
    from azureml.core import Run

    labels = find_array(folder, "test-labels")
    fitted = joblib.load(model)
    accuracy = float(np.mean(predict(fitted, find_array(folder, "test-images")) == labels))
    log.info("accuracy %.4f on %d test images", accuracy, len(labels))
    run = Run.get_context()
    run.log("regularization rate", regularization_rate(fitted))
    run.log("accuracy", accuracy)
    sweep = model.with_name("sweep.json")
    for candidate in Sweep.read(sweep).candidates:
        row = {name.replace("_", " "): value for name, value in asdict(candidate).items()}
        run.log_row("sweep", **row)
    checksums = {"model_sha256": sha256_of_file(model), "sweep_sha256": sha256_of_file(sweep)}
    run.add_properties(checksums | {"machine": json.dumps(machine())})
    # A thread sends the metrics, and the script would not wait for it at its end.
    run.flush()
