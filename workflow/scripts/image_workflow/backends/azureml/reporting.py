"""Report from a training that runs in Azure ML: metrics, checksums, and the machine.

The run gets the tutorial's two metrics, a table of the compared candidates, the checksums of its
files, the description of its machine, and whether the training is deterministic. Outside a run
nothing happens, and no Azure package is needed.
"""

import importlib.util
import json
import logging
import os
from pathlib import Path

import joblib
import numpy as np

from image_workflow.data.arrays import find_array
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.machine import machine
from image_workflow.lineage.results import RATE, Sweep, value_text
from image_workflow.models.estimator import predict

log = logging.getLogger(__name__)

#: The most columns of a table, and characters of a text in it, that Azure ML allows.
MAX_COLUMNS, MAX_LENGTH = 15, 255


def in_run() -> bool:
    """Tell whether this process is the job of a run and can import the SDK."""
    if "AZUREML_RUN_ID" not in os.environ:
        return False
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def report_to_run(model: Path, folder: Path, deterministic: bool | None) -> None:
    """Report the model to the run that this process belongs to, if there is one.

    Parameters
    ----------
    model : pathlib.Path
        The model's file; sweep.json is beside it.
    folder : pathlib.Path
        Has test-images.npy and test-labels.npy, anywhere below it.
    deterministic : bool or None
        Whether the training is deterministic; None if it is not known.
    """
    if not in_run():
        return
    from azureml.core import Run

    labels = find_array(folder, "test-labels")
    fitted = joblib.load(model)
    accuracy = float(np.mean(predict(fitted, find_array(folder, "test-images")) == labels))
    log.info("accuracy %.4f on %d test images", accuracy, len(labels))
    run = Run.get_context()
    sweep_file = model.with_name("sweep.json")
    sweep = Sweep.read(sweep_file)
    if RATE in sweep.parameters:
        run.log("regularization rate", sweep.parameters[RATE])
    run.log("accuracy", accuracy)
    for row in table(sweep):
        # log_row has arguments of its own, whose names a parameter may have.
        run.log_table("sweep", row)
    properties = {"model_sha256": sha256_of_file(model), "sweep_sha256": sha256_of_file(sweep_file)}
    properties |= {"machine": json.dumps(machine()), "deterministic": json.dumps(deterministic)}
    run.add_properties(properties)
    # A thread sends the metrics, and the script would not wait for it at its end.
    run.flush()


def table(sweep: Sweep) -> list[dict[str, float | str]]:
    """Return a row for each candidate: the parameters that differ, and the accuracies.

    A column has either numbers or texts. If Azure ML does not allow as many columns or as long
    texts, the last ones are left out. sweep.json has them all.
    """
    columns = {}
    for name in sweep.varied()[: MAX_COLUMNS - 2]:
        values = [candidate.parameters[name] for candidate in sweep.candidates]
        numbers = all(type(value) in (int, float) for value in values)
        columns["regularization rate" if name == RATE else name] = [
            float(value) if numbers else value_text(value)[:MAX_LENGTH] for value in values
        ]
    columns["train accuracy"] = [candidate.train_accuracy for candidate in sweep.candidates]
    columns["validation accuracy"] = [
        candidate.validation_accuracy for candidate in sweep.candidates
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
