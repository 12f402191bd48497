"""Fit one-versus-rest logistic regression for all classes at once, on pixels that stay bytes.

The model is scikit-learn's ``OneVsRestClassifier(LogisticRegression(solver="liblinear"))``. For
each class k, with labels y_ik of +1 (of the class) or -1 (not of it), it minimises

    f_k(w) = 1/2 |w|^2 + C sum_i log(1 + exp(-y_ik w.x_i))

where every x_i ends in a constant 1, so that the intercept is penalised too, as liblinear does. f_k
has one minimum; whatever finds it finds the same model. Here it is found by Newton's method:

* Classes share X, so one pass over X serves many of them. A pass widens a small block of rows to
  floating point, multiplies it while it is in the cache, and forgets it.
* The Hessian is that of a part of the rows, drawn in proportion to their weight in the whole one
  [1]_, with the diagonal of the whole one. It is made anew when it has grown old.
* Steps are made conjugate [2]_, which makes up for what a part of the rows does not tell.
* A step goes as far as f_k sinks, so it converges from any start. Each w.x_i changes in proportion
  to the step's length, which therefore takes no pass to find. A step takes one pass, half of it for
  the gradient and half for the change.
* Without a start given, the rough solution on a tenth of the rows is one.
* Rows are summed in fixed blocks and the blocks in a fixed order, with one BLAS thread each. The
  result is the same to the last bit for any number of threads.

References
----------
.. [1] P. Xu, J. Yang, F. Roosta-Khorasani, C. Re, M. W. Mahoney, "Sub-sampled Newton methods with
   non-uniform sampling", NeurIPS 29 (2016).
.. [2] W. W. Hager, H. Zhang, "A survey of nonlinear conjugate gradient methods", Pacific J. Optim.
   2 (2006) 35-58.
"""

import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral, Real

