"""The results of a small model, to use it."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits

from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.results import DataSet, ImageClass, Training

IMAGES = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
LABELS = load_digits().target
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def write_results(folder: Path, estimator: ClassifierMixin, **data_set) -> Path:
    """Fit an estimator to scikit-learn's digits, write its results, and return the folder.

    Parameters
    ----------
    folder : pathlib.Path
        Does not exist.
    estimator : classifier
    **data_set
        What differs in dataset.json.
    """
    folder.mkdir(parents=True)
    joblib.dump(estimator.fit(IMAGES.reshape(-1, 64) / 255, LABELS), folder / "model.pkl")
    Training(
        backend="local",
        backend_reason="no workspace is configured",
        model_sha256=sha256_of_file(folder / "model.pkl"),
        machine=None,
        deterministic=True,
        arguments=[],
        environment={},
    ).write(folder / "training.json")
    described = {
        "name": "digits",
        "description": None,
        "license": None,
        "rows": 8,
        "columns": 8,
        "n_train": len(IMAGES),
        "n_test": 1,
        "maximum": 255,
        "polarity": "light_on_dark",
        "prepare": "digits",
        "classes": [ImageClass(label, name, 1, 1) for label, name in enumerate(NAMES)],
        "conversion": None,
        "idx_sha256": {},
    }
    DataSet(**described | data_set).write(folder / "dataset.json")
    return folder
