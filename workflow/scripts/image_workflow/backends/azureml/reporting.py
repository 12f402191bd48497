"""Report from a training that runs in Azure ML: its metrics, checksums and machine.

The report is a file among the run's outputs, which either SDK reads. The tutorial's two metrics and
the scores of the compared candidates are logged to the run as well, for the charts of the portal.
"""

import importlib.util
import json
import logging
import os
import time
import urllib.request
from pathlib import Path

import joblib
import numpy as np

from image_workflow.data.arrays import find_array
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.machine import machine
from image_workflow.lineage.results import RATE, RunReport, Sweep, value_text
from image_workflow.models.estimator import predict

log = logging.getLogger(__name__)

#: The most columns of a table, and characters of a text in it, that Azure ML allows.
MAX_COLUMNS, MAX_LENGTH = 15, 255
#: How many metrics to send at once, and how long to wait for the answer.
BATCH, ANSWER_SECONDS = 100, 20


def report(model: Path, folder: Path, deterministic: bool | None, file: Path) -> None:
    """Measure the model on the test set, and write the report.

    Parameters
    ----------
    model : pathlib.Path
        The model's file; sweep.json is beside it.
    folder : pathlib.Path
        Has test-images.npy and test-labels.npy, anywhere below it.
    deterministic : bool or None
        Whether the training is deterministic; None if it is not known.
    file : pathlib.Path
        The file to write.
    """
    labels = find_array(folder, "test-labels")
    fitted = joblib.load(model)  # This process wrote the file a moment ago.
    accuracy = float(np.mean(predict(fitted, find_array(folder, "test-images")) == labels))
    log.info("accuracy %.4f on %d test images", accuracy, len(labels))
    sweep_file = model.with_name("sweep.json")
    sweep = Sweep.read(sweep_file)
    metrics = {"accuracy": accuracy}
    if RATE in sweep.parameters:
        metrics = {"regularization rate": sweep.parameters[RATE]} | metrics
    if in_run_of_v1():
        log_to_run(metrics, sweep)
    elif os.environ.get("MLFLOW_TRACKING_URI", "").startswith("azureml://"):
        log_to_tracking_server(metrics, sweep)
    RunReport(
        metrics=metrics,
        model_sha256=sha256_of_file(model),
        sweep_sha256=sha256_of_file(sweep_file),
        machine=machine(),
        deterministic=deterministic,
    ).write(file)


def in_run_of_v1() -> bool:
    """Tell whether this process is the job of a run, and has the packages of SDK v1."""
    if "AZUREML_RUN_ID" not in os.environ:
        return False
    try:
        return importlib.util.find_spec("azureml.core") is not None
    except ModuleNotFoundError:
        return False


def log_to_run(metrics: dict[str, float], sweep: Sweep) -> None:
    """Log the metrics, and a table of the candidates, to the run that this process belongs to."""
    from azureml.core import Run

    run = Run.get_context()
    for name, value in metrics.items():
        run.log(name, value)
    for row in table(sweep):
        # log_row has arguments of its own, whose names a parameter may have.
        run.log_table("sweep", row)
    # A thread sends the metrics, and the script would not wait for it at its end.
    run.flush()


def log_to_tracking_server(metrics: dict[str, float], sweep: Sweep) -> None:
    """Log the metrics, and the scores of the candidates in steps, to the run in the workspace.

    A run of SDK v2 has no Azure package. Azure ML gives it the address of a tracking server, which
    has the REST interface of MLflow. If it does not answer, the training is none the worse.
    """
    rows = [(name, value, 0) for name, value in metrics.items()]
    for step, candidate in enumerate(sweep.candidates):
        rows.append(("train accuracy", candidate.train_accuracy, step))
        rows.append(("validation accuracy", candidate.validation_accuracy, step))
    address = os.environ["MLFLOW_TRACKING_URI"].partition("?")[0].replace("azureml", "https", 1)
    for first in range(0, len(rows), BATCH):
        body = {
            "run_id": os.environ["AZUREML_RUN_ID"],
            "metrics": [
                {"key": name, "value": value, "step": step, "timestamp": int(time.time() * 1000)}
                for name, value, step in rows[first : first + BATCH]
            ],
        }
        request = urllib.request.Request(
            f"{address}/api/2.0/mlflow/runs/log-batch",
            json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {os.environ.get('MLFLOW_TRACKING_TOKEN')}",
                "Content-Type": "application/json",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=ANSWER_SECONDS).close()
        except OSError as error:
            log.warning("the portal does not show the metrics: %s", error)
            return


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
