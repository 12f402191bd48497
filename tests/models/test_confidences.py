"""Test the confidences of all kinds of models, and the probabilities against scikit-learn's."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from image_workflow.models import confidences as module
from image_workflow.models import estimator
from image_workflow.models.confidences import PROBABILITY, SCORE, confidences, probabilities
from image_workflow.models.estimator import features, tutorial_estimator
from image_workflow.models.solvers import SOLVERS
from samples import SETS

TWO, THREE = SETS["two classes"], SETS["three classes"]


def of_all(model, images: np.ndarray, labels: np.ndarray) -> tuple[str | None, list[float]]:
    """Return the model's confidences in the labels of all images."""
    kind, values = confidences(model, images, np.arange(len(images)), labels)
    return kind, values.tolist()


# ---- Models of scikit-learn ----------------------------------------------------------------


@pytest.mark.parametrize("data", [TWO, THREE])
@pytest.mark.parametrize("model", [KNeighborsClassifier(), tutorial_estimator(50, seed=1)])
def test_probability_of_the_label(data: tuple, model):
    images, labels = data
    model.fit(features(images), labels)
    kind, values = of_all(model, images, labels)
    expected = model.predict_proba(features(images))
    assert kind == PROBABILITY
    assert values == [
        pytest.approx(row[model.classes_ == label][0], abs=1e-9)
        for row, label in zip(expected, labels, strict=True)
    ]


@pytest.mark.parametrize(
    "model", [RidgeClassifier(), SVC(), make_pipeline(StandardScaler(), SVC())]
)
def test_score_of_the_label_where_there_are_no_probabilities(model):
    images, labels = THREE
    model.fit(features(images), labels)
    kind, values = of_all(model, images, labels)
    expected = model.decision_function(features(images))
    columns = np.searchsorted(model.classes_, labels)
    assert kind == SCORE
    assert values == pytest.approx(expected[np.arange(len(labels)), columns], rel=1e-5)


def test_score_for_two_classes_has_no_sign():
    images, labels = TWO
    model = RidgeClassifier().fit(features(images), labels)
    expected = model.decision_function(features(images))
    assert expected.min() < 0
    assert of_all(model, images, labels) == (SCORE, pytest.approx(np.abs(expected), rel=1e-5))


def test_scores_of_pairs_of_classes_are_not_used():
    images, labels = THREE
    model = make_pipeline(SVC(decision_function_shape="ovo")).fit(features(images), labels)
    assert model.decision_function(features(images)).shape == (len(images), 3)
    assert of_all(model, images, labels)[0] is None


def test_only_the_given_images_are_used_in_blocks(monkeypatch: pytest.MonkeyPatch):
    images, labels = THREE
    model = KNeighborsClassifier().fit(features(images), labels)
    _, expected = of_all(model, images, labels)
    monkeypatch.setattr(module, "BLOCK", 7)
    indices = np.array([80, 3, *range(20, 40)])
    kind, values = confidences(model, images, indices, labels[indices])
    assert kind == PROBABILITY
    assert values.tolist() == [expected[index] for index in indices]


def test_no_images():
    images, labels = THREE
    model = KNeighborsClassifier().fit(features(images), labels)
    kind, values = confidences(model, images, np.array([], int), labels[:0])
    assert (kind, values.shape) == (PROBABILITY, (0,))


# ---- Classes of the user's own -------------------------------------------------------------


class Own(ClassifierMixin, BaseEstimator):
    """A fitted model for which attributes are set in the tests."""

    classes_ = np.array([4, 9])


def with_methods(**methods) -> Own:
    """Return a model with methods that return these arrays, and with these attributes."""
    model = Own()
    for name, value in methods.items():
        setattr(model, name, value if name == "classes_" else lambda rows, value=value: value)
    return model


IMAGES, LABELS = TWO[0][:3], np.array([4, 9, 9], np.uint8)
PROBABILITIES = [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]


@pytest.mark.parametrize("classes", [[4.0, 9.0], np.array([[4], [9]]), (4, 9)])
def test_classes_of_any_type_are_understood(classes):
    model = with_methods(predict_proba=PROBABILITIES, classes_=classes)
    assert of_all(model, IMAGES, LABELS) == (PROBABILITY, [0.75, 0.5, 0.875])


