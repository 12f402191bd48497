"""Test the probabilities against scikit-learn's."""

import numpy as np
import pytest

from image_workflow.models import estimator
from image_workflow.models.estimator import features, tutorial_estimator
from image_workflow.models.probabilities import probabilities
from image_workflow.models.solvers import SOLVERS
from samples import SETS


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
    images, labels = SETS["three classes"]
    model = tutorial_estimator(1, seed=1).fit(features(images), labels)
    for binary in model.estimators_:
        binary.intercept_[:] = -1e6
    expected = model.predict_proba(features(images))
    assert not expected.any()
    assert not probabilities(model, images).any()


def test_no_images():
    images, labels = SETS["three classes"]
    model = tutorial_estimator(1, seed=1).fit(features(images), labels)
    assert probabilities(model, images[:0]).shape == (0, 3)
