"""Approximate Hessians, one for each class, from a sample of the rows.

The Hessian of class k is I + C sum_i p (1 - p) x_i x_i'. Here it is A'A + rest: the rows of A are
drawn rows, each times the square root of its weight, and the diagonal `rest` brings the diagonal to
that of all rows.
"""

from collections.abc import Callable

import numpy as np
from scipy.linalg import get_lapack_funcs

from lib.newton.objective import Objective

Solve = Callable[[np.ndarray], np.ndarray]


class SampledHessians:
    """Approximate Hessians of an objective's classes, at the W that it was last evaluated at."""

    def __init__(self, objective: Objective):
        self.objective, self.solvers = objective, {}
        self.block = objective.rows.block

    def missing(self, classes) -> np.ndarray:
        """Return those of the classes that have no Hessian."""
        return np.array([k for k in classes if k not in self.solvers], int)

    def renew(self, classes: np.ndarray, n_drawn: int) -> None:
        """Make the Hessians of some classes anew, from so many rows."""
        for k in classes:  # give their memory back before there are new ones
            self.solvers.pop(k, None)
        objective = self.objective

        def visit(piece):
            return objective.rows.weighted_sum(objective.weights(classes, piece), piece, power=2)

        diagonals = objective.C * objective.column_scale**2 * objective.rows.sum_pieces(visit)

        def solver(k, diagonal):
            drawn, sqrt_weights = self.draw(k, n_drawn)
            few_columns = objective.d <= len(drawn)
            make = self.solver_of_columns if few_columns else self.solver_of_rows
            return make(drawn, sqrt_weights, diagonal)

        self.solvers |= zip(classes, objective.pool.map(solver, classes, diagonals), strict=True)

    def newton_steps(self, gradient: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return -H^-1 g for the gradients (k, d) of some classes: (k, d)."""
        solved = self.objective.pool.map(lambda k, g: self.solvers[k](g), classes, gradient)
        return -np.array(list(solved), float).reshape(gradient.shape)

    def draw(self, k: int, n_drawn: int) -> tuple[np.ndarray, np.ndarray]:
        """Return rows that stand for all in class k's Hessian, and the roots of their weights.

        The chance of a row is its weight, and of rows that are drawn evenly spaced the sum of the
        weights varies the least. Those that are drawn twice come once, with twice the weight.
        """
        weights = self.objective.C * self.objective.weights(k).astype(float)
        if n_drawn == len(weights):
            return np.arange(n_drawn), np.sqrt(weights)
        total = np.cumsum(weights)
        drawn = np.searchsorted(total, (np.arange(n_drawn) + 0.5) / n_drawn * total[-1])
        drawn, times = np.unique(drawn, return_counts=True)
        return drawn, np.sqrt(times * (total[-1] / n_drawn))

    def pieces(self, drawn: np.ndarray) -> list[np.ndarray]:
        """Return an array of drawn rows in pieces of a block each."""
        return [drawn[at : at + self.block] for at in range(0, len(drawn), self.block)]

    def solver_of_columns(self, drawn, sqrt_weights, diagonal) -> Solve:
        """Return a function that solves (A'A + rest) x = g with a matrix of columns by columns."""
        objective, X = self.objective, self.objective.X
        # A column that is 0 in all drawn rows, as pixels at the border are, has its diagonal alone.
        lit = np.ones(objective.d, bool)
        lit[:-1] = np.any([X[some].any(axis=0) for some in self.pieces(drawn)], axis=0)
        H = np.zeros((lit.sum(), lit.sum()), objective.dtype)
        # Added up by blocks: touching much new memory would take longer than the products.
        for rows, roots in zip(self.pieces(drawn), self.pieces(sqrt_weights), strict=True):
            pixels = X[rows][:, lit[:-1]]
            A = scaled(pixels, roots, objective.column_scale[lit], objective.dtype)
            H += A.T @ A
        sampled_diagonal = np.zeros(objective.d, objective.dtype)
        sampled_diagonal[lit] = H.diagonal()
        rest = rest_of_diagonal(diagonal, sampled_diagonal)
        H.flat[:: len(H) + 1] += rest[lit]
        inverse = inverse_of(H)

        def solve(g):
            x = g / rest
            x[lit] = inverse(g[lit])
            return x

        return solve if inverse else lambda g: g / (sampled_diagonal + rest)

    def solver_of_rows(self, drawn, sqrt_weights, diagonal) -> Solve:
        """Return the same function by the Woodbury identity, with a matrix of rows by rows.

        In double precision, since it subtracts numbers that nearly cancel.
        """
        objective, X = self.objective, self.objective.X
        column_scale, d = objective.column_scale, objective.d

        def by_columns():
            """Yield A in slices that are not too large."""
            width = max(1, objective.sizes.sampled_values // 8 // len(drawn))
            for at in range(0, d, width):
                columns = slice(at, min(at + width, d))
                A = scaled(X[drawn, columns], sqrt_weights, column_scale[columns], float)
                yield columns, A

        def by_rows():
            """Yield X and the 1, a few rows at once: at each step the weights scale vectors."""
            for at in range(0, len(drawn), self.block):
                some = slice(at, at + self.block)
                yield some, with_ones(X[drawn[some]], d, float)

        sampled_diagonal = np.concatenate([(A * A).sum(axis=0) for _, A in by_columns()])
        rest = rest_of_diagonal(diagonal, sampled_diagonal)
        H = np.eye(len(drawn))
        for columns, A in by_columns():
            A /= np.sqrt(rest[columns])
            H += A @ A.T
        inverse = inverse_of(H)

        def solve(g):
            x = column_scale * g / rest
            y = np.concatenate([B @ x for _, B in by_rows()])
            y = sqrt_weights * inverse(sqrt_weights * y)
            back = sum(y[some] @ B for some, B in by_rows())
            return (g - column_scale * back) / rest

        return solve if inverse else lambda g: g / (sampled_diagonal + rest)


def with_ones(pixels: np.ndarray, n_columns: int, dtype) -> np.ndarray:
    """Return the pixels as dtype, and a column of 1 after them if one column more is wanted."""
    A = np.ones((len(pixels), n_columns), dtype)
    A[:, : pixels.shape[1]] = pixels
    return A


def scaled(pixels, sqrt_weights, column_scale, dtype) -> np.ndarray:
    """Return the pixels and the 1, times the root of the row's weight and the column's scale."""
    A = with_ones(pixels, len(column_scale), dtype)
    A *= sqrt_weights[:, None].astype(dtype)
    A *= column_scale.astype(dtype)
    return A


def rest_of_diagonal(diagonal: np.ndarray, sampled_diagonal: np.ndarray) -> np.ndarray:
    """Return what a Hessian's diagonal has beside that of the rows that were drawn."""
    eps = np.finfo(sampled_diagonal.dtype).eps
    rest = 1 + np.maximum(diagonal - sampled_diagonal, 0) + 100 * eps * sampled_diagonal
    return rest.astype(sampled_diagonal.dtype)


def inverse_of(H: np.ndarray) -> Solve | None:
    """Return the function that solves H x = g, or None if H is not positive definite."""
    potrf, potrs = get_lapack_funcs(("potrf", "potrs"), dtype=H.dtype)
    L, failed = potrf(H.T, lower=True, overwrite_a=True, clean=False)
    return None if failed else lambda g: potrs(L, g.astype(H.dtype), lower=True)[0]