def test_classes_need_not_be_sorted():
    model = with_methods(predict_proba=PROBABILITIES, classes_=[9, 4])
    assert of_all(model, IMAGES, LABELS) == (PROBABILITY, [0.25, 0.5, 0.125])


@pytest.mark.parametrize("scores", [[-1, 2, 0.5], [[-1], [2], [0.5]], [[1, 7], [7, 2], [7, 0.5]]])
def test_scores_for_two_classes_have_any_of_three_shapes(scores):
    assert of_all(with_methods(decision_function=scores), IMAGES, LABELS) == (SCORE, [1, 2, 0.5])


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "text",
        [0.75, 0.5, 0.875],
        [[0.75], [0.5], [0.875]],
        [[0.75, 0.25, 0], [0.5, 0.5, 0], [0, 1, 0]],
        PROBABILITIES[:2],
        [[0.75, 0.25], [0.5, 0.5], [0.125, np.nan]],
        [[75, 25], [50, 50], [12.5, 87.5]],
        [[-0.1, -2], [-1, -1], [-3, -0.1]],
    ],
)
def test_other_probabilities_are_not_used(wrong, caplog: pytest.LogCaptureFixture):
    assert of_all(with_methods(predict_proba=wrong), IMAGES, LABELS) == (None, [0, 0, 0])
    assert "the model's predict_proba is not used: " in caplog.text
    model = with_methods(predict_proba=wrong, decision_function=[-1, 2, 3])
    assert of_all(model, IMAGES, LABELS) == (SCORE, [1, 2, 3])


@pytest.mark.parametrize("wrong", [[1, 2, np.nan], [-np.inf, 2, 3], [[1, 2, 3]], None])
def test_other_scores_are_not_used(wrong):
    assert of_all(with_methods(decision_function=wrong), IMAGES, LABELS)[0] is None


@pytest.mark.parametrize("classes", [None, [4], ["4", "9"], [[4], [9, 9]]])
def test_classes_that_do_not_fit_give_no_confidences(classes):
    model = with_methods(predict_proba=PROBABILITIES, classes_=classes)
    assert of_all(model, IMAGES, LABELS)[0] is None


def test_method_that_fails_gives_no_confidences(caplog: pytest.LogCaptureFixture):
    model = Own()
    model.predict_proba = lambda rows: 1 / 0
    assert of_all(model, IMAGES, LABELS)[0] is None
    assert "predict_proba is not used: division by zero" in caplog.text


def test_last_digits_that_differ_between_processors_do_not_decide_the_order():
    almost = np.add(PROBABILITIES, [1e-13, -1e-13])
    scores = np.array([1234.5, 1e-9, -3.0])
    for name, one, other in (
        ("predict_proba", PROBABILITIES, almost),
        ("decision_function", scores, scores * (1 + 1e-12)),
    ):
        found = (of_all(with_methods(**{name: values}), IMAGES, LABELS) for values in (one, other))
        assert next(found) == next(found)


# ---- The default model ---------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", SETS)
def test_probabilities_are_those_of_scikit_learn(name: str, solver: str, monkeypatch):
    images, labels = SETS[name]
    model = SOLVERS[solver](images, labels, 0.5, seed=1, threads=1)
    expected = model.predict_proba(features(images))
    assert np.allclose(probabilities(model, images), expected, rtol=1e-12, atol=1e-15)
    monkeypatch.setattr(estimator, "BLOCK", 7)
    assert np.allclose(probabilities(model, images), expected, rtol=1e-12, atol=1e-15)


def test_image_that_no_class_fits_has_only_zeros():
    images, labels = THREE
    model = tutorial_estimator(1, seed=1).fit(features(images), labels)
    for binary in model.estimators_:
        binary.intercept_[:] = -1e6
    expected = model.predict_proba(features(images))
    assert not expected.any()
    assert not probabilities(model, images).any()


def test_probabilities_of_no_images():
    images, labels = THREE
    model = tutorial_estimator(1, seed=1).fit(features(images), labels)
    assert probabilities(model, images[:0]).shape == (0, 3)
