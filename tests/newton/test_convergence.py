"""Test that the solver converges on unusual and on random data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_workflow.newton import NewtonOneVsRest
from newton_problems import noisy_patterns, relative_gradient

pytestmark = pytest.mark.filterwarnings("error")


def separable_classes():
    return np.repeat([[0, 0], [255, 255]], 20, axis=0), np.repeat(["no", "yes"], 20)


def constant_and_duplicated_columns():
    X, y = noisy_patterns(n=300, side=5)
    return np.hstack([X, X, np.full((300, 2), 7), np.zeros((300, 1))]), y


def one_sample_for_each_class():
    X = np.random.default_rng(0).integers(0, 256, (19, 30))
    return X, np.arange(19)


def one_pixel():
    return noisy_patterns(n=500, side=1, classes=3)


def many_classes():
    return noisy_patterns(n=1500, side=6, classes=256)


def more_pixels_than_rows():
    return noisy_patterns(n=40, side=256, classes=2)


def black_images():
    return np.zeros((12, 4)), np.arange(12) % 3


def random_labels():
    """Return data with a small gradient at zero, which makes the relative tolerance strict."""
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (4000, 4)) * (random.random((4000, 4)) < 0.1)
    return X, random.integers(0, 2, 4000)


def rare_class():
    X, y = noisy_patterns(n=1000, side=6, classes=2)
    return X, np.where(np.arange(1000) == 500, 2, y)


@pytest.mark.parametrize("C", [0.01, 1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        separable_classes,
        constant_and_duplicated_columns,
        one_sample_for_each_class,
        one_pixel,
        many_classes,
        more_pixels_than_rows,
        black_images,
        random_labels,
        rare_class,
    ],
)
def test_solver_converges_on_unusual_data(data, C):
    X, y = data()
    X = X.astype(np.uint8)
    model = NewtonOneVsRest(C=C, scale=1 / 255).fit(X, y).to_sklearn()
    assert relative_gradient(model, X / 255, y, C) < 1.1e-6
    rounded = NewtonOneVsRest(C=C, scale=1 / 255, reproducible=True).fit(X, y).to_sklearn()
    assert relative_gradient(rounded, X / 255, y, C) < 1.1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 150), st.integers(1, 12)),
    classes=st.integers(2, 6),
    C=st.floats(1e-4, 1e4),
    spread=st.floats(1e-3, 1e3),
)
def test_solver_converges_on_random_data(seed, shape, classes, C, spread):
    random = np.random.default_rng(seed)
    X = spread * random.standard_normal(shape) + random.standard_normal()
    y = random.integers(0, classes, shape[0])
    y[:2] = 0, 1
    model = NewtonOneVsRest(C=C).fit(X, y).to_sklearn()
    assert relative_gradient(model, X, y, C) < 1.1e-6
