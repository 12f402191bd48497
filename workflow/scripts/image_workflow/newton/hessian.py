"""Approximate the Hessian of each class from a sample of the rows.

The Hessian of class k is I + C sum_i p (1 - p) x_i x_i'. The approximation is A'A + D. The rows of
A are sampled rows, each times the square root of its weight. D is a diagonal matrix, called
`residual` in the code. It makes the diagonal equal to that of the Hessian of all rows.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import get_lapack_funcs

from image_workflow.newton.objective import Objective

Solve = Callable[[np.ndarray], np.ndarray]


class SampledHessians:
    """Approximate Hessians of an objective's classes, at the W of its last evaluation."""

    def __init__(self, objective: Objective):
        self.objective, self.solvers = objective, {}
        self.block = objective.rows.block

    def missing(self, classes) -> np.ndarray:
        """Return the classes that have no Hessian."""
        return np.array([k for k in classes if k not in self.solvers], int)

    def renew(self, classes: np.ndarray, n_sampled: int) -> None:
        """Replace the Hessians of some classes, with samples of `n_sampled` rows."""
        for k in classes:  # release the memory of the old ones first
            self.solvers.pop(k, None)
        objective = self.objective

        def visit(piece):
            return objective.rows.weighted_sum(objective.weights(classes, piece), piece, power=2)

        diagonals = objective.C * objective.column_scale**2 * objective.rows.sum_pieces(visit)

        def solver(k, diagonal):
            sampled, sqrt_weights = self.sample(k, n_sampled)
            few_columns = objective.d <= len(sampled)
            make = self.solver_of_columns if few_columns else self.solver_of_rows
            return make(sampled, sqrt_weights, diagonal)

        self.solvers |= zip(classes, objective.pool.map(solver, classes, diagonals), strict=True)

    def newton_steps(self, gradient: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return -H^-1 g for the gradients (k, d) of some classes: (k, d)."""
        solved = self.objective.pool.map(lambda k, g: self.solvers[k](g), classes, gradient)
        return -np.array(list(solved), float).reshape(gradient.shape)

    def sample(self, k: int, n_sampled: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a sample of rows for class k's Hessian, and the square roots of their weights.

        A row is drawn with a probability proportional to its weight. Evenly spaced draws give the
        smallest variance. A row that is drawn twice is returned once, with twice the weight.
        """
        weights = self.objective.C * self.objective.weights(k).astype(float)
        if n_sampled == len(weights):
            return np.arange(n_sampled), np.sqrt(weights)
        total = np.cumsum(weights)
        sampled = np.searchsorted(total, (np.arange(n_sampled) + 0.5) / n_sampled * total[-1])
        sampled, times = np.unique(sampled, return_counts=True)
        return sampled, np.sqrt(times * (total[-1] / n_sampled))

    def pieces(self, sampled: np.ndarray) -> list[np.ndarray]:
        """Split an array into pieces of the size of a block."""
        return [sampled[at : at + self.block] for at in range(0, len(sampled), self.block)]

    def solver_of_columns(self, sampled, sqrt_weights, diagonal) -> Solve:
        """Return a function that solves (A'A + D) x = g, with a matrix of columns by columns."""
        objective, X = self.objective, self.objective.X
        # A column of zeros in all sampled rows, such as a pixel at the border, has a diagonal only.
        nonzero = np.ones(objective.d, bool)
        nonzero[:-1] = np.any([X[some].any(axis=0) for some in self.pieces(sampled)], axis=0)
        H = np.zeros((nonzero.sum(), nonzero.sum()), objective.dtype)
        # Add block by block: writing to much new memory would take longer than the products.
        for rows, roots in zip(self.pieces(sampled), self.pieces(sqrt_weights), strict=True):
            pixels = X[rows][:, nonzero[:-1]]
            A = scaled(pixels, roots, objective.column_scale[nonzero], objective.dtype)
            H += A.T @ A
        sampled_diagonal = np.zeros(objective.d, objective.dtype)
        sampled_diagonal[nonzero] = H.diagonal()
        residual = residual_diagonal(diagonal, sampled_diagonal)
        H.flat[:: len(H) + 1] += residual[nonzero]
        inverse = inverse_of(H)

        def solve(g):
            x = g / residual
            x[nonzero] = inverse(g[nonzero])
            return x

        return solve if inverse else lambda g: g / (sampled_diagonal + residual)

    def solver_of_rows(self, sampled, sqrt_weights, diagonal) -> Solve:
        """Return the same function, by the Woodbury identity with a matrix of rows by rows.

        Double precision is needed, because the identity subtracts numbers that nearly cancel.
        """
        objective, X = self.objective, self.objective.X
        column_scale, d = objective.column_scale, objective.d

        def by_columns():
            """Yield A in slices of columns that limit the memory."""
            width = max(1, objective.sizes.sampled_values // 8 // len(sampled))
            for at in range(0, d, width):
                columns = slice(at, min(at + width, d))
                A = scaled(X[sampled, columns], sqrt_weights, column_scale[columns], float)
                yield columns, A

        def by_rows():
            """Yield blocks of rows without weights, which are applied to vectors instead."""
            for at in range(0, len(sampled), self.block):
                some = slice(at, at + self.block)
                yield some, with_ones(X[sampled[some]], d, float)

        sampled_diagonal = np.concatenate([(A * A).sum(axis=0) for _, A in by_columns()])
        residual = residual_diagonal(diagonal, sampled_diagonal)
        H = np.eye(len(sampled))
        for columns, A in by_columns():
            A /= np.sqrt(residual[columns])
            H += A @ A.T
        inverse = inverse_of(H)

        def solve(g):
            x = column_scale * g / residual
            y = np.concatenate([B @ x for _, B in by_rows()])
            y = sqrt_weights * inverse(sqrt_weights * y)
            back = sum(y[some] @ B for some, B in by_rows())
            return (g - column_scale * back) / residual

        return solve if inverse else lambda g: g / (sampled_diagonal + residual)


def with_ones(pixels: np.ndarray, n_columns: int, dtype) -> np.ndarray:
    """Return the pixels as dtype, followed by a column of 1 if one more column is wanted."""
    A = np.ones((len(pixels), n_columns), dtype)
    A[:, : pixels.shape[1]] = pixels
    return A


def scaled(pixels, sqrt_weights, column_scale, dtype) -> np.ndarray:
    """Return the pixels and the 1, times the column scales and the square roots of weights."""
    A = with_ones(pixels, len(column_scale), dtype)
    A *= sqrt_weights[:, None].astype(dtype)
    A *= column_scale.astype(dtype)
    return A


def residual_diagonal(diagonal: np.ndarray, sampled_diagonal: np.ndarray) -> np.ndarray:
    """Return the diagonal of D: the Hessian's diagonal without that of the sampled rows."""
    eps = np.finfo(sampled_diagonal.dtype).eps
    residual = 1 + np.maximum(diagonal - sampled_diagonal, 0) + 100 * eps * sampled_diagonal
    return residual.astype(sampled_diagonal.dtype)


def inverse_of(H: np.ndarray) -> Solve | None:
    """Return a function that solves H x = g, or None if H is not positive definite."""
    potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=H.dtype)
    L, failed = potrf(H.T, lower=True, overwrite_a=True, clean=False)
    return None if failed else lambda g: potrs(L, g.astype(H.dtype), lower=True)[0]
