"""Make problems for the tests of the Newton solver, and compute reference values with NumPy."""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier


def noisy_patterns(n=20_000, side=10, classes=5, seed=0):
    """Return byte images (n, side * side), and their labels. Each class is a pattern with noise."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 256, (classes, side * side))
    y = random.integers(0, classes, n)
    X = 0.4 * patterns[y] + random.normal(0, 60, (n, side * side))
    return X.clip(0, 255).astype(np.uint8), y


def liblinear(C, **options):
    """Return an unfitted reference model."""
    binary = LogisticRegression(solver="liblinear", C=C, max_iter=10_000, **options)
    return OneVsRestClassifier(binary)


def evaluate(model, X, y, C):
    """Return f_k and |grad f_k| / |grad f_k(0)| of a fitted OneVsRestClassifier: (k,), (k,)."""
    X = np.column_stack([X, np.ones(len(X))])
    values, gradients = [], []
    for k, binary in enumerate(model.estimators_):
        positive = model.classes_[k if len(model.estimators_) > 1 else 1]
        sign = np.where(y == positive, 1.0, -1.0)
        w = np.append(binary.coef_[0], binary.intercept_)
        margin = sign * (X @ w)
        values.append(w @ w / 2 + C * np.logaddexp(0, -margin).sum())
        gradient = w - C * X.T @ (sign * expit(-margin))
        gradients.append(np.linalg.norm(gradient) / np.linalg.norm(C * X.T @ sign / 2))
    return np.array(values), np.array(gradients)


def relative_gradient(model, X, y, C):
    """Return the largest |grad f_k| / |grad f_k(0)| of a fitted OneVsRestClassifier."""
    return evaluate(model, X, y, C)[1].max()


def dense_hessian(X, w):
    """Return the Hessian (d, d) of one class at w (d,), for C = 1 and pixels from 0 to 255."""
    X = np.column_stack([X / 255, np.ones(len(X))])
    p = expit(X @ w)
    return np.eye(X.shape[1]) + (X * (p * (1 - p))[:, np.newaxis]).T @ X
