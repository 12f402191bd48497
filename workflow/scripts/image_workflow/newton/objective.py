"""The objectives f_k of a group of classes: values, gradients, line search, Hessian products.

In shapes, k is the number of classes, n of rows, and d of features including the constant 1.
"""

from concurrent.futures import Executor

import numpy as np

from image_workflow.newton.rows import Rows, Sizes, dot_rows, sum_rows

FLAT = 0.05  # a line search ends when the slope is at most this fraction of the slope at its start
LINE_SEARCH_STEPS = 30  # enough, unless the slope consists of rounding errors


class Objective:
    """The objectives f_k of a group of classes on a set of rows.

    Parameters
    ----------
    X : ndarray of shape (n, d - 1)
        float64, or uint8, which is multiplied in single precision until `set_precision` changes it.
    codes : ndarray of int, shape (n,)
        The class of each row.
    targets : ndarray of int, shape (k,)
        The classes of the group.
    C : float
        Inverse of the regularization rate.
    scale : float
        The value of one unit of X.
    pool : Executor
    sizes : Sizes

    Attributes
    ----------
    margins : ndarray of shape (k, n)
        y_ik w.x_i at the W of the last evaluation in working precision.
    margin_changes : ndarray of shape (k, n)
        The change of the margins for a step of length 1.
    hessian_weights : ndarray of shape (k, n), or None
        p (1 - p) of each row, at the W of the last evaluation in double precision.
    """

    def __init__(self, X, codes, targets, C, scale, pool: Executor, sizes: Sizes):
        self.X, self.codes, self.targets, self.C = X, codes, targets, C
        self.pool, self.sizes = pool, sizes
        self.n, self.d = X.shape[0], X.shape[1] + 1
        self.scale = scale
        self.column_scale = np.append(np.full(self.d - 1, scale, float), 1.0)
        self.double = Rows(X, len(targets), np.float64, pool, sizes)
        self.set_precision(np.float32 if X.dtype == np.uint8 else np.float64)

    def set_precision(self, dtype) -> None:
        """Change the working precision, and reset all margins to those of W = 0."""
        self.dtype = np.dtype(dtype)
        same = self.dtype == self.double.dtype
        self.rows = (
            self.double if same else Rows(self.X, len(self.targets), dtype, self.pool, self.sizes)
        )
        self.margins = np.zeros((len(self.targets), self.n), dtype)
        self.margin_changes = np.zeros_like(self.margins)
        self.hessian_weights = None

    def signs(self, rows: slice, classes: np.ndarray, dtype) -> np.ndarray:
        """Return y_ik of some rows: (k, rows)."""
        return np.where(self.codes[rows] == self.targets[classes, None], 1, -1).astype(dtype)

    def evaluate(self, W: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute the margins at W (k, d), and return f (k,) and its gradient (k, d)."""
        self.set_margins(self.margins, W, classes)
        return self.move(W, classes)

    def set_margins(self, margins: np.ndarray, W: np.ndarray, classes: np.ndarray) -> None:
        """Set the classes' margins, of shape (k, n), to y_ik w.x_i for W of shape (k, d)."""
        V = (W * self.column_scale).astype(self.dtype)

        def visit(rows, tiles):
            margins[classes, rows] = self.signs(rows, classes, self.dtype) * dot_rows(V, tiles)
            return 0

        self.rows.sum_blocks(visit)

    def move(self, W: np.ndarray, classes: np.ndarray, t=0) -> tuple[np.ndarray, np.ndarray]:
        """Add t (k, 1) times their change to the margins, and return f (k,) and gradient (k, d).

        W (k, d) is the point after the step.
        """
        t = np.asarray(t, self.dtype)

        def visit(piece):
            M = self.margins[classes, piece]
            M += t * self.margin_changes[classes, piece]
            self.margins[classes, piece] = M
            loss = np.log1p(np.exp(-np.abs(M))) - np.minimum(M, 0)
            signs = self.signs(piece, classes, self.dtype)
            slopes = self.rows.weighted_sum(signs * expit_of_minus(M), piece)
            return np.column_stack([slopes, loss.sum(axis=1)])

        sums = self.C * self.rows.sum_pieces(visit)
        return (W * W).sum(axis=1) / 2 + sums[:, -1], W - self.column_scale * sums[:, :-1]

    def line_search(self, W, gradient, S, classes: np.ndarray) -> np.ndarray:
        """Return the step lengths along S (k, d), from W (k, d), that nearly minimise f_k: (k, 1).

        The slope increases along S. Its zero is found with Newton's method between known bounds.
        Only the changes of the margins need a pass over the rows.
        """
        self.set_margins(self.margin_changes, S, classes)
        start, along, square = ((A * S).sum(axis=1) for A in (gradient, W, S))
        t, low, high = np.ones(len(S)), np.zeros(len(S)), np.full(len(S), np.inf)
        left = np.arange(len(S))
        for _ in range(LINE_SEARCH_STEPS):
            k, length = classes[left], t[left, None].astype(self.dtype)

            def visit(piece, k=k, length=length):
                change = self.margin_changes[k, piece]
                slopes = change * expit_of_minus(self.margins[k, piece] + length * change)
                return np.array([-slopes.sum(axis=1), (slopes * (change - slopes)).sum(axis=1)])

            slope, curvature = self.C * self.rows.sum_pieces(visit)
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

    def start_refinement(self) -> None:
        """Release the memory of the margins, and allocate the Hessian's weights."""
        self.margins = self.margin_changes = None
        self.hessian_weights = np.empty((len(self.targets), self.n), self.dtype)

    def evaluate_in_double(self, W: np.ndarray, classes: np.ndarray):
        """Return f (k,), its gradient (k, d) and C sum_i p (1 - p) (k,) at W (k, d).

        The computation is in double precision. It sets the `hessian_weights` of the classes.
        """
        V = W * self.column_scale

        def visit(rows, tiles):
            signs = self.signs(rows, classes, float)
            M = signs * dot_rows(V, tiles)
            E = np.exp(-np.abs(M))
            smaller = 1 / (1 + E)
            weights = E * smaller * smaller
            self.hessian_weights[classes, rows] = weights
            slopes = signs * np.where(M > 0, E * smaller, smaller)
            loss = np.log1p(E) - np.minimum(M, 0)
            return np.column_stack([sum_rows(slopes, tiles), loss.sum(axis=1), weights.sum(axis=1)])

        sums = self.C * self.double.sum_blocks(visit)
        f = (W * W).sum(axis=1) / 2 + sums[:, -2]
        return f, W - self.column_scale * sums[:, :-2], sums[:, -1]

    def hessian_product(self, S: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the product of the Hessian, with the current weights, and S (k, d): (k, d)."""
        V = (S * self.column_scale).astype(self.dtype)

        def visit(rows, tiles):
            return sum_rows(self.hessian_weights[classes, rows] * dot_rows(V, tiles), tiles)

        return S + self.C * self.column_scale * self.rows.sum_blocks(visit)

    def weights(self, classes, rows=slice(None)) -> np.ndarray:
        """Return p (1 - p) of some rows, from the weights if they exist, else from the margins."""
        if self.hessian_weights is not None:
            return self.hessian_weights[classes, rows]
        p = expit_of_minus(self.margins[classes, rows])
        return p * (1 - p)

    def mean_squared_row(self) -> float:
        """Return the mean of |x_i|^2 without the constant 1. It is exact for bytes."""
        total = self.double.sum_blocks(lambda _, tiles: np.vdot(tiles, tiles))
        return float((total / self.n - 1) * self.scale**2)


def expit_of_minus(M: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(M)), the absolute slope of the loss at a margin of M."""
    with np.errstate(over="ignore"):
        E = np.exp(M)
    E += 1
    return np.reciprocal(E, out=E)
