"""Test the model, which is a plain scikit-learn estimator: models/estimator.py."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.validation import check_is_fitted

from image_workflow.models import estimator
from image_workflow.models.estimator import assembled, features, tutorial_estimator
from samples import labelled_images


def test_unfitted_model_is_the_tutorials_estimator():
    model = tutorial_estimator(rate=0.8, seed=7)
    assert type(model) is OneVsRestClassifier
    assert type(model.estimator) is LogisticRegression
    expected = LogisticRegression(solver="liblinear", C=1.25, random_state=7)
    assert model.estimator.get_params() == expected.get_params()


def test_features_are_rows_of_pixels_from_0_to_1():
    images = np.array([[[0, 255, 51], [102, 153, 204]]], np.uint8)
    rows = features(images)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, [[0, 1, 0.2, 0.4, 0.6, 0.8]])


def test_assembled_model_copies_its_coefficients():
    coefficients = np.zeros((3, 4))
    classes = np.array([1, 5, 9], np.uint8)
    model = assembled(tutorial_estimator(0.5, 42), classes, coefficients, np.zeros(3), np.ones(3))
    coefficients[:] = 7
    check_is_fitted(model)
    assert all((binary.coef_ == 0).all() for binary in model.estimators_)
    assert model.classes_.tolist() == [1, 5, 9]
    assert model.n_features_in_ == 4


@pytest.mark.parametrize("block", [1, 2, 50, 51])
def test_predictions_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch, block: int):
    images, labels = labelled_images(50, 4, 4, classes=[3, 7, 200])
    model = tutorial_estimator(0.5, 42).fit(features(images), labels)
    expected = model.predict(features(images))
    monkeypatch.setattr(estimator, "BLOCK", block)
    predicted = estimator.predict(model, images)
    np.testing.assert_array_equal(predicted, expected)
    assert predicted.dtype == np.uint8
