"""Test that threads, starts and samples do not change the bits of the result, and the rounding."""

import pickle

import numpy as np
import pytest

from image_workflow.newton import NewtonOneVsRest
from newton_problems import evaluate, liblinear, noisy_patterns

pytestmark = pytest.mark.filterwarnings("error")


def assert_same_bits(models):
    first, *others = models
    for model in others:
        assert model.coef_.tobytes() == first.coef_.tobytes()
        assert model.intercept_.tobytes() == first.intercept_.tobytes()


@pytest.mark.parametrize("tol", [1e-6, 1e-9], ids=["few steps in double", "many steps in double"])
@pytest.mark.parametrize(
    "data", [{}, {"n": 500, "side": 36}], ids=["more rows than pixels", "fewer rows than pixels"]
)
def test_number_of_threads_does_not_change_the_bits(tmp_path, set_sizes, data, tol):
    # Several blocks in each piece, several pieces in each slab.
    set_sizes(block_bytes=100_000, piece_rows=400, sampled_rows=100)
    X, y = noisy_patterns(**data)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    models = [NewtonOneVsRest(C=2, scale=1 / 255, tol=tol, threads=1).fit(X, y)]
    for threads in (2, 4, 4):
        model = NewtonOneVsRest(C=2, scale=1 / 255, tol=tol, threads=threads)
        models.append(model.fit(mapped, y))
    assert_same_bits(models)


def test_same_seed_gives_the_same_bits_and_another_seed_the_same_minimum():
    X, y = noisy_patterns()
    first, again, other = (
        NewtonOneVsRest(scale=1 / 255, random_state=seed).fit(X, y) for seed in (1, 1, 2)
    )
    assert pickle.dumps(first.coef_) == pickle.dumps(again.coef_)
    assert first.objective_ == pytest.approx(other.objective_, rel=1e-6)


# ---- Rounding ------------------------------------------------------------------------------


def test_another_start_and_another_sample_round_to_the_same_bits(digits):
    X, y = digits
    start = np.random.default_rng(0).standard_normal((10, 64))
    assert_same_bits(
        NewtonOneVsRest(C=2, scale=1 / 16, reproducible=True, random_state=seed).fit(X, y, coef)
        for seed, coef in [(0, None), (1, None), (2, start)]
    )


@pytest.mark.parametrize("C", [0.01, 2, 100])
def test_rounded_coefficients_are_as_good_as_those_of_liblinear(digits, C):
    X, y = digits
    ours = NewtonOneVsRest(C=C, scale=1 / 16, reproducible=True).fit(X, y)
    for multiples in (ours.coef_ / ours.grid_[:, np.newaxis], ours.intercept_ / ours.grid_):
        np.testing.assert_array_equal(multiples, np.rint(multiples))
    assert ours.gradient_.max() <= ours.tol
    values, gradients = evaluate(ours.to_sklearn(), X / 16, y, C)
    assert gradients.max() <= 1e-5
    reference = liblinear(C).fit(X / 16, y)
    assert values.sum() <= evaluate(reference, X / 16, y, C)[0].sum()


def test_expected_mismatch_bounds_the_distance_to_the_minimum(digits):
    X, y = digits
    rounded = NewtonOneVsRest(C=2, scale=1 / 16, reproducible=True).fit(X, y)
    in_double = X.astype(float)
    exact = NewtonOneVsRest(C=2, scale=1 / 16, tol=1e-14, max_iter=200).fit(in_double, y)
    assert 0 < rounded.expected_mismatch_ <= 4e-4
    assert np.abs(rounded.coef_ - exact.coef_).max() <= rounded.grid_.max() / 2 * (1 + 1e-6)
