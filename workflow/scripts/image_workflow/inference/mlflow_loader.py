"""Load a registered model for MLflow: `mlflow.pyfunc.load_model` calls :func:`_load_pyfunc`."""

from pathlib import Path

import numpy as np

# Relative, because a registered model has a copy of this package under another name.
from .classifier import ImageClassifier


class PythonModel:
    """The classifier with the interface of MLflow's pyfunc.

    Parameters
    ----------
    classifier : ImageClassifier
    """

    def __init__(self, classifier: ImageClassifier):
        self.classifier = classifier

    def predict(self, images: np.ndarray, params: dict | None = None) -> dict[str, np.ndarray]:
        """Return ``label``, shape (n,), and ``probabilities``, shape (n, n_classes).

        Parameters
        ----------
        images : ndarray of uint8, shape (n, rows, columns)
        params : dict, optional
            Not used; MLflow passes it.
        """
        found = self.classifier.predict(images)
        answer = {"label": np.array(found.labels)}
        if found.probabilities is not None:
            answer["probabilities"] = found.probabilities
        return answer


def _load_pyfunc(path: str) -> PythonModel:
    return PythonModel(ImageClassifier.load(Path(path)))
