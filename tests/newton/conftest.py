"""Fixtures for the tests of the Newton solver."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from image_workflow.newton import NewtonOneVsRest
from image_workflow.newton.rows import Sizes


@pytest.fixture(scope="module")
def digits():
    """Return 1,797 images of 8 x 8 pixels from 0 to 16, and labels. Three pixels are always 0."""
    X, y = load_digits(return_X_y=True)
    return X.astype(np.uint8), y


@pytest.fixture
def set_sizes(monkeypatch):
    """Return a function that changes how many rows the estimator handles at once."""
    return lambda **sizes: monkeypatch.setattr(NewtonOneVsRest, "_sizes", Sizes(**sizes))
