"""Test how the solver reads the rows of the images."""

import tracemalloc

import numpy as np
import pytest

from image_workflow.newton import NewtonOneVsRest
from newton_problems import noisy_patterns

pytestmark = pytest.mark.filterwarnings("error")


def test_bytes_and_floats_give_the_same_model(digits):
    X, y = digits
    from_bytes = NewtonOneVsRest(scale=1 / 16, tol=1e-12).fit(X, y)
    from_floats = NewtonOneVsRest(tol=1e-12).fit(X / 16, y)
    np.testing.assert_allclose(from_bytes.coef_, from_floats.coef_, atol=1e-8)
    np.testing.assert_allclose(from_bytes.intercept_, from_floats.intercept_, atol=1e-8)


def test_fit_does_not_convert_all_bytes_at_once(tmp_path):
    X, y = noisy_patterns(n=60_000, side=20, classes=3)
    np.save(tmp_path / "X.npy", X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    NewtonOneVsRest(C=0.1, scale=1 / 255, threads=2).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    single_precision = 4 * X.size
    assert peak < single_precision / 2
