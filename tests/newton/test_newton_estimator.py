"""Test the estimator's interface: scikit-learn's conventions, errors, and the callback."""

import subprocess
import sys

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from image_workflow.newton import NewtonOneVsRest
from newton_problems import noisy_patterns

pytestmark = pytest.mark.filterwarnings("error")


@parametrize_with_checks([NewtonOneVsRest(), NewtonOneVsRest(reproducible=True)])
@pytest.mark.filterwarnings("default")
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_fit_prints_nothing(digits, capsys):
    NewtonOneVsRest().fit(*digits)
    assert capsys.readouterr() == ("", "")


def test_predictions_in_blocks_equal_those_at_once(digits):
    X, y = digits
    model = NewtonOneVsRest(scale=1 / 16).fit(X, y)
    many = np.tile(X, (30, 1))
    np.testing.assert_array_equal(model.predict(many), np.tile(model.predict(X), 30))
    assert model.decision_function(many).shape == (len(many), 10)


# ---- As plain scikit-learn -----------------------------------------------------------------


def labelled_patterns(labels):
    X, y = noisy_patterns(n=2000, side=6, classes=len(labels))
    return X, np.array(labels)[y]


@pytest.mark.parametrize("labels", [[3, 7], ["a", "b", "c"]])
def test_to_sklearn_returns_the_model_that_liblinear_fits(labels):
    X, y = labelled_patterns(labels)
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


@pytest.mark.parametrize("labels", [[3, 7], ["a", "b", "c"]])
def test_another_process_loads_the_model_without_our_code(tmp_path, labels):
    X, y = labelled_patterns(labels)
    ours = NewtonOneVsRest(C=2, scale=1 / 255, random_state=42).fit(X, y)
    joblib.dump(ours.to_sklearn(), tmp_path / "model.pkl")
    np.save(tmp_path / "X.npy", X[:50] / 255)
    code = (
        "import joblib, numpy, sys; model = joblib.load('model.pkl');"
        "print(*model.predict(numpy.load('X.npy'))); assert 'image_workflow' not in sys.modules"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [str(label) for label in ours.predict(X[:50])]


# ---- The callback --------------------------------------------------------------------------


def test_callback_is_called_for_each_step(digits):
    X, y = digits
    reports = []
    model = NewtonOneVsRest(C=2, scale=1 / 16, callback=lambda *report: reports.append(report))
    model.fit(X, y)
    steps, objective, gradient, seconds = map(np.array, zip(*reports, strict=True))
    assert steps[0] == 0 and steps[-1] == model.n_iter_
    assert set(np.diff(steps)) <= {0, 1} and len(steps) > 5
    assert (np.diff(objective) <= 1e-6 * objective[1:]).all()
    assert objective[-1] == pytest.approx(model.objective_.sum())
    assert gradient[0] == 1 and gradient[-1] <= model.tol < gradient[steps < steps[-1]].min()
    assert (np.diff(seconds) > 0).all()


def test_exception_of_the_callback_stops_the_fit(digits):
    def stop(*_):
        raise KeyboardInterrupt

    model = NewtonOneVsRest(callback=stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits)
    with pytest.raises(NotFittedError):
        model.predict(digits[0])


# ---- Errors --------------------------------------------------------------------------------


def test_fit_warns_if_it_did_not_converge(digits):
    with pytest.warns(ConvergenceWarning, match="stopped after 2 steps at a relative gradient of"):
        NewtonOneVsRest(max_iter=2).fit(*digits)


@pytest.mark.parametrize(
    ("parameters", "message"),
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
def test_error_names_the_wrong_parameter_and_its_value(digits, parameters, message):
    with pytest.raises(ValueError) as error:
        NewtonOneVsRest(**parameters).fit(*digits)
    assert str(error.value) == message


def test_fit_and_predict_refuse_wrong_data(digits):
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
