"""The estimator: the interface of scikit-learn to the optimizer."""

import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from image_workflow.models.estimator import assembled
from image_workflow.newton.objective import Objective
from image_workflow.newton.optimizer import MISMATCH, Optimizer
from image_workflow.newton.rounding import expected_mismatch, rounded
from image_workflow.newton.rows import Sizes


class NewtonOneVsRest(ClassifierMixin, BaseEstimator):
    """One-versus-rest L2 logistic regression with liblinear's objective, by Newton's method.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the regularization rate.
    scale : float, default=1.0
        The value of one unit of X. The coefficients apply to ``X * scale``. 1/255 turns bytes into
        intensities from 0 to 1.
    tol : float, default=1e-6
        Class k is done when |grad f_k| <= tol |grad f_k(0)|, in double precision, before rounding.
    reproducible : bool, default=False
        Whether to round the coefficients, so that every processor finds the same bits. Rounding
        changes the relative gradient by up to 1e-5. Use it for features of about the same scale,
        such as pixels.
    max_iter : int, default=1000
        Stop after this many steps, with a ConvergenceWarning if `tol` is not reached.
    threads : int or None, default=None
        How many threads share the rows, at most 16. None uses one thread for each core that this
        process may use.
    random_state : int, RandomState or None, default=0
        Draws the rows of the first solution, and is the random state of the LogisticRegression.
    callback : callable or None, default=None
        Called as ``callback(step, objective, gradient, seconds)`` after each evaluation of the
        objectives: the number of steps so far, the sum of the f_k, the largest
        |grad f_k| / |grad f_k(0)| of the classes that were begun, and the seconds since the start.
        An exception in it stops the fit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (n_classes,) or (1,)
    objective_ : ndarray of shape (n_classes,) or (1,)
        f_k at the solution, before rounding.
    gradient_ : ndarray of shape (n_classes,) or (1,)
        |grad f_k| / |grad f_k(0)| at the solution, before rounding.
    grid_ : ndarray of shape (n_classes,) or (1,)
        Each class's coefficients are multiples of its grid, if `reproducible`.
    expected_mismatch_ : float
        The expected number of coefficients that differ on another processor, if `reproducible`. It
        is the remaining distance to the minimum relative to the grid.
    n_iter_ : int
        Steps on all rows, of the group of classes that took the most steps. Differs between
        processors.
    n_features_in_ : int

    Notes
    -----
    The solver converges on any data whose squares are finite. It is slow if regularization is weak
    (C of 100 and more) and images have far more pixels than the Hessian has rows (thousands of
    images of 256 x 256 pixels).

    With ``reproducible=False``, the objectives on different processors agree to about `tol`, but
    the bits of the coefficients differ. :mod:`image_workflow.newton` explains the solver.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NewtonOneVsRest(C=2, scale=1 / 16).fit(X.astype("uint8"), y).to_sklearn()
    >>> model.predict(X[:3] / 16)
    array([0, 1, 2])
    """

    _sizes = Sizes()

    def __init__(
        self,
        C=1.0,
        *,
        scale=1.0,
        tol=1e-6,
        reproducible=False,
        max_iter=1000,
        threads=None,
        random_state=0,
        callback=None,
    ):
        self.C, self.scale, self.tol, self.reproducible = C, scale, tol, reproducible
        self.max_iter, self.threads = max_iter, threads
        self.random_state, self.callback = random_state, callback

    def fit(self, X, y, coef_init=None, intercept_init=None):
        """Fit all classes.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            uint8 is not copied, so large arrays should be memory maps of uint8. Other numbers are
            converted to float64.
        y : array of shape (n_samples,)
        coef_init, intercept_init : arrays shaped like coef_ and intercept_, optional
            The start, such as the solution for a similar C. It changes the time, and the result
            only within `tol`.

        Returns
        -------
        self
        """
        started = time.perf_counter()
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32, np.uint8], order="C")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "This solver needs samples of at least 2 classes in the data, but the data "
                f"contains only one class: {self.classes_[0]!r}."
            )
        targets = np.arange(len(self.classes_)) if len(self.classes_) > 2 else np.array([1])
        start = self._check_start(len(targets), X.shape[1], coef_init, intercept_init)

        self.objective_ = np.full(len(targets), self.C * len(X) * np.log(2))
        self.gradient_, self.grid_ = np.zeros(len(targets)), np.ones(len(targets))
        self.n_iter_ = 0
        weights, corrections = self._minimise(X, codes, targets, start, started)
        if not self.gradient_.max() <= self.tol:
            warnings.warn(
                f"Newton's method stopped after {self.n_iter_} steps at a relative gradient of "
                f"{self.gradient_.max():.2g}, above tol={self.tol}: raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        if self.reproducible:
            self.expected_mismatch_ = float(expected_mismatch(corrections, self.grid_).sum())
            weights = rounded(weights, self.grid_)
        else:
            del self.grid_
        self.coef_, self.intercept_ = weights[:, :-1].copy(), weights[:, -1].copy()
        return self

    def _minimise(self, X, codes, targets, start, started):
        """Minimise the objectives, group by group, and set the fitted attributes of each group.

        Returns
        -------
        weights, corrections : ndarray of shape (n_targets, n_features + 1)
            The minimum, and the Newton corrections that were not applied.
        """
        random = check_random_state(self.random_state)
        weights, corrections = np.zeros((2, len(targets), X.shape[1] + 1))
        mismatch = MISMATCH / len(targets) if self.reproducible else np.inf

        def report(step, objective, gradient):
            self.objective_[group], self.gradient_[group] = objective, gradient
            if self.callback is not None:
                seconds = time.perf_counter() - started
                self.callback(step, self.objective_.sum(), self.gradient_.max(), seconds)

        threads = self.threads or _cores()
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(targets), self._sizes.group):
                group = slice(first, first + self._sizes.group)
                objective = Objective(
                    X, codes, targets[group], self.C, self.scale, pool, self._sizes
                )
                optimizer = Optimizer(objective, self.tol, self.max_iter, mismatch, report)
                W = None if start is None else start[group]
                weights[group] = optimizer.minimise(W, random)
                self.n_iter_ = max(self.n_iter_, optimizer.steps)
                if self.reproducible:
                    self.grid_[group], corrections[group] = optimizer.grid, optimizer.correction
        return weights, corrections

    def to_sklearn(self):
        """Return the model as a plain scikit-learn estimator, which does not need this module.

        Returns
        -------
        model : OneVsRestClassifier
            It has one fitted LogisticRegression for each class, or a single one for two classes.
            Its features are ``X * scale``. A clone of it fits the same model with liblinear.
        """
        check_is_fitted(self, "coef_")
        binary = LogisticRegression(C=self.C, solver="liblinear", random_state=self.random_state)
        # Its own solver did not run, and our number of steps differs between processors.
        iterations = [0] * len(self.coef_)
        model = OneVsRestClassifier(binary)
        return assembled(model, self.classes_, self.coef_, self.intercept_, iterations)

    def decision_function(self, X):
        """Return w.x, shape (n_samples, n_classes), or (n_samples,) for two classes."""
        return self._by_blocks("decision_function", X)

    def predict_proba(self, X):
        """Return the probability of each class, shape (n_samples, n_classes)."""
        return self._by_blocks("predict_proba", X)

    def predict(self, X):
        """Return the most probable class of each row, shape (n_samples,)."""
        return self._by_blocks("predict", X)

    def _by_blocks(self, method, X):
        check_is_fitted(self, "coef_")
        X = validate_data(self, X, dtype=[np.float64, np.float32, np.uint8], reset=False)
        predict = getattr(self.to_sklearn(), method)
        rows = max(1, 10 * self._sizes.block_bytes // (8 * X.shape[1]))
        return np.concatenate(
            [predict(X[at : at + rows] * self.scale) for at in range(0, len(X), rows)]
        )

    def _check_parameters(self):
        for name, kind in {"C": Real, "scale": Real, "tol": Real, "max_iter": Integral}.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or not 0 < value < np.inf:
                number = "an integer" if kind is Integral else "a finite number"
                raise ValueError(f"{name} must be {number} above 0, but it is {value!r}.")
        if self.threads is not None and not (
            isinstance(self.threads, Integral) and self.threads > 0
        ):
            raise ValueError(f"threads must be None or above 0, but it is {self.threads!r}.")

    def _check_start(self, n_targets, n_features, coef, intercept):
        if coef is None and intercept is None:
            return None
        coef = np.zeros((n_targets, n_features)) if coef is None else np.asarray(coef, float)
        intercept = np.zeros(n_targets) if intercept is None else np.asarray(intercept, float)
        if coef.shape != (n_targets, n_features) or intercept.shape != (n_targets,):
            raise ValueError(
                f"coef_init and intercept_init must be of shapes {(n_targets, n_features)} and "
                f"{(n_targets,)}, but they are of {coef.shape} and {intercept.shape}."
            )
        start = np.column_stack([coef, intercept])
        if not np.isfinite(start).all():
            raise ValueError("coef_init and intercept_init must be finite, but hold NaN or inf.")
        return start


def _cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
