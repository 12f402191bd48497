"""Round coefficients to a grid, so that every processor finds the same coefficients."""

import numpy as np

#: The root mean square of the relative gradient that rounding adds. Three times as much is rare,
#: and is about the relative gradient at which liblinear stops, 1e-5.
ROUNDED_GRADIENT = 3e-6


def grid_of(gradient_at_zero: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """Return the coarsest grid for which rounding keeps the relative gradient small.

    Rounding to multiples of `grid` adds errors of variance grid^2 / 12 to the coefficients. They
    change the gradient by about grid / sqrt(12) times the Frobenius norm of the Hessian, and that
    norm is at most the Hessian's trace.

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
    # Adding 0 turns -0 into 0, which has other bits.
    return np.rint(W / grid[:, None]) * grid[:, None] + 0.0


def expected_mismatch(correction: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Return the expected number of coefficients that round differently on another processor.

    Parameters
    ----------
    correction : ndarray of shape (k, d)
        The approximate distance to the minimum. A coefficient with an error of e, at a random place
        in its cell of the grid, rounds to another multiple with probability |e| / grid.
    grid : ndarray of shape (k,)

    Returns
    -------
    ndarray of shape (k,)
        The expected number for each class.
    """
    return np.abs(correction).sum(axis=1) / grid
