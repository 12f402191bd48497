"""Test the objective's values, gradients and Hessian products against formulas on whole arrays."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.special import expit

from image_workflow.newton.objective import Objective
from image_workflow.newton.rows import Sizes
from newton_problems import dense_hessian, noisy_patterns

pytestmark = pytest.mark.filterwarnings("error")

SEVERAL_BLOCKS = Sizes(block_bytes=20_000)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_values_and_gradients_equal_those_of_whole_arrays(precision):
    X, y = noisy_patterns(n=300, side=8, classes=3)
    k = np.arange(3)
    W = np.random.default_rng(0).standard_normal((3, 65))
    with ThreadPoolExecutor(2) as pool:
        objective = Objective(X, y, k, 2.0, 1 / 255, pool, SEVERAL_BLOCKS)
        objective.set_precision(precision)
        values, gradients = objective.evaluate(W, k)

    pixels = np.column_stack([X / 255, np.ones(len(X))])
    signs = np.where(y == k[:, np.newaxis], 1, -1)
    margins = signs * (W @ pixels.T)
    tolerance = 1e3 * np.finfo(precision).eps
    expected = (W * W).sum(axis=1) / 2 + 2 * np.logaddexp(0, -margins).sum(axis=1)
    np.testing.assert_allclose(values, expected, rtol=tolerance)
    np.testing.assert_allclose(
        gradients, W - 2 * (signs * expit(-margins)) @ pixels, rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_hessian_product_equals_that_of_the_dense_hessian(precision):
    X, y = noisy_patterns(n=300, side=8, classes=3)
    random, k = np.random.default_rng(0), np.arange(3)
    W, S = random.standard_normal((2, 3, 65))
    with ThreadPoolExecutor(2) as pool:
        objective = Objective(X, y, k, 1.0, 1 / 255, pool, SEVERAL_BLOCKS)
        objective.set_precision(precision)
        objective.start_refinement()
        objective.evaluate_in_double(W, k)
        product = objective.hessian_product(S, k)
    expected = [dense_hessian(X, W[i]) @ S[i] for i in k]
    np.testing.assert_allclose(product, expected, rtol=1e3 * np.finfo(precision).eps)
