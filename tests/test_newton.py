"""What the solver promises, on data small enough to check by other means."""

import pickle
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from lib.newton import NewtonOneVsRest
from lib.newton.hessian import SampledHessians
from lib.newton.objective import Objective
from lib.newton.rows import Sizes

# A warning that a fit leaks fails its test.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def digits():
    """1,797 images of 8 by 8 pixels, 0 to 16, of which three pixels are always 0."""
    X, y = load_digits(return_X_y=True)
    return X.astype(np.uint8), y


def objectives(model, X, y, C):
    """f_k of a fitted OneVsRestClassifier, and |grad f_k| relative to that at zero."""
    X = np.column_stack([X, np.ones(len(X))])
    values, gradients = [], []
    for k, binary in enumerate(model.estimators_):
        positive = model.classes_[k if len(model.estimators_) > 1 else 1]
        sign = np.where(y == positive, 1.0, -1.0)
        w = np.append(binary.coef_[0], binary.intercept_)
        margin = sign * (X @ w)
        values.append(w @ w / 2 + C * np.logaddexp(0, -margin).sum())
        pull = np.exp(-np.logaddexp(0, margin))
        gradient = w - C * X.T @ (sign * pull)
        gradients.append(np.linalg.norm(gradient) / np.linalg.norm(C * X.T @ sign / 2))
    return np.array(values), np.array(gradients)


