"""How confident a model is of its predictions: probabilities, or else decision scores."""

import logging

import numpy as np

from image_workflow.imports import fast_imports
from image_workflow.models.estimator import features, is_logistic_regression, scores

with fast_imports(hide="pandas"):
    from scipy.special import expit
    from sklearn.base import ClassifierMixin
    from sklearn.multiclass import OneVsRestClassifier

log = logging.getLogger(__name__)

PROBABILITY, SCORE = "probability", "decision score"
METHODS = {PROBABILITY: "predict_proba", SCORE: "decision_function"}
BLOCK = 1024  # images whose scaled pixels are in memory at once
# The last digits differ between processors, and must not decide an order.
DECIMALS = 9  # of a probability
DIGITS = 6  # of a score


def confidences(
    model: ClassifierMixin, images: np.ndarray, indices: np.ndarray, predicted: np.ndarray
) -> tuple[str | None, np.ndarray]:
    """Return how confident a model is of the labels that it predicted for some images.

    Parameters
    ----------
    model : fitted classifier
        Takes pixels scaled to 0-1, one row for each image.
    images : ndarray of uint8, shape (n_images, rows, columns)
        May be a memory map.
    indices : ndarray of int, shape (n,)
        Which images.
    predicted : ndarray, shape (n,)
        The label of each of them.

    Returns
    -------
    kind : str or None
        ``probability``, or ``decision score`` if the model gives no probabilities, or None if it
        gives neither, or what it gives does not fit its classes.
    values : ndarray of float64, shape (n,)
        Rounded. Zeros if the kind is None.
    """
    for kind, method in METHODS.items():
        # The user's class may return anything. The mistakes can be shown without its numbers.
        try:
            if hasattr(model, method):
                return kind, _confidences(model, images, indices, predicted, kind)
        except Exception as error:
            log.warning("the model's %s is not used: %s", method, error)
    return None, np.zeros(len(indices))


def _confidences(
    model: ClassifierMixin,
    images: np.ndarray,
    indices: np.ndarray,
    predicted: np.ndarray,
    kind: str,
) -> np.ndarray:
    """Return one kind of confidences, or raise ValueError if they do not fit the classes."""
    classes = np.ravel(model.classes_).tolist()
    if kind == SCORE and len(classes) > 2 and _compares_pairs(model):
        raise ValueError("expected a score of each class, found one of each pair of classes")
    columns = np.array([classes.index(label) for label in predicted.tolist()], int)
    found = np.zeros(len(indices))
    for at in range(0, len(indices), BLOCK):
        block = slice(at, at + BLOCK)
        some = images[indices[block]]
        if kind == PROBABILITY and is_logistic_regression(model):
            values = probabilities(model, some)
        else:
            values = np.asarray(getattr(model, METHODS[kind])(features(some)), float)
        found[block] = _of_predicted(values, columns[block], len(classes), kind)
    if not np.isfinite(found).all():
        raise ValueError("expected finite numbers, found NaN or infinity")
    if kind == SCORE:
        return np.array([float(f"{value:.{DIGITS}g}") for value in found])
    found = found.round(DECIMALS)
    if not ((found >= 0) & (found <= 1)).all():
        raise ValueError("expected numbers from 0 to 1, found others")
    return found


def _of_predicted(values: np.ndarray, columns: np.ndarray, classes: int, kind: str) -> np.ndarray:
    """Return the value of the predicted class for each image."""
    n = len(columns)
    if kind == SCORE and classes == 2 and values.shape in ((n,), (n, 1)):
        return np.abs(values.reshape(n))  # The sign is the class.
    if values.shape != (n, classes):
        raise ValueError(f"expected an array of shape {n, classes}, found {values.shape}")
    return values[np.arange(n), columns]


def _compares_pairs(model: ClassifierMixin) -> bool:
    """Return whether an SVC's scores compare pairs of classes. Three classes have three pairs."""
    return any(
        name.split("__")[-1] == "decision_function_shape" and value == "ovo"
        for name, value in model.get_params().items()
    )


def probabilities(model: OneVsRestClassifier, images: np.ndarray) -> np.ndarray:
    """Return the same probabilities as ``model.predict_proba``, but scale the pixels in blocks.

    Parameters
    ----------
    model : fitted OneVsRestClassifier of LogisticRegressions
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
