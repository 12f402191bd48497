"""Fit one model by one estimator in a process of its own; print the seconds of the fit as JSON.

All estimators minimise the same objective, liblinear's. Nothing is measured here that would need
memory: the model is saved, and whoever started this measures it.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from threadpoolctl import threadpool_limits

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from lib.model import assembled, features, unfitted
from lib.newton import NewtonOneVsRest


def fit_tutorial(images: np.ndarray, labels: np.ndarray, rate: float, threads: int):
    """Return the seconds of the tutorial's estimator, classes in parallel, and the model."""
    pixels = features(images)
    model = unfitted(rate, seed=42).set_params(n_jobs=threads)
    start = time.perf_counter()
    model.fit(pixels, labels)
    return time.perf_counter() - start, model


def fit_ours(images: np.ndarray, labels: np.ndarray, rate: float, threads: int):
    """Return the seconds of our estimator, and the model as plain scikit-learn."""
    solver = NewtonOneVsRest(
        C=1 / rate, scale=1 / 255, reproducible=True, threads=threads, random_state=42
    )
    start = time.perf_counter()
    solver.fit(images.reshape(len(images), -1), labels)
    return time.perf_counter() - start, solver.to_sklearn()


def fit_alternative(images: np.ndarray, labels: np.ndarray, rate: float, threads: int, name: str):
    """Return the seconds of another solver of scikit-learn, in single precision, and the model.

    Here the constant 1 that liblinear appends, and penalises, is a column of the data.
    """
    pixels = np.ones((len(images), images[0].size + 1), np.float32)
    np.divide(images.reshape(len(images), -1), 255, out=pixels[:, :-1])
    binary = LogisticRegression(C=1 / rate, solver=name, fit_intercept=False, max_iter=1000)
    model = OneVsRestClassifier(binary)
    with threadpool_limits(threads):
        start = time.perf_counter()
        model.fit(pixels, labels)
        seconds = time.perf_counter() - start
    weights = [each.coef_[0, :-1] for each in model.estimators_]
    intercepts = [each.coef_[0, -1] for each in model.estimators_]
    iterations = [each.n_iter_[0] for each in model.estimators_]
    plain = assembled(unfitted(rate, seed=42), model.classes_, weights, intercepts, iterations)
    return seconds, plain


ALTERNATIVES = "newton-cholesky", "lbfgs", "newton-cg"


def main(options: argparse.Namespace) -> None:
    images = np.load(options.data_folder / "train-images.npy", mmap_mode="r")
    labels = np.load(options.data_folder / "train-labels.npy")
    given = images, labels, options.regularization, options.threads
    if options.estimator in ALTERNATIVES:
        seconds, model = fit_alternative(*given, options.estimator)
    else:
        seconds, model = {"tutorial": fit_tutorial, "ours": fit_ours}[options.estimator](*given)
    joblib.dump(model, options.output)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="one_fit.py", description=__doc__)
    parser.add_argument("--estimator", choices=["tutorial", "ours", *ALTERNATIVES], required=True)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--regularization", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    main(parser.parse_args())
