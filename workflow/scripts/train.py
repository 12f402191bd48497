"""Train the tutorial's model: logistic regression, one class versus the rest, on pixels of 0-1."""

import argparse
import os
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.multiclass import OneVsRestClassifier

from lib.command import UserError, log, run
from lib.files import replacing
from lib.model import assembled, features, unfitted
from lib.newton import NewtonOneVsRest
from lib.reporting import report


def fit_liblinear(
    images: np.ndarray, labels: np.ndarray, rate: float, seed: int, threads: int
) -> OneVsRestClassifier:
    """Fit one class versus the rest by liblinear, the classes in parallel.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, cols)
    labels : ndarray of uint8, shape (n,)
    rate : float
        The regularization rate, above 0; liblinear's C is its inverse.
    seed : int
        liblinear's random state.
    threads : int
        How many classes are fitted at once; the result does not depend on it.

    Returns
    -------
    OneVsRestClassifier
        What ``OneVsRestClassifier(LogisticRegression(solver="liblinear", ...)).fit`` returns.

    Raises
    ------
    UserError
        If there are fewer than two classes.
    """
    classes = _classes(labels)
    model = unfitted(rate, seed)
    pixels = features(images)
    # With two classes one model separates them: its positive class is the second.
    positive = classes if len(classes) > 2 else classes[1:]
    fits = joblib.Parallel(threads, return_as="generator_unordered")(
        joblib.delayed(_fit_class)(clone(model.estimator), pixels, labels, label)
        for label in positive
    )
    start, found = time.perf_counter(), {}
    for label, *fitted in fits:
        found[label] = fitted
        iterations, seconds = fitted[-1], time.perf_counter() - start
        log.info(
            "class %s: %d iterations; %d of %d fitted after %.1f s",
            *(label, iterations, len(found), len(positive), seconds),
        )
        if iterations >= model.estimator.max_iter:
            warnings.warn(
                f"class {label} did not converge in {iterations} iterations",
                ConvergenceWarning,
                stacklevel=2,
            )
    return assembled(model, classes, *zip(*(found[label] for label in positive), strict=True))


def fit_newton(
    images: np.ndarray, labels: np.ndarray, rate: float, seed: int, threads: int
) -> OneVsRestClassifier:
    """Fit all classes at once to the same objective, by Newton's method; see ``lib.newton``.

    Takes, returns and raises what :func:`fit_liblinear` does. The pixels stay bytes, and may be
    memory-mapped.
    """

    def tell(step, objective, gradient, seconds):
        log.info(
            "step %d: objective %.4f, gradient %.1e of the start, %.1f s",
            *(step, objective, gradient, seconds),
        )

    _classes(labels)
    solver = NewtonOneVsRest(
        C=1 / rate, scale=1 / 255, threads=threads, random_state=seed, callback=tell
    )
    return solver.fit(images.reshape(len(images), -1), labels).to_sklearn()


SOLVERS = {"liblinear": fit_liblinear, "newton": fit_newton}


def _classes(labels: np.ndarray) -> np.ndarray:
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(
            f"expected images of at least two classes, found only label {classes[0]}. "
            "Add images of another class to the training set."
        )
    return classes


def _fit_class(binary, pixels, labels, label):
    with warnings.catch_warnings():
        # The caller tells it: a worker's warning would be lost with its process.
        warnings.simplefilter("ignore", ConvergenceWarning)
        binary.fit(pixels, labels == label)
    # Not the estimator itself: what comes from another process is pickled to other bytes later.
    return label, binary.coef_[0], binary.intercept_[0], binary.n_iter_[0]


def load_training_set(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load train-images.npy, as a memory map, and train-labels.npy from anywhere below ``folder``.

    Raises
    ------
    UserError
        If either is not there.
    """
    arrays = []
    for name in ("train-images.npy", "train-labels.npy"):
        path = next(folder.rglob(name), None)
        if path is None:
            raise UserError(f"expected {name} in the data folder {folder}, found none.")
        arrays.append(np.load(path, mmap_mode="r"))
    return tuple(arrays)


def main(options: argparse.Namespace) -> None:
    if not options.regularization > 0:
        raise UserError(f"--regularization must be above 0, found {options.regularization}.")
    images, labels = load_training_set(options.data_folder)
    rate = options.regularization
    log.info("%s: %d images, regularization rate %g", options.solver, len(images), rate)
    model = SOLVERS[options.solver](images, labels, rate, options.seed, options.threads)
    with replacing(options.output) as (part,):
        joblib.dump(model, part)
    report(options.output, options.regularization, options.data_folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument(
        "--regularization", type=float, required=True, help="the regularization rate, 1 / C"
    )
    parser.add_argument(
        "--solver", choices=SOLVERS, default="liblinear", help="newton: the same optimum, faster"
    )
    parser.add_argument("--seed", type=int, default=42, help="the solver's random state")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="the model does not depend on it"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/sklearn_mnist_model.pkl"), help="the model"
    )
    run(parser, main)
