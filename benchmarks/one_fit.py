"""Fit one model by one estimator in a process of its own; print the seconds of the fit as JSON.

All estimators minimise liblinear's objective. The model is saved. The calling benchmark computes
its quality, because that would add to the peak memory of this process.
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

from image_workflow.models.estimator import assembled, features, tutorial_estimator
from image_workflow.newton import NewtonOneVsRest

ALTERNATIVES = "newton-cholesky", "lbfgs", "newton-cg"


def fit_tutorial(images: np.ndarray, labels: np.ndarray, rate: float, threads: int):
    """Fit the tutorial's estimator, the classes in parallel; return the seconds and the model."""
    pixels = features(images)
    model = tutorial_estimator(rate, seed=42).set_params(n_jobs=threads)
    start = time.perf_counter()
    model.fit(pixels, labels)
    return time.perf_counter() - start, model


def fit_ours(images: np.ndarray, labels: np.ndarray, rate: float, threads: int):
    """Fit our estimator; return the seconds and the model as plain scikit-learn."""
    solver = NewtonOneVsRest(
        C=1 / rate, scale=1 / 255, reproducible=True, threads=threads, random_state=42
    )
    start = time.perf_counter()
    solver.fit(images.reshape(len(images), -1), labels)
    return time.perf_counter() - start, solver.to_sklearn()


def fit_alternative(images: np.ndarray, labels: np.ndarray, rate: float, threads: int, name: str):
    """Fit by another solver of scikit-learn, in single precision; return seconds and model.

    liblinear appends a constant 1 to each row and penalises its coefficient. Here the constant is a
    column of the data, so that the objective is the same.
    """
    pixels = np.ones((len(images), images[0].size + 1), np.float32)
    np.divide(images.reshape(len(images), -1), 255, out=pixels[:, :-1])
    binary = LogisticRegression(C=1 / rate, solver=name, fit_intercept=False, max_iter=1000)
    model = OneVsRestClassifier(binary)
    with threadpool_limits(threads):
        start = time.perf_counter()
        model.fit(pixels, labels)
        seconds = time.perf_counter() - start
    coefficients = [each.coef_[0, :-1] for each in model.estimators_]
    intercepts = [each.coef_[0, -1] for each in model.estimators_]
    iterations = [each.n_iter_[0] for each in model.estimators_]
    plain = tutorial_estimator(rate, seed=42)
    return seconds, assembled(plain, model.classes_, coefficients, intercepts, iterations)


def main(options: argparse.Namespace) -> None:
    images = np.load(options.data_folder / "train-images.npy", mmap_mode="r")
    labels = np.load(options.data_folder / "train-labels.npy")
    arguments = images, labels, options.regularization, options.threads
    if options.estimator in ALTERNATIVES:
        seconds, model = fit_alternative(*arguments, options.estimator)
    else:
        fit = {"tutorial": fit_tutorial, "ours": fit_ours}[options.estimator]
        seconds, model = fit(*arguments)
    joblib.dump(model, options.output)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="one_fit.py", description=__doc__)
    parser.add_argument("--estimator", choices=["tutorial", "ours", *ALTERNATIVES], required=True)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument("--regularization", type=float, required=True, help="the rate, 1 / C")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the model")
    main(parser.parse_args())
