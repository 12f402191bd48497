"""Test that the optimizer reaches the minimum, from any start."""

import numpy as np
import pytest

from image_workflow.newton import NewtonOneVsRest
from newton_problems import evaluate, liblinear, noisy_patterns, relative_gradient

pytestmark = pytest.mark.filterwarnings("error")


@pytest.mark.parametrize("C", [0.01, 2, 1000])
def test_solver_finds_the_same_minimum_as_liblinear(digits, C):
    X, y = digits
    ours = NewtonOneVsRest(C=C, scale=1 / 16).fit(X, y)
    values, gradients = evaluate(ours.to_sklearn(), X / 16, y, C)
    assert gradients.max() < 1.1e-6
    assert ours.objective_ == pytest.approx(values, rel=1e-6)

    reference = liblinear(C).fit(X / 16, y)
    assert values.sum() <= evaluate(reference, X / 16, y, C)[0].sum()
    precise = liblinear(C, tol=1e-8).fit(X / 16, y)
    least, _ = evaluate(precise, X / 16, y, C)
    assert values.sum() == pytest.approx(least.sum(), rel=1e-5)
    assert (ours.predict(X) == precise.predict(X / 16)).all()


def test_solver_reaches_a_tolerance_below_single_precision(digits):
    X, y = digits
    model = NewtonOneVsRest(C=2, scale=1 / 16, tol=1e-12).fit(X, y)
    assert relative_gradient(model.to_sklearn(), X / 16, y, 2) < 1.1e-12


# ---- The start -----------------------------------------------------------------------------


def test_start_from_a_neighbouring_solution_saves_steps(digits):
    X, y = digits
    cold = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y)
    neighbour = NewtonOneVsRest(C=1.5, scale=1 / 16).fit(X, y)
    warm = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, neighbour.coef_, neighbour.intercept_)
    assert warm.n_iter_ <= cold.n_iter_ / 2
    np.testing.assert_allclose(warm.objective_, cold.objective_, rtol=1e-6)
    again = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, warm.coef_, warm.intercept_)
    assert again.n_iter_ == 0


@pytest.mark.parametrize("C", [100, 1000])
def test_weak_regularization_starts_from_a_rough_fit_with_a_stronger_one(C, set_sizes):
    set_sizes(block_bytes=50_000)  # several slabs for the threads to share
    X, y = noisy_patterns(n=4000, side=7, classes=4)
    random = np.random.default_rng(1)
    # Some wrong labels, so that the classes are not separable.
    y = np.where(random.random(4000) < 0.1, random.integers(0, 4, 4000), y)
    reports = []
    model = NewtonOneVsRest(C=C, scale=1 / 255, callback=lambda *report: reports.append(report))
    model.fit(X, y)
    _, _, gradient_at_start, _ = reports[0]
    assert gradient_at_start < 0.1
    assert model.n_iter_ <= 10

    values, gradients = evaluate(model.to_sklearn(), X / 255, y, C)
    assert gradients.max() < 1.1e-6
    reference = liblinear(C, tol=1e-8).fit(X / 255, y)
    np.testing.assert_allclose(values, evaluate(reference, X / 255, y, C)[0], rtol=1e-9)
    expected = np.vstack([binary.coef_ for binary in reference.estimators_])
    np.testing.assert_allclose(model.coef_, expected, atol=1e-3)

    for threads in (1, 4):
        other = NewtonOneVsRest(C=C, scale=1 / 255, threads=threads).fit(X, y)
        assert other.coef_.tobytes() == model.coef_.tobytes()
        assert other.intercept_.tobytes() == model.intercept_.tobytes()


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0, 1e6, 1e300])  # only 0.1 is better than zero
def test_solver_converges_from_any_start(digits, size):
    X, y = digits
    start = size * np.random.default_rng(0).standard_normal((10, 64))
    model = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, start)
    assert relative_gradient(model.to_sklearn(), X / 16, y, 2) < 1.1e-6


@pytest.mark.parametrize("C", [1e-3, 1e3])
def test_solver_converges_from_the_solution_for_a_distant_rate(digits, C):
    X, y = digits
    distant = NewtonOneVsRest(C=1 / C, scale=1 / 16).fit(X, y)
    model = NewtonOneVsRest(C=C, scale=1 / 16).fit(X, y, distant.coef_, distant.intercept_)
    assert relative_gradient(model.to_sklearn(), X / 16, y, C) < 1.1e-6
