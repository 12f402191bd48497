"""The model: one binary logistic regression for each class, as a plain scikit-learn estimator."""

from collections.abc import Iterator, Sequence

import numpy as np

from image_workflow.imports import fast_imports

# scikit-learn imports pandas if it finds it, which takes a fifth of the time. The model needs none.
with fast_imports(hide="pandas"):
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

BLOCK = 64  # images to predict at once; their scaled pixels stay in a core's cache


def tutorial_estimator(rate: float, seed: int) -> OneVsRestClassifier:
    """Return the tutorial's estimator: L2 logistic regression by liblinear, one versus the rest.

    Parameters
    ----------
    rate : float
        The regularization rate; liblinear's C is its inverse.
    seed : int
        liblinear's random state.
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
    """Set the attributes of ``model`` that its own ``fit`` would have set.

    Every array is copied into a new estimator. Equal coefficients then give equal bytes in the
    pickle, whichever process or solver computed them.

    Parameters
    ----------
    model : OneVsRestClassifier
        An unfitted model of LogisticRegressions.
    classes : ndarray, shape (n_classes,)
        The labels, sorted.
    coefficients : sequence of ndarray, shape (n_features,)
        One array for each class. For two classes there is one array, for the second class.
    intercepts : sequence of float
    iterations : sequence of int
        One for each array of coefficients.

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
    """Return the model's regularization rate, 1 / C, without the rounding error of two divisions.

    Examples
    --------
    >>> 1 / (1 / 49), regularization_rate(tutorial_estimator(49, seed=42))
    (49.00000000000001, 49.0)
    """
    return float(f"{1 / model.estimator.C:.15g}")


def features(images: np.ndarray) -> np.ndarray:
    """Return the pixels scaled to 0-1, one row for each image.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)

    Returns
    -------
    ndarray of float64, shape (n, rows * columns)
    """
    return images.reshape(len(images), -1) / 255.0


def weights(model: OneVsRestClassifier) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients, shape (k, n_features), and the intercepts, shape (k,).

    k is the number of classes, or 1 for two classes.
    """
    coefficients = np.vstack([binary.coef_ for binary in model.estimators_])
    return coefficients, np.concatenate([binary.intercept_ for binary in model.estimators_])


def scores(model: OneVsRestClassifier, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the decision values of all classes, for one block of images after the other.

    Parameters
    ----------
    model : fitted OneVsRestClassifier
        Takes pixels scaled to 0-1.
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map.

    Yields
    ------
    ndarray of float64, shape (n_block, k)
        k is the number of classes, or 1 for two classes.
    """
    coefficients, intercepts = weights(model)
    for at in range(0, len(images), BLOCK):
        yield features(images[at : at + BLOCK]) @ coefficients.T + intercepts


def predict(model: OneVsRestClassifier, images: np.ndarray) -> np.ndarray:
    """Return the same labels as ``model.predict``, but compute all classes at once, in blocks.

    Parameters
    ----------
    model : fitted OneVsRestClassifier
        Takes pixels scaled to 0-1.
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map.

    Returns
    -------
    ndarray, shape (n,)
        The label of each image.
    """
    chosen = []
    for block in scores(model, images):
        # Among equal scores scikit-learn chooses the last class.
        last = block.shape[1] - 1 - block[:, ::-1].argmax(axis=1)
        chosen.append(last if block.shape[1] > 1 else (block[:, 0] > 0).astype(int))
    return model.classes_[np.concatenate(chosen)]
