"""The grid that coefficients are rounded to, so that every processor finds the same ones."""

import numpy as np

#: The relative gradient that rounding makes, in the mean over its errors. Three times as much is
#: rare, and at most about where liblinear stops, 1e-5.
ROUNDED_GRADIENT = 3e-6


def grid_of(gradient_at_zero: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """Return the coarsest grid on which rounding leaves the relative gradient small.

    Rounding to multiples of `grid` adds errors of variance grid^2 / 12 to the coefficients, and so
    a gradient of about grid / sqrt(12) times the Frobenius norm of the Hessian, which its trace
    bounds.

    Parameters
    ----------
    gradient_at_zero : ndarray of shape (k,)
        |grad f_k(0)|.
    trace : ndarray of shape (k,)
        The traces of the Hessians at the minimum.

    Returns
    -------
    ndarray of shape (k,)
        Powers of two.
    """
    coarsest = ROUNDED_GRADIENT * np.sqrt(12) * gradient_at_zero / trace
    return 2.0 ** np.clip(np.floor(np.log2(coarsest)), -200, 200)


def rounded(W: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return W (k, d) rounded to multiples of its class's grid (k,)."""
    # Adding 0 turns -0 into 0, whose bits differ.
    return np.rint(W / grid[:, None]) * grid[:, None] + 0.0


def expected_mismatch(left: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return how many coefficients of each class (k,) may be expected to round otherwise elsewhere.

    Parameters
    ----------
    left : ndarray of shape (k, d)
        The distance to the minimum, about. A coefficient at a random place in its cell of the grid
        rounds to another multiple with probability |left| / grid.
    grid : ndarray of shape (k,)
    """
    return np.abs(left).sum(axis=1) / grid