def images(n=20_000, side=10, classes=5, seed=0):
    """Bytes that hold `classes` blurred patterns, in several blocks of rows."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 256, (classes, side * side))
    y = random.integers(0, classes, n)
    X = 0.4 * patterns[y] + random.normal(0, 60, (n, side * side))
    return X.clip(0, 255).astype(np.uint8), y


@pytest.mark.parametrize("C", [0.01, 2, 1000])
def test_it_finds_the_minimum_that_liblinear_finds(digits, C):
    X, y = digits
    ours = NewtonOneVsRest(C=C, scale=1 / 16).fit(X, y)
    f, gradient = objectives(ours.to_sklearn(), X / 16, y, C)
    assert gradient.max() < 1.1e-6
    assert ours.objective_ == pytest.approx(f, rel=1e-6)

    reference = OneVsRestClassifier(LogisticRegression(solver="liblinear", C=C, max_iter=10_000))
    assert f.sum() <= objectives(reference.fit(X / 16, y), X / 16, y, C)[0].sum()
    reference.set_params(estimator__tol=1e-8).fit(X / 16, y)
    f_least, _ = objectives(reference, X / 16, y, C)
    assert f.sum() == pytest.approx(f_least.sum(), rel=1e-5)
    assert (ours.predict(X) == reference.predict(X / 16)).all()


def test_a_tolerance_below_single_precision_is_reached(digits):
    X, y = digits
    model = NewtonOneVsRest(C=2, scale=1 / 16, tol=1e-12).fit(X, y)
    assert objectives(model.to_sklearn(), X / 16, y, 2)[1].max() < 1.1e-12


def test_bytes_and_floats_give_the_same_model(digits):
    X, y = digits
    of_bytes = NewtonOneVsRest(scale=1 / 16, tol=1e-12).fit(X, y)
    of_floats = NewtonOneVsRest(tol=1e-12).fit(X / 16, y)
    np.testing.assert_allclose(of_bytes.coef_, of_floats.coef_, atol=1e-8)
    np.testing.assert_allclose(of_bytes.intercept_, of_floats.intercept_, atol=1e-8)


@pytest.mark.parametrize("tol", [1e-6, 1e-9])  # few and many steps in double precision
@pytest.mark.parametrize("data", [{}, {"n": 500, "side": 36}])  # more rows than pixels, and fewer
def test_any_number_of_threads_gives_the_same_bits(tmp_path, monkeypatch, data, tol):
    # Several blocks a piece, several pieces a slab.
    small = Sizes(block_bytes=100_000, piece_rows=400, sampled_rows=100)
    monkeypatch.setattr(NewtonOneVsRest, "_sizes", small)
    X, y = images(**data)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    models = [NewtonOneVsRest(C=2, scale=1 / 255, tol=tol, threads=1).fit(X, y)]
    for threads in (2, 4, 4):
        model = NewtonOneVsRest(C=2, scale=1 / 255, tol=tol, threads=threads)
        models.append(model.fit(mapped, y))
    for model in models[1:]:
        assert model.coef_.tobytes() == models[0].coef_.tobytes()
        assert model.intercept_.tobytes() == models[0].intercept_.tobytes()


def test_the_rows_stay_bytes(tmp_path):
    X, y = images(n=60_000, side=20, classes=3)
    np.save(tmp_path / "X.npy", X)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    NewtonOneVsRest(C=0.1, scale=1 / 255, threads=2).fit(X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * X.size / 2  # half of X in single precision


@pytest.mark.parametrize("C", [0.01, 2, 100])
def test_rounded_coefficients_are_as_good_as_those_of_liblinear(digits, C):
    X, y = digits
    ours = NewtonOneVsRest(C=C, scale=1 / 16, reproducible=True).fit(X, y)
    for W in (ours.coef_ / ours.grid_[:, np.newaxis], ours.intercept_ / ours.grid_):
        np.testing.assert_array_equal(W, np.rint(W))
    assert ours.gradient_.max() <= ours.tol
    f, gradient = objectives(ours.to_sklearn(), X / 16, y, C)
    assert gradient.max() <= 1e-5
    reference = OneVsRestClassifier(LogisticRegression(solver="liblinear", C=C, max_iter=10_000))
    assert f.sum() <= objectives(reference.fit(X / 16, y), X / 16, y, C)[0].sum()


def test_rounding_tells_how_far_the_minimum_may_be(digits):
    X, y = digits
    rounded = NewtonOneVsRest(C=2, scale=1 / 16, reproducible=True).fit(X, y)
    exact = NewtonOneVsRest(C=2, scale=1 / 16, tol=1e-14, max_iter=200).fit(X / 16 * 16, y)
    assert 0 < rounded.expected_mismatch_ <= 4e-4
    assert np.abs(rounded.coef_ - exact.coef_).max() <= rounded.grid_.max() / 2 * (1 + 1e-6)


def test_another_start_and_another_sample_give_the_same_bits(digits):
    X, y = digits
    start = np.random.default_rng(0).standard_normal((10, 64))
    models = [
        NewtonOneVsRest(C=2, scale=1 / 16, reproducible=True, random_state=seed).fit(X, y, coef)
        for seed, coef in [(0, None), (1, None), (2, start)]
    ]
    for model in models[1:]:
        assert model.coef_.tobytes() == models[0].coef_.tobytes()
        assert model.intercept_.tobytes() == models[0].intercept_.tobytes()


def test_a_neighbours_solution_saves_steps(digits):
    X, y = digits
    cold = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y)
    neighbour = NewtonOneVsRest(C=1.5, scale=1 / 16).fit(X, y)
    warm = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, neighbour.coef_, neighbour.intercept_)
    assert warm.n_iter_ <= cold.n_iter_ / 2
    np.testing.assert_allclose(warm.objective_, cold.objective_, rtol=1e-6)
    again = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, warm.coef_, warm.intercept_)
    assert again.n_iter_ == 0


@pytest.mark.parametrize("C", [100, 1000])
def test_weak_regularization_starts_from_the_rough_solution_of_a_stronger_one(C, monkeypatch):
    # Several slabs for the threads to share.
    monkeypatch.setattr(NewtonOneVsRest, "_sizes", Sizes(block_bytes=50_000))
    X, y = images(n=4000, side=7, classes=4)
    random = np.random.default_rng(1)
    y = np.where(random.random(4000) < 0.1, random.integers(0, 4, 4000), y)  # not separable
    seen = []
    model = NewtonOneVsRest(C=C, scale=1 / 255, callback=lambda *a: seen.append(a)).fit(X, y)
    assert seen[0][2] < 0.1  # the gradient before the first step, relative to that at zero
    assert model.n_iter_ <= 10

    f, gradient = objectives(model.to_sklearn(), X / 255, y, C)
    assert gradient.max() < 1.1e-6
    reference = OneVsRestClassifier(
        LogisticRegression(solver="liblinear", C=C, tol=1e-8, max_iter=10_000)
    ).fit(X / 255, y)
    np.testing.assert_allclose(f, objectives(reference, X / 255, y, C)[0], rtol=1e-9)
    expected = np.vstack([binary.coef_ for binary in reference.estimators_])
    np.testing.assert_allclose(model.coef_, expected, atol=1e-3)

    for threads in (1, 4):
        other = NewtonOneVsRest(C=C, scale=1 / 255, threads=threads).fit(X, y)
        assert other.coef_.tobytes() == model.coef_.tobytes()
        assert other.intercept_.tobytes() == model.intercept_.tobytes()


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0, 1e6, 1e300])  # at first better than zero
def test_it_converges_from_any_start(digits, size):
    X, y = digits
    start = size * np.random.default_rng(0).standard_normal((10, 64))
    model = NewtonOneVsRest(C=2, scale=1 / 16).fit(X, y, start)
    assert objectives(model.to_sklearn(), X / 16, y, 2)[1].max() < 1.1e-6


@pytest.mark.parametrize("C", [1e-3, 1e3])
def test_it_converges_from_a_far_neighbours_solution(digits, C):
    X, y = digits
    far = NewtonOneVsRest(C=1 / C, scale=1 / 16).fit(X, y)
    model = NewtonOneVsRest(C=C, scale=1 / 16).fit(X, y, far.coef_, far.intercept_)
    assert objectives(model.to_sklearn(), X / 16, y, C)[1].max() < 1.1e-6


def separable():
    return np.repeat([[0, 0], [255, 255]], 20, axis=0), np.repeat(["no", "yes"], 20)


def constant_and_duplicated_columns():
    X, y = images(n=300, side=5)
    return np.hstack([X, X, np.full((300, 2), 7), np.zeros((300, 1))]), y


def one_sample_a_class():
    X = np.random.default_rng(0).integers(0, 256, (19, 30))
    return X, np.arange(19)


def one_pixel():
    X, y = images(n=500, side=1, classes=3)
    return X, y


def many_classes():
    return images(n=1500, side=6, classes=256)


def more_pixels_than_rows():
    return images(n=40, side=256, classes=2)


def all_black():
    return np.zeros((12, 4)), np.arange(12) % 3


def labels_that_say_nothing():
    """The gradient at zero nearly cancels, so what is small against it is smaller still."""
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (4000, 4)) * (random.random((4000, 4)) < 0.1)
    return X, random.integers(0, 2, 4000)


def rare_class():
    X, y = images(n=1000, side=6, classes=2)
    return X, np.where(np.arange(1000) == 500, 2, y)


@pytest.mark.parametrize("C", [0.01, 1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        separable,
        constant_and_duplicated_columns,
        one_sample_a_class,
        one_pixel,
        many_classes,
        more_pixels_than_rows,
        all_black,
        labels_that_say_nothing,
        rare_class,
    ],
)
def test_it_converges_on_awkward_data(data, C):
    X, y = data()
    X = X.astype(np.uint8)
    model = NewtonOneVsRest(C=C, scale=1 / 255).fit(X, y).to_sklearn()
    assert objectives(model, X / 255, y, C)[1].max() < 1.1e-6
    rounded = NewtonOneVsRest(C=C, scale=1 / 255, reproducible=True).fit(X, y).to_sklearn()
    assert objectives(rounded, X / 255, y, C)[1].max() < 1.1e-5


@pytest.mark.parametrize("side", [8, 20])  # fewer pixels than rows, and more
def test_a_sample_of_all_rows_has_the_whole_hessian(side):
    # Several slices of columns, several blocks of rows.
    sizes = Sizes(sampled_values=240_000, block_bytes=100_000)
    X, y = images(n=300, side=side, classes=3)
    random, k = np.random.default_rng(0), np.arange(3)
    W, R = random.standard_normal((2, 3, side * side + 1))
    with ThreadPoolExecutor(2) as pool:
        objective = Objective(X, y, k, 1.0, 1 / 255, pool, sizes)
        objective.set_precision(np.float64)
        objective.evaluate(W, k)
        hessians = SampledHessians(objective)
        hessians.renew(k, len(X))
        solved = [
            -hessians.newton_steps((hessian(X, W[i]) @ R[i])[np.newaxis], k[[i]])[0] for i in k
        ]
    np.testing.assert_allclose(solved, R, atol=1e-8)


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_a_hessian_product_is_that_of_the_whole_hessian(precision):
    X, y = images(n=300, side=8, classes=3)
    random, k = np.random.default_rng(0), np.arange(3)
    W, S = random.standard_normal((2, 3, 65))
    with ThreadPoolExecutor(2) as pool:
        objective = Objective(X, y, k, 1.0, 1 / 255, pool, Sizes(block_bytes=20_000))
        objective.set_precision(precision)
        objective.start_refinement()
        objective.evaluate_in_double(W, k)
        product = objective.hessian_product(S, k)
    expected = [hessian(X, W[i]) @ S[i] for i in k]
    np.testing.assert_allclose(product, expected, rtol=1e3 * np.finfo(precision).eps)


def hessian(X, w):
    """Return the Hessian of one class at w, for C = 1 and pixels from 0 to 255."""
    X = np.column_stack([X / 255, np.ones(len(X))])
    p = 1 / (1 + np.exp(-X @ w))
    return np.eye(X.shape[1]) + (X * (p * (1 - p))[:, np.newaxis]).T @ X


def test_it_converges_when_few_rows_are_drawn_of_many_pixels(monkeypatch):
    few = Sizes(sampled_rows=100, sampled_values=100_000)
    monkeypatch.setattr(NewtonOneVsRest, "_sizes", few)
    X, y = images(n=400, side=36, classes=3)
    model = NewtonOneVsRest(C=1, scale=1 / 255).fit(X, y).to_sklearn()
    assert objectives(model, X / 255, y, 1)[1].max() < 1.1e-6


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 150), st.integers(1, 12)),
    classes=st.integers(2, 6),
    C=st.floats(1e-4, 1e4),
    spread=st.floats(1e-3, 1e3),
)
def test_it_converges_on_whatever_is_drawn(seed, shape, classes, C, spread):
    random = np.random.default_rng(seed)
    X = spread * random.standard_normal(shape) + random.standard_normal()
    y = random.integers(0, classes, shape[0])
    y[:2] = 0, 1
    model = NewtonOneVsRest(C=C).fit(X, y).to_sklearn()
    assert objectives(model, X, y, C)[1].max() < 1.1e-6


@pytest.mark.parametrize("labels", [[3, 7], ["a", "b", "c"]])
def test_it_is_handed_on_as_plain_scikit_learn(tmp_path, labels):
    X, y = images(n=2000, side=6, classes=len(labels))
    y = np.array(labels)[y]
    ours = NewtonOneVsRest(C=2, scale=1 / 255, random_state=42).fit(X, y)
    model = ours.to_sklearn()
    refitted = clone(model).set_params(estimator__tol=1e-8).fit(X / 255, y)
    assert len(model.estimators_) == len(refitted.estimators_)
    assert vars(model).keys() == vars(refitted).keys()
    for binary, reference in zip(model.estimators_, refitted.estimators_, strict=True):
        assert vars(binary).keys() == vars(reference).keys()
        np.testing.assert_allclose(binary.coef_, reference.coef_, rtol=1e-3, atol=1e-4)
        assert (binary.classes_ == reference.classes_).all()
    for method in ("decision_function", "predict_proba"):
        expected = getattr(refitted, method)(X / 255)
        np.testing.assert_allclose(getattr(model, method)(X / 255), expected, atol=1e-3)
        np.testing.assert_allclose(getattr(ours, method)(X), expected, atol=1e-3)
    assert (model.predict(X / 255) == ours.predict(X)).all()
    assert model.estimator.get_params() == (
        LogisticRegression(solver="liblinear", C=2, random_state=42).get_params()
    )

    joblib.dump(model, tmp_path / "model.pkl")
    np.save(tmp_path / "X.npy", X[:50] / 255)
    code = (
        "import joblib, numpy, sys; model = joblib.load('model.pkl');"
        "print(*model.predict(numpy.load('X.npy'))); assert 'lib' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(label) for label in ours.predict(X[:50])]


def test_predicting_many_rows_goes_by_blocks(digits):
    X, y = digits
    model = NewtonOneVsRest(scale=1 / 16).fit(X, y)
    many = np.tile(X, (30, 1))
    np.testing.assert_array_equal(model.predict(many), np.tile(model.predict(X), 30))
    assert model.decision_function(many).shape == (len(many), 10)


def test_each_step_is_reported(digits):
    X, y = digits
    seen = []
    model = NewtonOneVsRest(C=2, scale=1 / 16, callback=lambda *a: seen.append(a)).fit(X, y)
    steps, objective, gradient, seconds = (np.array(column) for column in zip(*seen, strict=True))
    assert steps[0] == 0 and steps[-1] == model.n_iter_
    assert set(np.diff(steps)) <= {0, 1} and len(steps) > 5
    assert (np.diff(objective) <= 1e-6 * objective[1:]).all()
    assert objective[-1] == pytest.approx(model.objective_.sum())
    assert gradient[0] == 1 and gradient[-1] <= model.tol < gradient[steps < steps[-1]].min()
    assert (np.diff(seconds) > 0).all()


def test_a_callback_can_stop_it(digits):
    def stop(*_):
        raise KeyboardInterrupt

    model = NewtonOneVsRest(callback=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])


def test_it_says_when_it_has_not_converged(digits):
    with pytest.warns(ConvergenceWarning, match="stopped after 2 steps at a relative gradient of"):
        NewtonOneVsRest(max_iter=2).fit(*digits)


def test_the_same_seed_gives_the_same_bits_and_another_the_same_minimum():
    X, y = images()
    a, b, c = (NewtonOneVsRest(scale=1 / 255, random_state=s).fit(X, y) for s in (1, 1, 2))
    assert pickle.dumps(a.coef_) == pickle.dumps(b.coef_)
    assert a.objective_ == pytest.approx(c.objective_, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"C": 0}, "C must be a finite number above 0, but it is 0."),
        ({"C": np.nan}, "C must be a finite number above 0, but it is nan."),
        ({"C": "2"}, "C must be a finite number above 0, but it is '2'."),
        ({"scale": np.inf}, "scale must be a finite number above 0, but it is inf."),
        ({"tol": -1}, "tol must be a finite number above 0, but it is -1."),
        ({"max_iter": 1.5}, "max_iter must be an integer above 0, but it is 1.5."),
        ({"threads": 0}, "threads must be None or above 0, but it is 0."),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(digits, settings, message):
    with pytest.raises(ValueError) as error:
        NewtonOneVsRest(**settings).fit(*digits)
    assert str(error.value) == message


def test_wrong_data_is_refused(digits):
    X, y = digits
    with pytest.raises(ValueError, match=r"only one class: np.int64\(3\)"):
        NewtonOneVsRest().fit(X[y == 3], y[y == 3])
    with pytest.raises(ValueError, match="NaN"):
        NewtonOneVsRest().fit(np.where(X == 3, np.nan, X), y)
    with pytest.raises(ValueError, match="infinity"):
        NewtonOneVsRest().fit(np.where(X == 3, np.inf, X), y)
    with pytest.raises(ValueError, match=r"of shapes \(10, 64\) and \(10,\), but .* \(9, 64\)"):
        NewtonOneVsRest().fit(X, y, np.zeros((9, 64)), np.zeros(10))
    with pytest.raises(ValueError, match="must be finite"):
        NewtonOneVsRest().fit(X, y, np.full((10, 64), np.nan))
    with pytest.raises(ValueError, match="64 features"):
        NewtonOneVsRest().fit(X, y).predict(X[:, :5])


def test_it_prints_nothing(digits, capsys):
    NewtonOneVsRest().fit(*digits)
    assert capsys.readouterr() == ("", "")


@parametrize_with_checks([NewtonOneVsRest(), NewtonOneVsRest(reproducible=True)])
@pytest.mark.filterwarnings("default")
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
