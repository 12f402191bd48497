"""Train a model of the digits, and serve it with tools/serve.py."""

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from checkout import TOP
from evaluate import measure
from image_workflow.lineage.results import DataSet, ImageClass, Sweep
from image_workflow.models.estimator import features
from registration import (
    CONFIGURATION,
    ENVIRONMENT,
    PROGRAM,
    SETTINGS,
    write_data_set_file,
    write_model,
    write_training,
)
from training import training_options

#: The Python with Azure ML's inference server.
PYTHON = Path(os.environ.get("SERVE_PYTHON", TOP / ".venv-serve/bin/python"))
REASON = "needs the environment that `make serve` installs, or SERVE_PYTHON"
N_TRAIN = 1437
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def write_digits(results: Path, registry_uri: str) -> Namespace:
    """Train and measure a model of scikit-learn's digits; return the options of register.py."""
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    arrays = results / "arrays"
    arrays.mkdir(parents=True)
    for part, where in (("train", slice(N_TRAIN)), ("test", slice(N_TRAIN, None))):
        np.save(arrays / f"{part}-images.npy", images[where])
        np.save(arrays / f"{part}-labels.npy", labels[where])
    write_model(results / "model.pkl", SETTINGS)
    write_training(results / "model.pkl")
    counts = np.bincount(labels[:N_TRAIN]), np.bincount(labels[N_TRAIN:])
    classes = [ImageClass(i, NAMES[i], int(counts[0][i]), int(counts[1][i])) for i in range(10)]
    data_set = write_data_set_file(
        results / "dataset.json", arrays, name="digits", prepare="digits", classes=classes
    )
    predicted = joblib.load(results / "model.pkl").predict(features(images[N_TRAIN:]))
    parameters = Sweep.read(results / "sweep.json").parameters
    metrics = measure(labels[N_TRAIN:], predicted, data_set.class_names(), parameters, N_TRAIN)
    metrics.write(results / "metrics.json")
    return Namespace(
        **vars(training_options(regularization=[0.5])),
        model=results / "model.pkl",
        metrics=results / "metrics.json",
        training=results / "training.json",
        sweep=results / "sweep.json",
        pictures=[],
        data_folder=arrays,
        dataset_file=results / "dataset.json",
        training_program=PROGRAM,
        environment=ENVIRONMENT,
        configuration=json.dumps(CONFIGURATION | {"dataset": "digits"}),
        azureml="{}",
        model_name="digits",
        promote=False,
        experiment_name="serving",
        registry_uri=registry_uri,
        receipt=results / "registered.json",
        record=None,
    )


def picture(image: np.ndarray, kind: str = "PNG") -> str:
    """Return the data URL of an image's file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def accuracy(answer: dict, registered_digits: Path) -> tuple[float, float]:
    """Return the accuracy of the answer's labels, and that in metrics.json."""
    results = registered_digits / "results"
    names = DataSet.read(results / "dataset.json").class_names()
    truth = [names[label] for label in np.load(results / "arrays/test-labels.npy").tolist()]
    right = np.mean([one == other for one, other in zip(answer["labels"], truth, strict=True)])
    return right, json.loads((results / "metrics.json").read_text())["accuracy"]


class Server:
    """A running tools/serve.py.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:5001``.
    process : subprocess.Popen
    said : str
        What it printed until it was ready.
    """

    def __init__(self, process: subprocess.Popen):
        self.process, self.said = process, ""
        for line in process.stdout:
            self.said += line
            if found := re.search(r"(http://\S+)/score", line):
                self.url = found[1]
                return
        raise AssertionError(process.communicate()[1])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit code and what it printed to stderr."""
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=30)[1]
        return self.process.returncode, errors


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    """Start tools/serve.py in a folder."""
    command = [sys.executable, str(TOP / "tools/serve.py"), "--python", str(PYTHON)]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Server]:
    """Serve the model in a folder in the block, on any free port."""
    process = start(folder, "--port", "0", *arguments)
    try:
        yield Server(process)
    finally:
        process.terminate()
        process.communicate()
