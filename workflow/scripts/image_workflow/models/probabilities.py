"""The probabilities that a model gives to each class."""

import numpy as np

from image_workflow.imports import fast_imports
from image_workflow.models.estimator import scores

with fast_imports(hide="pandas"):
    from scipy.special import expit
    from sklearn.multiclass import OneVsRestClassifier


def probabilities(model: OneVsRestClassifier, images: np.ndarray) -> np.ndarray:
    """Return the same probabilities as ``model.predict_proba``, but scale the pixels in blocks.

    Parameters
    ----------
    model : fitted OneVsRestClassifier
        Takes pixels scaled to 0-1.
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map.

    Returns
    -------
    ndarray of float64, shape (n, n_classes)
        Each row sums to 1, or is 0 if no class has a probability above 0.
    """
    found = np.zeros((len(images), len(model.classes_)))
    at = 0
    for block in scores(model, images):
        found[at : at + len(block)] = _normalized(expit(block))
        at += len(block)
    return found


def _normalized(single: np.ndarray) -> np.ndarray:
    """Return the probabilities of all classes from those of each class versus the rest."""
    if single.shape[1] == 1:  # two classes; the probability of the second
        return np.hstack([1 - single, single])
    sums = single.sum(axis=1, keepdims=True)
    return np.divide(single, sums, out=np.zeros_like(single), where=sums > 0)
