"""The solvers: functions that take images and labels and return a plain scikit-learn model."""

import logging
import time
import warnings

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from image_workflow import interrupts
from image_workflow.models.estimator import (
    assembled,
    classes_of,
    features,
    tutorial_estimator,
    weights,
)
from image_workflow.newton import NewtonOneVsRest

log = logging.getLogger(__name__)

#: The workflow's logger. While a progress bar is on the terminal, its messages go above the bar.
MESSAGES = logging.getLogger("image_workflow")
ROUNDED_TOL = 1e-14  # about the relative gradient before rounding, for the progress bar
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"


def fit_liblinear(
    images: np.ndarray,
    labels: np.ndarray,
    rate: float,
    seed: int,
    threads: int,
) -> OneVsRestClassifier:
    """Fit one class versus the rest with liblinear, the classes in parallel.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
    labels : ndarray of uint8, shape (n,)
    rate : float
        The regularization rate, above 0; liblinear's C is its inverse.
    seed : int
        liblinear's random state.
    threads : int
        How many classes to fit at once. The result does not depend on it.

    Returns
    -------
    OneVsRestClassifier
        The same as ``OneVsRestClassifier(LogisticRegression(solver="liblinear", ...)).fit``.

    Raises
    ------
    UserError
        If there is only one class.
    """
    classes = classes_of(labels)
    model = tutorial_estimator(rate, seed)
    pixels = features(images)
    # Two classes need one binary model; its positive class is the second.
    positive = classes if len(classes) > 2 else classes[1:]
    # The worker processes would print tracebacks.
    with interrupts.ignored():
        fits = joblib.Parallel(threads, return_as="generator_unordered")(
            joblib.delayed(_fit_class)(clone(model.estimator), pixels, labels, label)
            for label in positive
        )
    start, found = time.perf_counter(), {}
    for label, *fitted in fits:
        found[label] = fitted
        iterations, seconds = fitted[-1], time.perf_counter() - start
        log.info(
            "rate %g, class %s: %d iterations; %d of %d fitted after %.1f s",
            *(rate, label, iterations, len(found), len(positive), seconds),
        )
        if iterations >= model.estimator.max_iter:
            warnings.warn(
                f"class {label} did not converge in {iterations} iterations",
                ConvergenceWarning,
                stacklevel=2,
            )
    return assembled(model, classes, *zip(*(found[label] for label in positive), strict=True))


def fit_newton(
    images: np.ndarray,
    labels: np.ndarray,
    rate: float,
    seed: int,
    threads: int,
    start: OneVsRestClassifier | None = None,
    tol: float | None = None,
) -> OneVsRestClassifier:
    """Fit all classes at once with Newton's method, see :mod:`image_workflow.newton`.

    The objective, the other parameters, the result and the errors are those of
    :func:`fit_liblinear`. The images may be a memory map; they are not converted as a whole.

    Parameters
    ----------
    start : OneVsRestClassifier, optional
        A model near the result, which saves time.
    tol : float, optional
        The relative gradient at which to stop. Without it, the coefficients are rounded so that
        every processor finds the same bits.
    """
    classes_of(labels)
    # The progress bar counts decimal digits of the relative gradient. It shows on a terminal only.
    target = tol or ROUNDED_TOL
    bar = tqdm(
        desc=f"rate {rate:g}",
        total=-np.log10(target),
        leave=False,
        disable=None,
        bar_format=BAR,
    )

    def report(step, objective, gradient, seconds):
        log.info(
            "rate %g, step %d: objective %.4f, gradient %.1e of the start, %.1f s",
            *(rate, step, objective, gradient, seconds),
        )
        bar.update(-np.log10(max(gradient, target)) - bar.n)

    solver = NewtonOneVsRest(
        C=1 / rate,
        scale=1 / 255,
        tol=tol or 1e-6,
        reproducible=tol is None,
        threads=threads,
        random_state=seed,
        callback=report,
    )
    with bar, logging_redirect_tqdm([MESSAGES]):
        solver.fit(images.reshape(len(images), -1), labels, *(weights(start) if start else ()))
    if tol is None:
        log.info(
            "rate %g: %.1e of %d coefficients may be expected to differ on another processor",
            *(rate, solver.expected_mismatch_, solver.coef_.size + solver.intercept_.size),
        )
    return solver.to_sklearn()


SOLVERS = {"liblinear": fit_liblinear, "newton": fit_newton}


def _fit_class(binary, pixels, labels, label):
    with warnings.catch_warnings():
        # The caller warns; a warning of a worker process would be lost.
        warnings.simplefilter("ignore", ConvergenceWarning)
        binary.fit(pixels, labels == label)
    # Do not return the estimator: one that comes from another process is pickled to other bytes.
    return label, binary.coef_[0], binary.intercept_[0], binary.n_iter_[0]
