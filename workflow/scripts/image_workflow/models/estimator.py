"""The default model: one binary logistic regression for each class, and what all models can do."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np

from image_workflow.errors import UserError
from image_workflow.imports import fast_imports, make_importable
from image_workflow.lineage.checksums import sha256_of_open_file

# scikit-learn imports pandas if it finds it, which takes a fifth of the time. The model needs none.
with fast_imports(hide="pandas"):
    from sklearn.base import ClassifierMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import LabelBinarizer

BLOCK = 64  # images to predict at once; their scaled pixels stay in a core's cache
LARGE_BLOCK = 4096  # for other estimators; a call of theirs may take long to begin


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


def classes_of(labels: np.ndarray) -> np.ndarray:
    """Return the sorted labels, each once, or raise UserError if there is only one."""
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(
            f"expected images of at least two classes, found only label {classes[0]}. "
            "Add images of another class to the training set."
        )
    return classes


def load_model(path: Path, sha256: str, estimator_folder: Path | None) -> ClassifierMixin:
    """Return the model in a file, if our own training wrote the file: a pickle can run any code.

    Parameters
    ----------
    path : pathlib.Path
        The model's file.
    sha256 : str
        The checksum of the model in training.json, the record of the training.
    estimator_folder : pathlib.Path or None
        Has the user's file with the class of the model, and the modules that it imports.

    Raises
    ------
    UserError
        If the file has another sha256. It is not loaded then.
    """
    # The file is opened once, so nobody can exchange it between the check and the load.
    with open(path, "rb") as file:
        found = sha256_of_open_file(file)
        if found != sha256:
            raise UserError(
                f"{path} is not the model of our training, and is not loaded: expected sha256 "
                f"{sha256} as in training.json, found {found}. Run again to train it anew."
            )
        file.seek(0)
        if estimator_folder:
            make_importable(estimator_folder)
        return joblib.load(file)


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


def weights(model: ClassifierMixin) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients, shape (k, n_features), and the intercepts, shape (k,).

    k is the number of classes, or 1 for two classes.

    Parameters
    ----------
    model : fitted linear classifier
        It may be behind a scaler in a Pipeline, or in a OneVsRestClassifier.

    Raises
    ------
    UserError
        If the model has no coefficients.
    """
    if hasattr(model, "steps"):
        return weights(model.steps[-1][1])
    if hasattr(model, "estimators_"):
        parts = [weights(binary) for binary in model.estimators_]
        coefficients, intercepts = zip(*parts, strict=True)
        return np.vstack(coefficients), np.concatenate(intercepts)
    if not hasattr(model, "coef_"):
        raise UserError(
            f"the fitted {type(model).__name__} has no coef_, which a linear classifier must have. "
            "Set it in the fit of its class, or derive the class from ClassifierMixin only."
        )
    coefficients = np.atleast_2d(model.coef_)
    # Without fit_intercept, the intercept of all classes is a single 0.
    intercepts = np.broadcast_to(getattr(model, "intercept_", 0.0), len(coefficients))
    return coefficients, intercepts


def is_logistic_regression(model: ClassifierMixin) -> bool:
    """Return whether a model is one binary logistic regression for each class."""
    return isinstance(model, OneVsRestClassifier) and all(
        isinstance(binary, LogisticRegression) for binary in model.estimators_
    )


def scores(model: OneVsRestClassifier, images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the decision values of all classes, for one block of images after the other.

    Parameters
    ----------
    model : fitted OneVsRestClassifier of LogisticRegressions
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


def predict(model: ClassifierMixin, images: np.ndarray) -> np.ndarray:
    """Return the same labels as ``model.predict``, but scale the pixels in blocks.

    Parameters
    ----------
    model : fitted classifier
        Takes pixels scaled to 0-1, one row for each image.
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map.

    Returns
    -------
    ndarray, shape (n,)
        The label of each image.

    Raises
    ------
    UserError
        If the model's predict fails, or does not return one label for each image.
    """
    if not is_logistic_regression(model):
        starts = range(0, len(images), LARGE_BLOCK)
        blocks = (features(images[at : at + LARGE_BLOCK]) for at in starts)
        return np.concatenate([own_labels(model, block) for block in blocks])
    chosen = []
    for block in scores(model, images):
        # Among equal scores scikit-learn chooses the last class.
        last = block.shape[1] - 1 - block[:, ::-1].argmax(axis=1)
        chosen.append(last if block.shape[1] > 1 else (block[:, 0] > 0).astype(int))
    return model.classes_[np.concatenate(chosen)]


def own_labels(model: ClassifierMixin, rows: np.ndarray) -> np.ndarray:
    """Return the labels that an estimator predicts for rows of pixels, or raise UserError."""
    try:
        predicted = np.asarray(model.predict(rows))
    except Exception as error:
        logging.exception("predict failed")
        raise UserError(
            f"the estimator's predict failed on {len(rows):,} images: {type(error).__name__}: "
            f"{error}. Correct its class, or choose other parameters."
        ) from error
    is_number, is_right = predicted.dtype.kind in "biuf", predicted.shape == (len(rows),)
    if is_number and is_right and np.isin(predicted, np.arange(256)).all():
        return predicted.astype(np.uint8)
    raise UserError(
        f"the estimator's predict must return one label of 0 to 255 for each of {len(rows):,} "
        f"images, found an array of {predicted.dtype} of shape {predicted.shape}. Correct its "
        "class."
    )