import numpy as np
from scipy.linalg import get_lapack_funcs
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
BLOCK_BYTES = 1_600_000  # widened rows that stay in a core's cache
BLOCK_ROWS = 64  # in a block at least, however wide they are
TILE_PRODUCTS = 1_000_000  # of matrices no larger OpenBLAS makes no copy before it multiplies
PIECE_ROWS = 4096  # of which a thread holds a few numbers for each class
SLABS = 16  # shares of the rows, which threads take in one pass
GROUP = 16  # classes fitted together: bounds what is held for each row and class
SAMPLE_ROWS = 1000  # rows drawn for a Hessian: at least these, if there are so many,
SAMPLE_VALUES = 2**24  # and no more values than these, unless those rows hold more
RENEWAL = 0.5  # a Hessian lasts until passes have taken this part of its operations
FLAT = 0.05  # a step ends where the slope is at most this part of that at its start
SINGLE = 3e-7  # the relative gradient down to which single precision is of use, or until
PATIENCE = 10  # so many steps were none the better for any class
STRONG = 1.0  # the largest C of the rough solution: that of a larger one takes longer to find


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
        Class k is done when |grad f_k| <= tol |grad f_k(0)|, in double precision. Bytes are
        multiplied in single precision as far as that leads.
    max_iter : int, default=1000
        Steps after which to stop with a ConvergenceWarning.
    threads : int or None, default=None
        Threads, of which at most 16 are of use; None is one for each core this process may use.
    random_state : int, RandomState or None, default=0
        Draws the rows of the first solution; is handed on to the LogisticRegression.
    callback : callable or None, default=None
        Called as ``callback(step, objective, gradient, seconds)`` at the start and after every
        step: the sum of the f_k, the largest |grad f_k| / |grad f_k(0)| of those begun, the seconds
        since fit began. What it raises stops the fit.

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
        Steps on all rows, of the class that took the most.
    n_features_in_ : int

    Notes
    -----
    It converges on any data whose squares are finite, but slowly where regularization is weak (C of
    100 and more) and images have far more pixels than the Hessian's rows (256 x 256, thousands of
    them).

    Across computers, whose BLAS may sum in another order, expect objectives to agree to 1e-6, as
    tol has it, not bits.

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
        max_iter=1000,
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
                problem = _Problem(X, codes, targets[group], self.C, self.scale, pool)
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
        check_is_fitted(self, "coef_")
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
        check_is_fitted(self, "coef_")
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

    In shapes, k stands for classes, n for rows, d for features and the constant 1.
    """

    def __init__(self, X, codes, targets, C, scale, pool):
        self.X, self.codes, self.targets, self.C, self.pool = X, codes, targets, C, pool
        self.n, features = X.shape
        self.d = features + 1
        self.unit = np.append(np.full(features, scale, float), 1.0)
        self.set_precision(np.float32 if X.dtype == np.uint8 else np.float64)

    def set_precision(self, dtype):
        """Multiply in this precision from here on, in which nothing is known of any margin."""
        self.dtype, self.local = np.dtype(dtype), threading.local()
        # y_ik w.x_i at some W, and what a step of length 1 adds to it.
        self.margins = np.zeros((len(self.targets), self.n), dtype)
        self.change = np.zeros_like(self.margins)
        # A block of rows is widened at once, and multiplied tile by tile. A piece has several
        # blocks, and a slab several pieces.
        rows = max(BLOCK_ROWS, BLOCK_BYTES // (self.dtype.itemsize * self.d))
        rows = min(rows, PIECE_ROWS)
        tile = TILE_PRODUCTS // (self.d * len(self.targets)) // 8 * 8
        self.tile = tile if BLOCK_ROWS <= tile <= rows else rows
        self.block = rows // self.tile * self.tile
        blocks = -(-self.n // (SLABS * self.block))
        pieces = -(-blocks // (PIECE_ROWS // self.block))
        self.piece = -(-blocks // pieces) * self.block
        self.slab = pieces * self.piece

    def solve(self, W, tol, max_iter, random, report=lambda objective, gradient: None):
        """Minimise from W of shape (k, d), or from a start of its own if W is None.

        Returns the minimum's place, of shape (k, d), and the number of steps.
        """
        W = self.first_guess(random) if W is None else W.copy()
        k = np.arange(len(self.targets))
        f_zero, g_zero = self.objective(np.zeros_like(W), k)  # all margins are 0 as yet
        size = np.maximum(_norm(g_zero), np.finfo(float).tiny)
        # f(W) >= |W|^2 / 2, so such a start is worse than zero, and might overflow.
        W[np.abs(W).max(axis=1) > np.sqrt(2 * f_zero)] = 0
        f, g = self.evaluate(W, k) if W.any() else (f_zero.copy(), g_zero.copy())
        worse = f > f_zero
        W[worse], self.margins[worse], f[worse], g[worse] = 0, 0, f_zero[worse], g_zero[worse]

        S, g_last, solvers, passes, lifetime = np.zeros_like(W), g.copy(), {}, 0, 0
        least, progress = np.full(len(k), np.inf), 0
        # Enough to tell all features apart, and more where that costs no more than eight passes.
        rows = max(32 * self.n // self.d, min(2 * self.d, 2000), SAMPLE_ROWS)
        for step in range(max_iter + 1):
            gradient = _norm(g) / size
            if (gradient < 0.9 * least).any():
                least, progress = np.minimum(least, gradient), step
            there = (gradient <= max(tol, SINGLE)).all()
            if self.dtype == np.float32 and (there or step > progress + PATIENCE):
                # Single precision has no more to tell, and double precision has the last word.
                self.set_precision(np.float64)
                f, g = self.evaluate(W, k)
                gradient = _norm(g) / size
            report(f, gradient)
            live = k[gradient > tol]
            if step == max_iter or not len(live):
                break
            if passes > lifetime or not solvers.keys() >= set(live):
                rows = min(rows, self.n, max(SAMPLE_VALUES // self.d, SAMPLE_ROWS))
                # A pass takes 4 n d operations a class, a Hessian rows * d * min(rows, d).
                lifetime = RENEWAL * rows * min(rows, self.d) / (4 * self.n)
                solvers = {}  # gives their memory back before there are new ones
                solvers = self.newton_solvers(live, rows)
                rows, passes = 2 * rows, 0
            S[live] = self.direction(g[live], g_last[live], S[live], [solvers[i] for i in live])
            t = self.line_search(W[live], g[live], S[live], live)
            W[live] += t * S[live]
            g_last[live] = g[live]
            f[live], g[live] = self.objective(W[live], live, t)
            passes += 1
        return W, step

    def first_guess(self, random):
        """Return the rough solution on a tenth of the rows, or zero if they are too few."""
        tenth = self.n // 10
        if tenth < 4 * self.d:
            return np.zeros((len(self.targets), self.d))
        rows = np.sort(random.choice(self.n, tenth, replace=False))
        # Not 10 C: the stronger regularization offsets that fewer rows are fitted too closely.
        C, scale = min(self.C, STRONG), self.unit[0]
        X, codes = self.X[rows], self.codes[rows]
        part = _Problem(X, codes, self.targets, C, scale, self.pool)
        return part.solve(None, 1e-2, 20, random)[0]

    def direction(self, g, g_last, S_last, solvers):
        """Return a Newton step for each class, made conjugate to its last one: (k, d)."""
        S = -np.array(list(self.pool.map(lambda solve, r: solve(r), solvers, g)), float)
        turn = g - g_last
        rise, curvature = (S * turn).sum(axis=1), (S_last * turn).sum(axis=1)
        # Hestenes and Stiefel's factor; 0 at first, when there is no last step.
        factor = np.divide(-rise, curvature, out=np.zeros(len(g)), where=curvature > 0)
        conjugate = S + np.maximum(factor, 0)[:, None] * S_last
        sinks = (conjugate * g).sum(axis=1) < 0
        return np.where(sinks[:, None], conjugate, S)

    def line_search(self, W, g, S, classes):
        """Return how far along S, of shape (k, d), the f_k are about least, of shape (k, 1).

        By Newton's method on the slope, which only grows along S, and between known bounds; thirty
        guesses are enough for any but a slope that is all rounding.
        """
        self.set_margins(self.change, S, classes)
        start, along, square = ((A * S).sum(axis=1) for A in (g, W, S))
        t, low, high = np.ones(len(S)), np.zeros(len(S)), np.full(len(S), np.inf)
        left = np.arange(len(S))
        for _ in range(30):
            k, length = classes[left], t[left, None].astype(self.dtype)

            def visit(at, k=k, length=length):
                change = self.change[k, at]
                pulled = change * _pull(self.margins[k, at] + length * change)
                return np.array([-pulled.sum(axis=1), (pulled * (change - pulled)).sum(axis=1)])

            slope, curvature = self.C * self.sum_rows(visit)
            slope += along[left] + t[left] * square[left]
            step = -slope / (curvature + square[left])
            low[left] = np.where(slope < 0, t[left], low[left])
            high[left] = np.where(slope < 0, high[left], t[left])
            steep = np.abs(slope) > FLAT * np.abs(start[left])
            left, guess = left[steep], (t[left] + step)[steep]
            if not len(left):
                break
            middle = np.where(np.isinf(high[left]), 2 * t[left], (low[left] + high[left]) / 2)
            inside = (low[left] < guess) & (guess < high[left])
            t[left] = np.where(inside, guess, middle)
        return t[:, None]

    def evaluate(self, W, classes):
        """Return f (k,) and its gradient (k, d) at W (k, d), its margins made anew."""
        self.set_margins(self.margins, W, classes)
        return self.objective(W, classes)

    def objective(self, W, classes, t=0):
        """Move the margins by t (k, 1) of the change, to those of W (k, d).

        Return f (k,) and its gradient (k, d) there.
        """
        t = np.asarray(t, self.dtype)

        def visit(at):
            M = self.margins[classes, at]
            M += t * self.change[classes, at]
            self.margins[classes, at] = M
            loss = np.log1p(np.exp(-np.abs(M))) - np.minimum(M, 0)
            pulled = self.product(self.signs(at, classes) * _pull(M), at)
            return np.column_stack([pulled, loss.sum(axis=1)])

        sums = self.C * self.sum_rows(visit)
        return (W * W).sum(axis=1) / 2 + sums[:, -1], W - self.unit * sums[:, :-1]

    def set_margins(self, margins, W, classes):
        """Set margins (k, n) of the classes to y_ik w.x_i, for W of shape (k, d)."""
        V = (W * self.unit).astype(self.dtype)

        def visit(at):
            M = np.empty((len(V), at.stop - at.start), self.dtype)
            for here, tiles in self.blocks(at):
                Z = V @ tiles.transpose(0, 2, 1)
                M[:, here] = Z.transpose(1, 0, 2).reshape(len(V), -1)
            margins[classes, at] = self.signs(at, classes) * M
            return 0

        self.sum_rows(visit)

    def newton_solvers(self, classes, rows):
        """Return a dict from class to a function that nearly solves H x = r, from `rows` rows."""

        def visit(at):
            return self.product(_curvature(self.margins[classes, at]), at, power=2)

        def solver(k, diagonal):
            drawn, root = self.draw(k, rows)
            make = self.solver_by_features if self.d <= len(drawn) else self.solver_by_rows
            return make(drawn, root, diagonal)

        diagonals = self.C * self.unit**2 * self.sum_rows(visit)
        made = self.pool.map(solver, classes, diagonals)
        return dict(zip(classes, made, strict=True))

    def draw(self, k, rows):
        """Return rows that stand for all in class k's Hessian, and the roots of their weights.

        The chance of a row is its weight, and of rows that are drawn evenly spaced the sum of the
        weights varies the least. Those that are drawn twice come once, with twice the weight.
        """
        weight = self.C * _curvature(self.margins[k]).astype(float)
        if rows == self.n:
            return np.arange(rows), np.sqrt(weight)
        total = np.cumsum(weight)
        drawn = np.searchsorted(total, (np.arange(rows) + 0.5) / rows * total[-1])
        drawn, times = np.unique(drawn, return_counts=True)
        return drawn, np.sqrt(times * (total[-1] / rows))

    def solver_by_features(self, drawn, root, diagonal):
        """Return a function that solves (A'A + rest) x = r, for A of weighted rows of X."""
        # What is 0 in all these rows, as pixels at the border are, has its diagonal alone.
        lit = np.append(self.X[drawn].any(axis=0), True)
        H = np.zeros((lit.sum(), lit.sum()), self.dtype)
        # Added up by blocks: touching much new memory would take longer than the products.
        for at in range(0, len(drawn), self.block):
            some = slice(at, at + self.block)
            pixels = self.X[drawn[some]][:, lit[:-1]]
            A = _scaled(pixels, root[some], self.unit[lit], self.dtype)
            H += A.T @ A
        seen = np.zeros(self.d, self.dtype)
        seen[lit] = H.diagonal()
        rest = _rest(diagonal, seen)
        H.flat[:: len(H) + 1] += rest[lit]
        inverse = _inverse(H)

        def solve(r):
            x = r / rest
            x[lit] = inverse(r[lit])
            return x

        return solve if inverse else lambda r: r / (seen + rest)

    def solver_by_rows(self, drawn, root, diagonal):
        """Return the same function, by the Woodbury identity: a matrix of rows by rows is solved.

        In double precision, since it subtracts numbers that nearly cancel.
        """

        def by_columns():
            """Yield A in slices that are not too large."""
            width = max(1, SAMPLE_VALUES // 8 // len(drawn))
            for at in range(0, self.d, width):
                columns = slice(at, min(at + width, self.d))
                yield columns, _scaled(self.X[drawn, columns], root, self.unit[columns], float)

        def by_rows():
            """Yield X and the 1, a few rows at once: at each step the weights scale vectors."""
            for at in range(0, len(drawn), self.block):
                some = slice(at, at + self.block)
                yield some, _with_ones(self.X[drawn[some]], self.d, float)

        seen = np.concatenate([(A * A).sum(axis=0) for _, A in by_columns()])
        rest = _rest(diagonal, seen)
        H = np.eye(len(drawn))
        for columns, A in by_columns():
            A /= np.sqrt(rest[columns])
            H += A @ A.T
        inverse = _inverse(H)

        def solve(r):
            x = self.unit * r / rest
            y = np.concatenate([B @ x for _, B in by_rows()])
            y = root * inverse(root * y)
            back = sum(y[some] @ B for some, B in by_rows())
            return (r - self.unit * back) / rest

        return solve if inverse else lambda r: r / (seen + rest)

    def signs(self, at, classes):
        """Return y_ik of some rows, of shape (k, rows)."""
        return np.where(self.codes[at] == self.targets[classes, None], 1, -1).astype(self.dtype)

    def product(self, weights, at, power=1):
        """Return weights (k, rows) times the pixels of these rows to a power: (k, d)."""
        total = 0
        for here, tiles in self.blocks(at):
            turned = weights[:, here].reshape(len(weights), len(tiles), -1).transpose(1, 0, 2)
            total = total + (turned @ (tiles if power == 1 else tiles**power)).sum(axis=0)
        return total

    def blocks(self, at):
        """Yield block by block which of these rows it has, and their pixels and the 1.

        Those are of shape (tiles, rows, d), and last until the next block.
        """
        if not hasattr(self.local, "block"):
            self.local.block = np.ones((min(self.block, self.n), self.d), self.dtype)
        for first in range(at.start, at.stop, self.block):
            last = min(first + self.block, at.stop)
            block = self.local.block[: last - first]
            block[:, :-1] = self.X[first:last]
            tile = self.tile if len(block) % self.tile == 0 else len(block)
            yield slice(first - at.start, last - at.start), block.reshape(-1, tile, self.d)

    def sum_rows(self, visit):
        """Sum the arrays visit(rows) over all pieces of rows, always in the same order."""

        def visit_slab(first):
            total, last = 0, min(first + self.slab, self.n)
            for at in range(first, last, self.piece):
                total = total + np.asarray(visit(slice(at, min(at + self.piece, last))), float)
            return total

        return sum(self.pool.map(visit_slab, range(0, self.n, self.slab)))


def _pull(M):
    """Return 1 / (1 + exp(M)), the size of the loss's slope at a margin of M."""
    with np.errstate(over="ignore"):
        E = np.exp(M)
    E += 1
    return np.reciprocal(E, out=E)


def _curvature(M):
    pull = _pull(M)
    return pull * (1 - pull)


def _with_ones(pixels, columns, dtype):
    """Return the pixels as dtype, and a column of 1 after them if one column more is wanted."""
    A = np.ones((len(pixels), columns), dtype)
    A[:, : pixels.shape[1]] = pixels
    return A


def _scaled(pixels, root, unit, dtype):
    """Return the pixels and the 1, each row times its root and each column times its unit."""
    A = _with_ones(pixels, len(unit), dtype)
    A *= root[:, None].astype(dtype)
    A *= unit.astype(dtype)
    return A


def _rest(diagonal, seen):
    """Return what a Hessian's diagonal has beside that of the rows that were drawn."""
    rest = 1 + np.maximum(diagonal - seen, 0) + 100 * np.finfo(seen.dtype).eps * seen
    return rest.astype(seen.dtype)


def _inverse(H):
    """Return the function that solves H x = r, or None if H is not positive definite."""
    potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=H.dtype)
    L, failed = potrf(H.T, lower=True, overwrite_a=True, clean=False)
    return None if failed else lambda r: potrs(L, r.astype(H.dtype), lower=True)[0]


def _norm(A):
    return np.sqrt((A * A).sum(axis=1))


def _cores():
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS or Windows
        return os.cpu_count() or 1
