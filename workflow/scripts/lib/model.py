"""The model: one binary logistic regression for each class, all of it plain scikit-learn."""

from collections.abc import Sequence

import numpy as np

from lib.imports import quick_imports

# pandas would be a fifth of the seconds, for data frames alone.
with quick_imports(without="pandas"):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

BLOCK = 64  # images that are scaled at once when predicting: they stay in a core's cache


def unfitted(rate: float, seed: int) -> OneVsRestClassifier:
    """Return the tutorial's estimator: L2 logistic regression by liblinear, one versus the rest.

    Parameters
    ----------
    rate : float
        The regularization rate; liblinear's C is its inverse.
    seed : int
        The random state that liblinear is given.
    """
    return OneVsRestClassifier(
        LogisticRegression(solver="liblinear", C=1 / rate, random_state=seed)
    )


def assembled(
    model: OneVsRestClassifier,
    classes: np.ndarray,
    coefficients: Sequence[np.ndarray],
    intercepts: Sequence[float],
    iterations: Sequence[int],
) -> OneVsRestClassifier:
    """Give ``model`` the attributes that its own ``fit`` would have set.

    Every array is copied into a fresh estimator, so that equal coefficients are pickled to equal
    bytes, whichever process or solver they came from.

    Parameters
    ----------
    model : OneVsRestClassifier
        Unfitted, of a LogisticRegression.
    classes : ndarray, shape (n_classes,)
        The labels, sorted.
    coefficients : sequence of ndarray, shape (n_features,)
        One for each class; with two classes, one in all, for the second.
    intercepts : sequence of float
    iterations : sequence of int
        One for each of the coefficients.

    Returns
    -------
    OneVsRestClassifier
        ``model``, fitted.
    """
    model.label_binarizer_ = LabelBinarizer(sparse_output=True).fit(classes)
    model.classes_ = model.label_binarizer_.classes_
    model.n_features_in_ = len(coefficients[0])
    model.estimators_ = []
    for weights, intercept, count in zip(coefficients, intercepts, iterations, strict=True):
        binary = LogisticRegression(**model.estimator.get_params())
        binary.classes_ = np.array([0, 1])
        binary.n_features_in_ = len(coefficients[0])
        binary.coef_ = np.array([weights], dtype=np.float64)
        binary.intercept_ = np.array([intercept], dtype=np.float64)
        binary.n_iter_ = np.array([count], dtype=np.int32)
        model.estimators_.append(binary)
    return model


def regularization_rate(model: OneVsRestClassifier) -> float:
    """Return the rate that ``model`` has: 1 / C, to the 15 digits that survive two divisions.

    Examples
    --------
    >>> 1 / (1 / 49), regularization_rate(unfitted(49, seed=42))
    (49.00000000000001, 49.0)
    """
    return float(f"{1 / model.estimator.C:.15g}")


def features(images: np.ndarray) -> np.ndarray:
    """Return pixels scaled to 0-1, one row an image.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, cols)

    Returns
    -------
    ndarray of float64, shape (n, rows * cols)
    """
    return images.reshape(len(images), -1) / 255.0


def weights(model: OneVsRestClassifier) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients, shape (k, n_features), and the intercepts, shape (k,).

    k is the number of classes; with two classes it is 1.
    """
    coefficients = np.vstack([binary.coef_ for binary in model.estimators_])
    return coefficients, np.concatenate([binary.intercept_ for binary in model.estimators_])


def predict(model: OneVsRestClassifier, images: np.ndarray) -> np.ndarray:
    """Return what ``model.predict`` does, for all classes at once and with little memory.

    Parameters
    ----------
    model : fitted OneVsRestClassifier
        Takes pixels scaled to 0-1.
    images : ndarray of uint8, shape (n, rows, cols)
        May be a memory map.

    Returns
    -------
    ndarray, shape (n,)
        A label of each image.
    """
    coefficients, intercepts = weights(model)
    chosen = []
    for at in range(0, len(images), BLOCK):
        scores = features(images[at : at + BLOCK]) @ coefficients.T + intercepts
        # Of equal scores scikit-learn takes the last.
        last = scores.shape[1] - 1 - scores[:, ::-1].argmax(axis=1)
        chosen.append(last if len(intercepts) > 1 else (scores[:, 0] > 0).astype(int))
    return model.classes_[np.concatenate(chosen)]
