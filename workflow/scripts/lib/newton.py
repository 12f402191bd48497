"""Fit one-versus-rest logistic regression for all classes at once, on pixels that stay bytes.

The model is scikit-learn's ``OneVsRestClassifier(LogisticRegression(solver="liblinear"))``. For
each class k, with labels y_ik of +1 (of the class) or -1 (not of it), it minimises

    f_k(w) = 1/2 |w|^2 + C sum_i log(1 + exp(-y_ik w.x_i))

where every x_i ends in a constant 1, so that the intercept is penalised too, as liblinear does. f_k
has one minimum; whatever finds it finds the same model. Here it is found by Newton's method:

* All classes share X, so one pass over X serves them all. A pass widens a small block of rows to
  floating point, multiplies it while it is in the cache, and forgets it.
* A Newton step solves H s = -g by preconditioned conjugate gradients, one pass an iteration, only
  as precisely as the step deserves [1]_.
* The preconditioner is the Hessian of a few thousand rows, drawn in proportion to their weight in
  the whole one [2]_, with the diagonal of the whole one.
* A line search makes every step descend, so it converges from any start. Without a start given, the
  solution of a tenth of the rows is one; where regularization is weak, a step for each of a few
  stronger ones leads on from there. It never depends on what was fitted before.
* Rows are summed in fixed blocks and the blocks in a fixed order, with one BLAS thread each. The
  result is the same to the last bit for any number of threads.

References
----------
.. [1] C.-J. Lin, R. C. Weng, S. S. Keerthi, "Trust region Newton method for large-scale logistic
   regression", JMLR 9 (2008) 627-650.
.. [2] P. Xu, J. Yang, F. Roosta-Khorasani, C. Re, M. W. Mahoney, "Sub-sampled Newton methods with
   non-uniform sampling", NeurIPS 29 (2016).
.. [3] W. W. Hager, H. Zhang, "A new conjugate gradient method with guaranteed descent and an
   efficient line search", SIAM J. Optim. 16 (2005) 170-192.
"""

import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from math import ceil, log
from numbers import Integral, Real

import numpy as np
from scipy.linalg import get_blas_funcs, get_lapack_funcs
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from lib.model import assembled

# Sizes decide speed and memory, and the last bits of the result; so none depends on the computer.
BLOCK_BYTES = 2_400_000  # widened rows that stay in a core's cache
BLOCK_ROWS = 64  # in a block at least, however wide they are
SLABS = 16  # pieces of work that threads share in one pass
GROUP = 16  # classes fitted together: bounds what is held for each row and class
SAMPLE_ROWS = 1000  # rows drawn for a preconditioner: at least these, if there are so many,
SAMPLE_VALUES = 2**24  # and no more values than these, unless those rows hold more
CG_ITERATIONS = 200
WEAK = 10  # a C from which the start is the path of solutions, followed in steps of
STRIDE = 3  # at most this factor


