"""Make the settings of a training as fit.py makes them, from its options."""

import argparse
import itertools
import json
from pathlib import Path

from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.results import Training
from image_workflow.models.settings import TrainingSettings, add_training_options

#: Fixed here, so that a test need not give them.
DEFAULTS = {"validation_fraction": 0.25, "solver": "liblinear", "seed": 42}


def training_options(**changes) -> argparse.Namespace:
    """Return the options that add_training_options declares, some of them changed."""
    parser = argparse.ArgumentParser()
    add_training_options(parser)
    options = vars(parser.parse_args([])) | DEFAULTS
    # A parameter of the estimator becomes what it would be after the way through JSON.
    if "parameters" in changes:
        text = json.dumps(changes["parameters"])
        changes["parameters"] = vars(parser.parse_args(["--parameters", text]))["parameters"]
    return argparse.Namespace(**options | changes)


def training_settings(**changes) -> TrainingSettings:
    """Return the settings with those options."""
    return TrainingSettings.from_options(training_options(**changes))


def write_training_file(model: Path, **changes) -> Path:
    """Write training.json for the model that is in the file now, and return its path."""
    content = {
        "backend": "local",
        "backend_reason": "no workspace is configured",
        "model_sha256": sha256_of_file(model),
        "machine": {"processor": "any", "blas": ["openblas 0.3"], "numpy_simd": []},
        "deterministic": True,
        "arguments": [],
        "environment": {},
    }
    training = model.with_name("training.json")
    Training(**content | changes).write(training)
    return training


NUMBERS = itertools.count()


def own_settings(folder: Path, text: str, function: str = "build", **changes) -> TrainingSettings:
    """Write a file with an estimator, and return settings that use it.

    Each file has a new name, because Python keeps the modules that it has imported.
    """
    name = f"own_{next(NUMBERS)}.py"
    (folder / name).write_text(text, encoding="utf-8")
    return training_settings(estimator=f"{name}:{function}", estimator_folder=folder, **changes)


#: A file with a class; its fit and predict are to be filled in.
OWN_CLASS = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class Own(ClassifierMixin, BaseEstimator):
    def __init__(self, power=1):
        self.power = power

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        {fit}
        return self

    def predict(self, X):
        {predict}
"""


def own_class(fit: str = "pass", predict: str = "return np.full(len(X), 3)") -> str:
    """Return a file with the class Own."""
    return OWN_CLASS.format(fit=fit, predict=predict)
