"""The model, all of it plain scikit-learn: lib/model.py."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils.validation import check_is_fitted

from lib import model
from samples import labelled_images


def test_the_estimator_is_the_tutorials():
    estimator = model.unfitted(rate=0.8, seed=7)
    assert type(estimator) is OneVsRestClassifier
    assert type(estimator.estimator) is LogisticRegression
    expected = LogisticRegression(solver="liblinear", C=1.25, random_state=7)
    assert estimator.estimator.get_params() == expected.get_params()


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8, 2, 10, 49, 0.3, 1e-6, 1_000_000])
def test_a_model_tells_the_rate_that_it_was_given(rate: float):
    assert model.regularization_rate(model.unfitted(rate, seed=42)) == rate


def test_features_are_rows_of_pixels_from_0_to_1():
    images = np.array([[[0, 255, 51], [102, 153, 204]]], np.uint8)
    rows = model.features(images)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, [[0, 1, 0.2, 0.4, 0.6, 0.8]])


def test_assembled_copies_what_it_is_given():
    weights = np.zeros((3, 4))
    fitted = model.assembled(
        model.unfitted(0.5, 42), np.array([1, 5, 9], np.uint8), weights, np.zeros(3), np.ones(3)
    )
    weights[:] = 7
    check_is_fitted(fitted)
    assert all((binary.coef_ == 0).all() for binary in fitted.estimators_)
    assert fitted.classes_.tolist() == [1, 5, 9]
    assert fitted.n_features_in_ == 4


@pytest.mark.parametrize("block", [1, 2, 50, 51])
def test_predicting_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch, block: int):
    images, labels = labelled_images(50, 4, 4, classes=[3, 7, 200])
    fitted = model.unfitted(0.5, 42).fit(model.features(images), labels)
    expected = fitted.predict(model.features(images))
    monkeypatch.setattr(model, "BLOCK", block)
    predicted = model.predict(fitted, images)
    np.testing.assert_array_equal(predicted, expected)
    assert predicted.dtype == np.uint8
