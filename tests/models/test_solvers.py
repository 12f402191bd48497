"""Each solver fits the same model as a reference: scikit-learn's own fit, or liblinear."""

import logging

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from checkout import TOP
from image_workflow.configuration import load
from image_workflow.errors import UserError
from image_workflow.models import solvers
from image_workflow.models.estimator import features, tutorial_estimator
from image_workflow.models.settings import SOLVER_NAMES
from image_workflow.models.solvers import SOLVERS, fit_liblinear, fit_newton
from samples import SETS, labelled_images


@pytest.fixture(autouse=True)
def capture_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "image_workflow")


def test_every_list_of_solvers_is_the_same():
    allowed = load(TOP / "workflow/schemas/config.schema.yaml")["properties"]["solver"]["enum"]
    assert sorted(allowed) == sorted(SOLVER_NAMES) == sorted(SOLVERS)


def assert_equal(found, expected) -> None:
    """Compare two attributes of fitted models; compare estimators by all their attributes."""
    assert type(found) is type(expected)
    if isinstance(found, BaseEstimator):
        assert vars(found).keys() == vars(expected).keys()
        for name, value in vars(found).items():
            assert_equal(value, vars(expected)[name])
    elif isinstance(found, list):
        assert len(found) == len(expected)
        for pair in zip(found, expected, strict=True):
            assert_equal(*pair)
    elif isinstance(found, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, strict=True)
    else:
        assert found == expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_single_class_is_refused(solver: str):
    images, _ = SETS["two classes"]
    with pytest.raises(UserError, match="at least two classes, found only label 4"):
        SOLVERS[solver](images, np.full(len(images), 4, np.uint8), rate=0.5, seed=42, threads=1)


# ---- liblinear -----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SETS)
def test_liblinear_fits_the_same_model_as_scikit_learn(name: str, threads: int):
    images, labels = SETS[name]
    model = fit_liblinear(images, labels, rate=0.8, seed=7, threads=threads)
    binary = LogisticRegression(solver="liblinear", C=1 / 0.8, random_state=7)
    expected = OneVsRestClassifier(binary).fit(features(images), labels)
    assert_equal(model, expected)
    probabilities = model.predict_proba(features(images))
    np.testing.assert_array_equal(probabilities, expected.predict_proba(features(images)))


def test_liblinear_logs_a_line_for_each_class(caplog: pytest.LogCaptureFixture):
    fit_liblinear(*SETS["three classes"], rate=0.5, seed=42, threads=1)
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
def test_liblinear_warns_of_a_class_that_did_not_converge(
    monkeypatch: pytest.MonkeyPatch, threads: int
):
    monkeypatch.setattr(
        solvers,
        "tutorial_estimator",
        lambda *given: tutorial_estimator(*given).set_params(estimator__max_iter=2),
    )
    with pytest.warns(ConvergenceWarning, match="class 9 did not converge in 2 iterations"):
        fit_liblinear(*SETS["two classes"], rate=0.5, seed=42, threads=threads)


# ---- newton --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_newton_finds_the_same_model_as_liblinear(name: str):
    images, labels = SETS[name]
    reference = (
        tutorial_estimator(0.5, 42).set_params(estimator__tol=1e-8).fit(features(images), labels)
    )
    found = fit_newton(images, labels, rate=0.5, seed=42, threads=2)
    assert vars(found).keys() == vars(reference).keys()
    assert repr(found) == repr(tutorial_estimator(0.5, 42))
    for binary, expected in zip(found.estimators_, reference.estimators_, strict=True):
        np.testing.assert_allclose(binary.coef_, expected.coef_, atol=1e-4)
        np.testing.assert_allclose(binary.intercept_, expected.intercept_, atol=1e-4)


def test_start_near_the_minimum_saves_newton_steps(caplog: pytest.LogCaptureFixture):
    images, labels = labelled_images(400, 6, 6, classes=list(range(8)))
    rough = fit_newton(images, labels, rate=1.0, seed=42, threads=1, tol=1e-3)
    caplog.clear()
    cold = fit_newton(images, labels, rate=0.8, seed=42, threads=1)
    cold_steps = len(caplog.messages)
    caplog.clear()
    warm = fit_newton(images, labels, rate=0.8, seed=42, threads=1, start=rough)
    assert len(caplog.messages) <= cold_steps - 3
    for binary, expected in zip(warm.estimators_, cold.estimators_, strict=True):
        np.testing.assert_allclose(binary.coef_, expected.coef_, atol=1e-4)


def test_newton_accepts_a_start_with_two_classes():
    images, labels = SETS["two classes"]
    rough = fit_newton(images, labels, rate=1.0, seed=42, threads=1, tol=1e-3)
    warm = fit_newton(images, labels, rate=0.8, seed=42, threads=1, start=rough)
    cold = fit_newton(images, labels, rate=0.8, seed=42, threads=1)
    np.testing.assert_allclose(warm.estimators_[0].coef_, cold.estimators_[0].coef_, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_newton_fits_black_images_without_a_warning():
    # With equally many images of both classes, the start is the minimum.
    images, labels = np.zeros((40, 4, 4), np.uint8), np.arange(40, dtype=np.uint8) % 2
    model = fit_newton(images, labels, rate=0.5, seed=42, threads=1)
    assert (model.estimators_[0].coef_ == 0).all()