class NewtonOneVsRest(ClassifierMixin, BaseEstimator):
    """One-versus-rest L2 logistic regression with liblinear's objective, by Newton's method.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the regularization rate.
    scale : float, default=1.0
        What one unit of X stands for. 1/255 makes bytes intensities from 0 to 1; the coefficients
        act on those.
    tol : float, default=1e-6
        Class k is done when |grad f_k| <= tol |grad f_k(0)|. Bytes are multiplied in single
        precision down to a tol of 1e-7, in double precision below it and for any other X.
    max_iter : int, default=200
        Newton steps after which to stop with a ConvergenceWarning.
    threads : int or None, default=None
        Threads, of which at most 16 are of use; None is one for each core this process may use.
    random_state : int, RandomState or None, default=0
        Draws the rows of the first solution; is handed on to the LogisticRegression.
    callback : callable or None, default=None
        Called as ``callback(step, objective, gradient, seconds)`` at the start and after every
        Newton step: the sum of the f_k, the largest |grad f_k| / |grad f_k(0)| of those begun, the
        seconds since fit began. What it raises stops the fit.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (n_classes,) or (1,)
    objective_ : ndarray of shape (n_classes,) or (1,)
        f_k at the solution.
    gradient_ : ndarray of shape (n_classes,) or (1,)
        |grad f_k| / |grad f_k(0)| at the solution.
    n_iter_ : int
        Newton steps on all rows, of the class that took the most.
    n_features_in_ : int

    Notes
    -----
    It converges on any finite data, but slowly where regularization is weak (C of 100 and more) and
    images have far more pixels than the preconditioner's rows (256 x 256, thousands of them).

    Single precision resolves gradients to about 1e-8 of the start. Across computers, whose BLAS may
    sum in another order, expect objectives to agree to 1e-6, as tol has it, not bits.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = NewtonOneVsRest(C=2, scale=1 / 16).fit(X.astype("uint8"), y).to_sklearn()
    >>> model.predict(X[:3] / 16)
    array([0, 1, 2])
    """

    def __init__(
        self,
        C=1.0,
        *,
        scale=1.0,
        tol=1e-6,
        max_iter=200,
        threads=None,
        random_state=0,
        callback=None,
    ):
        self.C, self.scale, self.tol, self.max_iter = C, scale, tol, max_iter
        self.threads, self.random_state, self.callback = threads, random_state, callback

    def fit(self, X, y, coef_init=None, intercept_init=None):
        """Fit all classes.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            uint8, not copied and so best memory-mapped when large; or anything float64 can hold.
        y : array of shape (n_samples,)
        coef_init, intercept_init : arrays shaped like coef_ and intercept_, optional
            Where to start, such as the solution for a neighbouring C. It changes the time, not the
            result beyond tol.

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

        dtype = np.float32 if X.dtype == np.uint8 and self.tol >= 1e-7 else np.float64
        random = check_random_state(self.random_state)
        weights = np.zeros((len(targets), X.shape[1] + 1))
        self.objective_ = np.full(len(targets), self.C * len(X) * np.log(2))
        self.gradient_ = np.zeros(len(targets))
        step = -1

        def report(objective, gradient):
            nonlocal step
            step += 1
            self.objective_[group], self.gradient_[group] = objective, gradient
            if self.callback is not None:
                seconds = time.perf_counter() - started
                self.callback(step, self.objective_.sum(), self.gradient_.max(), seconds)

        self.n_iter_ = 0
        threads = self.threads or _cores()
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            for first in range(0, len(targets), GROUP):
                group = slice(first, first + GROUP)
                problem = _Problem(X, codes, targets[group], self.C, self.scale, dtype, pool)
                W = None if start is None else start[group]
                weights[group], steps = problem.solve(W, self.tol, self.max_iter, random, report)
                self.n_iter_ = max(self.n_iter_, steps)
        if not self.gradient_.max() <= self.tol:
            warnings.warn(
                f"Newton's method stopped after {self.n_iter_} steps at a relative gradient of "
                f"{self.gradient_.max():.2g}, above tol={self.tol}: raise max_iter or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.coef_, self.intercept_ = weights[:, :-1].copy(), weights[:, -1].copy()
        return self

    def to_sklearn(self):
        """Hand the model on as plain scikit-learn, which needs no code of this module.

        Returns
        -------
        model : OneVsRestClassifier
            Of fitted LogisticRegressions, one a class, or one alone for two classes. Its features
            are ``X * scale``. Fitting a clone of it fits the same model by liblinear.
        """
        check_is_fitted(self)
        binary = LogisticRegression(C=self.C, solver="liblinear", random_state=self.random_state)
        steps = [self.n_iter_] * len(self.coef_)
        model = OneVsRestClassifier(binary)
        return assembled(model, self.classes_, self.coef_, self.intercept_, steps)

    def decision_function(self, X):
        """Return w.x, of shape (n_samples, n_classes), or (n_samples,) for two classes."""
        return self._by_blocks("decision_function", X)

    def predict_proba(self, X):
        """Return the classes' probabilities, of shape (n_samples, n_classes)."""
        return self._by_blocks("predict_proba", X)

    def predict(self, X):
        """Return the likeliest class of each row, of shape (n_samples,)."""
        return self._by_blocks("predict", X)

    def _by_blocks(self, method, X):
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32, np.uint8], reset=False)
        predict = getattr(self.to_sklearn(), method)
        rows = max(1, 10 * BLOCK_BYTES // (8 * X.shape[1]))
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


class _Problem:
    """The objectives f_k of one group of classes on one set of rows.

    In shapes, k stands for classes, d for features and the constant 1, b for the rows of a block.
    """

    def __init__(self, X, codes, targets, C, scale, dtype, pool):
        self.X, self.codes, self.targets, self.C, self.scale = X, codes, targets, C, scale
        self.dtype, self.pool = np.dtype(dtype), pool
        self.n, features = X.shape
        self.d = features + 1
        self.unit = np.append(np.full(features, scale, float), 1.0)
        self.block = max(BLOCK_ROWS, BLOCK_BYTES // (self.dtype.itemsize * self.d))
        # p (1 - p) of each row and class, times C: what a row adds to the Hessian
        self.curvature = np.zeros((self.n, len(targets)), self.dtype)

    def solve(self, W, tol, max_iter, random, report=lambda objective, gradient: None):
        """Minimise from W of shape (k, d), or from a start of its own if W is None.

        Returns the minimum's place, of shape (k, d), and the number of steps.
        """
        k = np.arange(len(self.targets))
        zero = np.zeros((len(k), self.d))
        f_zero, g_zero = self.evaluate(zero, k)
        size = np.maximum(_norm(g_zero), np.finfo(float).tiny)
        W = self.first_guess(random) if W is None else W.copy()
        # f(W) >= |W|^2 / 2, so such a start is worse than zero, and might overflow.
        W[np.abs(W).max(axis=1) > np.sqrt(2 * f_zero)] = 0
        f, g = self.evaluate(W, k) if W.any() else (f_zero, g_zero)
        worse = k[f > f_zero]
        if len(worse):
            W[worse] = 0
            f[worse], g[worse] = self.evaluate(W[worse], worse)

        solvers, spent = None, 0
        rows = max(32 * self.n // self.d, min(2 * self.d, 4000), SAMPLE_ROWS)
        for step in range(max_iter + 1):
            gradient = _norm(g) / size
            report(f, gradient)
            live = k[gradient > tol]
            if step == max_iter or not len(live):
                break
            # Anew when the passes since would have paid for it: in operations a class, 4 n d a pass
            # against rows * d * min(rows, d), of which a core does more a second.
            rows = min(rows, self.n, max(SAMPLE_VALUES // self.d, SAMPLE_ROWS))
            if solvers is None or spent > 0.7 * rows * min(rows, self.d) / (4 * self.n):
                solvers = self.preconditioners(live, rows)
                rows, spent = 2 * rows, 0
            precision = np.clip(np.sqrt(gradient[live]), 0.5 * tol / gradient[live], 0.3)
            S, iterations = self.direction(g[live], live, solvers, precision)
            spent += iterations
            if not self.line_search(W, f, g, S, live):
                break
        return W, step

    def first_guess(self, random):
        """Return the rough solution on a tenth of the rows, or zero if they are too few.

        Where C is large, that is far away: then go on from it by a step for each of some smaller C.
        """
        if self.C > WEAK:
            W, stronger = None, copy(self)
            for power in range(ceil(log(self.C / WEAK, STRIDE)), 0, -1):
                stronger.C = self.C / STRIDE**power
                W, _ = stronger.solve(W, 1e-6, 1, random)
            return W
        tenth = self.n // 10
        if tenth < 4 * self.d:
            return np.zeros((len(self.targets), self.d))
        rows = np.sort(random.choice(self.n, tenth, replace=False))
        # C stays: the stronger regularization offsets that fewer rows are fitted too closely.
        X, codes = self.X[rows], self.codes[rows]
        part = _Problem(X, codes, self.targets, self.C, self.scale, self.dtype, self.pool)
        return part.solve(None, 1e-2, 20, random)[0]

    def direction(self, g, live, solvers, precision):
        """Solve H s = -g for the live classes by conjugate gradients; also count iterations."""
        S, R, P = np.zeros_like(g), -g, np.zeros_like(g)
        rho = np.ones(len(live))
        goal = precision * _norm(g)
        on = np.arange(len(live))
        iterations = 0
        while len(on) and iterations < CG_ITERATIONS:
            iterations += 1
            jobs = [solvers[i] for i in live[on]]
            Z = np.array(list(self.pool.map(lambda solve, r: solve(r), jobs, R[on])), float)
            new = (R[on] * Z).sum(axis=1)
            P[on] = Z + (new / rho[on])[:, None] * P[on]
            rho[on] = new
            HP = self.hessian_product(P[on], live[on])
            alpha = (new / (P[on] * HP).sum(axis=1))[:, None]
            S[on] += alpha * P[on]
            R[on] -= alpha * HP
            on = on[_norm(R[on]) > goal[on]]
        return S, iterations

    def line_search(self, W, f, g, S, live):
        """Move live classes along S, in place, as far as f descends; return whether any moved."""
        slope = (g[live] * S).sum(axis=1)
        t = np.ones(len(live))
        left = np.arange(len(live))
        for _ in range(30):
            k = live[left]
            trial = W[k] + t[left, None] * S[left]
            f_new, g_new = self.evaluate(trial, k)
            slope_new = (g_new * S[left]).sum(axis=1)
            # Below f's rounding errors its slope still tells how far to go [3].
            rounding = 10 * np.finfo(self.dtype).eps * f[k]
            good = (f_new <= f[k] + 1e-4 * t[left] * slope[left]) | (
                (f_new <= f[k] + rounding) & (slope_new <= -0.8 * slope[left])
            )
            W[k[good]], f[k[good]], g[k[good]] = trial[good], f_new[good], g_new[good]
            left, slope_new = left[~good], slope_new[~good]
            t[left] *= np.clip(slope[left] / (slope[left] - slope_new), 0.1, 0.5)
            if not len(left):
                break
        return len(left) < len(live)

    def evaluate(self, W, classes):
        """Return f (k,) and its gradient (k, d) at W (k, d); keep the curvature there."""
        V = (W * self.unit).T.astype(self.dtype)
        targets = self.targets[classes]

        def visit(at, B):
            sign = np.where(self.codes[at, None] == targets, -1, 1).astype(self.dtype)
            Z = sign * (B @ V)
            E = np.exp(-np.abs(Z))
            loss = (np.maximum(Z, 0) + np.log1p(E)).sum(axis=0, dtype=float)
            Q = 1 / (1 + E)
            self.curvature[at, classes] = E * Q * Q * self.C
            gradient = _turned(sign * np.where(Z > 0, Q, E * Q)) @ B
            return np.column_stack([gradient, loss])

        sums = self.sum_blocks(visit)
        gradient, loss = sums[:, :-1], sums[:, -1]
        return (W * W).sum(axis=1) / 2 + self.C * loss, W + self.C * self.unit * gradient

    def hessian_product(self, P, classes):
        """Return H_k p_k for each row p_k of P, both of shape (k, d)."""
        V = (P * self.unit).T.astype(self.dtype)

        def visit(at, B):
            return _turned(self.curvature[at, classes] * (B @ V)) @ B

        return P + self.unit * self.sum_blocks(visit)

    def preconditioners(self, classes, rows):
        """Return a dict from class to a function that nearly solves H x = r, from `rows` rows."""

        def visit(at, B):
            return _turned(self.curvature[at, classes]) @ (B * B)

        diagonals = self.unit**2 * self.sum_blocks(visit)
        made = self.pool.map(lambda *a: self.preconditioner(*a, rows), classes, diagonals)
        return dict(zip(classes, made, strict=True))

    def preconditioner(self, k, diagonal, rows):
        """Return a function that solves (A'A + diag(rest)) x = r, for A of weighted rows of X."""
        weight = self.curvature[:, k].astype(float)
        if rows == self.n:
            drawn, root = np.arange(rows), np.sqrt(weight)
        else:
            # Every row's chance is its weight; evenly spaced draws vary the least.
            total = np.cumsum(weight)
            drawn = np.searchsorted(total, (np.arange(rows) + 0.5) / rows * total[-1])
            drawn, times = np.unique(drawn, return_counts=True)
            root = np.sqrt(times * (total[-1] / rows))
            rows = len(drawn)
        # The Woodbury identity subtracts numbers that nearly cancel.
        dtype = self.dtype if self.d <= rows else np.dtype(float)

        def scaled(pixels, root, unit):
            """Return part of A; where it has a column more than the pixels, that is the 1."""
            A = np.ones((len(pixels), len(unit)), dtype)
            A[:, : pixels.shape[1]] = pixels
            A *= root[:, None].astype(dtype)
            A *= unit.astype(dtype)
            return A

        def by_columns():
            """Yield A in slices that are not too large."""
            width = SAMPLE_VALUES // rows
            for at in range(0, self.d, width):
                columns = slice(at, min(at + width, self.d))
                yield columns, scaled(self.X[drawn, columns], root, self.unit[columns])

        seen = np.zeros(self.d, dtype)
        if self.d <= rows:
            # What is 0 in all these rows, as pixels at the border are, has its diagonal alone.
            lit = np.append(self.X[drawn].any(axis=0), True)
            # Added up by blocks: touching much new memory would take longer than the products.
            H = np.zeros((lit.sum(), lit.sum()), dtype)
            for at in range(0, rows, self.block):
                some = slice(at, at + self.block)
                A = scaled(self.X[drawn[some]][:, lit[:-1]], root[some], self.unit[lit])
                H += A.T @ A
            seen[lit] = H.diagonal()
        else:
            for columns, A in by_columns():
                seen[columns] = np.einsum("ij,ij->j", A, A)
        rest = 1 + np.maximum(diagonal - seen, 0) + 100 * np.finfo(dtype).eps * seen
        rest = rest.astype(dtype)
        potrf, potri, potrs = get_lapack_funcs(("potrf", "potri", "potrs"), dtype=dtype)
        if self.d <= rows:
            (symv,) = get_blas_funcs(("symv",), dtype=dtype)
            H.flat[:: len(H) + 1] += rest[lit]
            L, failed = potrf(H.T, lower=True, overwrite_a=True, clean=False)
            inverse, _ = potri(L, lower=True, overwrite_c=True)

            def solve(r):
                x = r.astype(dtype) / rest
                x[lit] = symv(1, inverse, r[lit].astype(dtype), lower=True)
                return x

        else:  # the same by the Woodbury identity, in the space of the rows
            H = sum((A / rest[columns]) @ A.T for columns, A in by_columns())
            H.flat[:: rows + 1] += 1
            L, failed = potrf(H.T, lower=True, overwrite_a=True, clean=False)

            def solve(r):
                x = r / rest
                y = sum(A @ x[columns] for columns, A in by_columns())
                y, _ = potrs(L, y, lower=True)
                for columns, A in by_columns():
                    x[columns] -= (y @ A) / rest[columns]
                return x

        if failed:
            return lambda r: r / (seen + rest)
        return solve

    def sum_blocks(self, visit):
        """Sum the arrays visit(rows, block) over all blocks, always in the same order."""
        size = -(-self.n // (SLABS * self.block)) * self.block

        def visit_slab(first):
            buffer = np.ones((min(self.block, self.n), self.d), self.dtype)
            total = 0
            last = min(first + size, self.n)
            for at in range(first, last, self.block):
                rows = slice(at, min(at + self.block, last))
                block = buffer[: rows.stop - at]
                block[:, :-1] = self.X[rows]
                total = total + visit(rows, block).astype(float)
            return total

        return sum(self.pool.map(visit_slab, range(0, self.n, size)))


def _turned(A):
    # A tenth faster in a product than the transposed view, which BLAS would turn by itself.
    return np.ascontiguousarray(A.T)


def _norm(A):
    return np.sqrt((A * A).sum(axis=1))


def _cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
