"""What fits the model: liblinear as scikit-learn's own fit does, and newton the same optimum."""

import logging

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from lib import solvers
from lib.command import UserError
from lib.model import features, unfitted
from lib.solvers import SOLVERS
from samples import SETS, labelled_images


def assert_equal(one, other) -> None:
    """Compare two fitted attributes, estimators by all that they hold."""
    assert type(one) is type(other)
    if isinstance(one, BaseEstimator):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            assert_equal(value, vars(other)[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for item, expected in zip(one, other, strict=True):
            assert_equal(item, expected)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)
    else:
        assert one == other


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SETS)
def test_the_model_is_what_scikit_learn_fits(name: str, threads: int):
    images, labels = SETS[name]
    model = solvers.fit_liblinear(images, labels, rate=0.8, seed=7, threads=threads)
    binary = LogisticRegression(solver="liblinear", C=1 / 0.8, random_state=7)
    expected = OneVsRestClassifier(binary).fit(features(images), labels)
    assert_equal(model, expected)
    probabilities = model.predict_proba(features(images))
    np.testing.assert_array_equal(probabilities, expected.predict_proba(features(images)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_class_is_refused(solver: str):
    images, _ = SETS["two classes"]
    with pytest.raises(UserError, match="at least two classes, found only label 4"):
        SOLVERS[solver](images, np.full(len(images), 4, np.uint8), rate=0.5, seed=42, threads=1)


def test_each_class_has_a_progress_line(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "workflow")
    solvers.fit_liblinear(*SETS["three classes"], rate=0.5, seed=42, threads=1)
    assert [message.split(" fitted")[0].split("; ")[1] for message in caplog.messages] == [
        "1 of 3",
        "2 of 3",
        "3 of 3",
    ]
    assert {message.split(":")[0] for message in caplog.messages} == {
        "rate 0.5, class 0",
        "rate 0.5, class 7",
        "rate 0.5, class 255",
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_a_class_that_does_not_converge_is_named(monkeypatch: pytest.MonkeyPatch, threads: int):
    monkeypatch.setattr(
        solvers, "unfitted", lambda *of: unfitted(*of).set_params(estimator__max_iter=2)
    )
    with pytest.warns(ConvergenceWarning, match="class 9 did not converge in 2 iterations"):
        solvers.fit_liblinear(*SETS["two classes"], rate=0.5, seed=42, threads=threads)


@pytest.mark.parametrize("name", SETS)
def test_newton_finds_the_model_that_liblinear_finds(name: str):
    images, labels = SETS[name]
    reference = unfitted(0.5, 42).set_params(estimator__tol=1e-8).fit(features(images), labels)
    found = solvers.fit_newton(images, labels, rate=0.5, seed=42, threads=2)
    assert vars(found).keys() == vars(reference).keys()
    assert repr(found) == repr(unfitted(0.5, 42))
    for binary, expected in zip(found.estimators_, reference.estimators_, strict=True):
        np.testing.assert_allclose(binary.coef_, expected.coef_, atol=1e-4)
        np.testing.assert_allclose(binary.intercept_, expected.intercept_, atol=1e-4)


def test_a_start_near_the_minimum_saves_newton_steps(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "workflow")
    images, labels = labelled_images(400, 6, 6, classes=list(range(8)))
    rough = solvers.fit_newton(images, labels, rate=1.0, seed=42, threads=1, tol=1e-3)
    caplog.clear()
    cold = solvers.fit_newton(images, labels, rate=0.8, seed=42, threads=1)
    steps = len(caplog.messages)
    caplog.clear()
    warm = solvers.fit_newton(images, labels, rate=0.8, seed=42, threads=1, start=rough)
    assert len(caplog.messages) <= steps - 3
    for binary, expected in zip(warm.estimators_, cold.estimators_, strict=True):
        np.testing.assert_allclose(binary.coef_, expected.coef_, atol=1e-4)


def test_newton_takes_a_start_of_two_classes():
    images, labels = SETS["two classes"]
    rough = solvers.fit_newton(images, labels, rate=1.0, seed=42, threads=1, tol=1e-3)
    warm = solvers.fit_newton(images, labels, rate=0.8, seed=42, threads=1, start=rough)
    cold = solvers.fit_newton(images, labels, rate=0.8, seed=42, threads=1)
    np.testing.assert_allclose(warm.estimators_[0].coef_, cold.estimators_[0].coef_, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_images_that_tell_nothing_are_fitted_without_a_warning():
    """All black, and as many of one class as of the other: the start is the minimum."""
    images, labels = np.zeros((40, 4, 4), np.uint8), np.arange(40, dtype=np.uint8) % 2
    model = solvers.fit_newton(images, labels, rate=0.5, seed=42, threads=1)
    assert (model.estimators_[0].coef_ == 0).all()
