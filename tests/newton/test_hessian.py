"""Test the Hessians that are sampled from the rows."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from image_workflow.newton import NewtonOneVsRest
from image_workflow.newton.hessian import SampledHessians
from image_workflow.newton.objective import Objective
from image_workflow.newton.rows import Sizes
from newton_problems import dense_hessian, noisy_patterns, relative_gradient

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("side", [8, 20], ids=["fewer pixels than rows", "more pixels than rows"])
def test_sample_of_all_rows_has_the_exact_hessian(side):
    several_slices_and_blocks = Sizes(sampled_values=240_000, block_bytes=100_000)
    X, y = noisy_patterns(n=300, side=side, classes=3)
    random, k = np.random.default_rng(0), np.arange(3)
    W, R = random.standard_normal((2, 3, side * side + 1))
    with ThreadPoolExecutor(2) as pool:
        objective = Objective(X, y, k, 1.0, 1 / 255, pool, several_slices_and_blocks)
        objective.set_precision(np.float64)
        objective.evaluate(W, k)
        hessians = SampledHessians(objective)
        hessians.renew(k, len(X))
        solved = []
        for i in k:
            product = dense_hessian(X, W[i]) @ R[i]
            solved.append(-hessians.newton_steps(product[np.newaxis], k[[i]])[0])
    np.testing.assert_allclose(solved, R, atol=1e-8)


def test_solver_converges_with_small_samples_of_large_images(set_sizes):
    set_sizes(sampled_rows=100, sampled_values=100_000)
    X, y = noisy_patterns(n=400, side=36, classes=3)
    model = NewtonOneVsRest(C=1, scale=1 / 255).fit(X, y).to_sklearn()
    assert relative_gradient(model, X / 255, y, 1) < 1.1e-6
