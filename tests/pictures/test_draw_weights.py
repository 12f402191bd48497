"""Test the picture of the model's coefficients."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Perceptron, RidgeClassifier, SGDClassifier
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import draw_weights
from image_workflow.errors import UserError
from image_workflow.models.estimator import assembled, features, tutorial_estimator, weights
from image_workflow.models.own_estimator import is_linear
from picture_checks import check_layout, class_names, data_set_of, words
from samples import SETS
from training import write_training_file


def coefficients_of(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=(count, 5 * 4))


def test_each_class_has_an_image_of_its_coefficients():
    coefficients = coefficients_of(3)
    figure = draw_weights.draw(coefficients, (5, 4), ["cat", "dog", "cow"])
    images = figure.axes[0].images
    assert [text for text in words(figure) if text in {"cat", "dog", "cow"}] == [
        "cat",
        "dog",
        "cow",
    ]
    for image, expected in zip(images, coefficients, strict=True):
        assert image.get_array().tolist() == expected.reshape(5, 4).tolist()


def test_two_classes_have_one_image_for_the_second():
    figure = draw_weights.draw(coefficients_of(1), (5, 4), ["cat", "dog"])
    assert len(figure.axes[0].images) == 1
    assert words(figure)[1:3] == ["rather than cat", "dog"]


def test_all_images_have_the_same_colours_symmetrical_about_0():
    coefficients = np.array([[-3.0, 0, 1, 2], [0, 0.5, 0, 0], [0, 0, 0, -1]])
    images = draw_weights.draw(coefficients, (2, 2), ["a", "b", "c"]).axes[0].images
    limits = {(image.norm.vmin, image.norm.vmax) for image in images}
    assert limits == {(-3.0, 3.0)}
    middle = np.array(images[0].cmap(images[0].norm(0.0))[:3])
    assert (middle > 0.95).all()  # 0 is white


def test_few_extreme_coefficients_do_not_make_the_others_pale():
    coefficients = np.ones((2, 500))
    coefficients[0, 0] = 1000
    image = draw_weights.draw(coefficients, (20, 25), ["a", "b"]).axes[0].images[0]
    assert image.norm.vmax == 1


@pytest.mark.parametrize("size", [1e-7, 1, 27_000, 1e30])
def test_numbers_at_the_colours_overlap_nothing(size: float):
    coefficients = size * np.linspace(-1, 1, 20)[np.newaxis]
    check_layout(draw_weights.draw(coefficients, (5, 4), ["a", "b"]))


def test_model_without_any_coefficient():
    image = draw_weights.draw(np.zeros((3, 4)), (2, 2), ["a", "b", "c"]).axes[0].images[0]
    assert image.norm.vmax == 1


@pytest.mark.parametrize(
    ("count", "kind"), list(product([1, 3, 6, 10, 26, 62], ["short", "long", "strange"]))
)
def test_names_overlap_nothing(count: int, kind: str):
    names = class_names(max(count, 2), kind)
    figure = draw_weights.draw(coefficients_of(count), (5, 4), names)
    check_layout(figure)
    page, bar = figure.axes
    pictures = [image.get_window_extent() for image in page.images]
    assert len(pictures) == count
    assert not any(bar.get_window_extent().overlaps(picture) for picture in pictures)


def test_program_draws_the_models_coefficients(tmp_path: Path):
    def png(sign: int) -> bytes:
        model = assembled(
            *(tutorial_estimator(1, seed=1), np.array([0, 2, 3], np.uint8)),
            *(sign * coefficients_of(3), [0.0, 0.0, 0.0], [1, 1, 1]),
        )
        joblib.dump(model, tmp_path / "model.pkl")
        write_training_file(tmp_path / "model.pkl")
        names = class_names(4, "short")
        data_set_of(names, [1] * 4, [1] * 4, rows=5, columns=4).write(tmp_path / "dataset.json")
        options = Namespace(
            model=tmp_path / "model.pkl",
            training=tmp_path / "training.json",
            estimator_folder=None,
            dataset_file=tmp_path / "dataset.json",
            output=tmp_path / "weights.png",
            record=None,
        )
        draw_weights.main(options)
        return options.output.read_bytes()

    first = png(1)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png(1) == first
    assert png(-1) != first


# ---- Linear classifiers --------------------------------------------------------------------


LINEAR = [
    LogisticRegression(),
    RidgeClassifier(),
    LinearSVC(),
    LinearSVC(fit_intercept=False),
    SGDClassifier(),
    Perceptron(),
    LinearDiscriminantAnalysis(),
    OneVsRestClassifier(LinearSVC(fit_intercept=False)),
    OneVsRestClassifier(make_pipeline(StandardScaler(), RidgeClassifier())),
    make_pipeline(StandardScaler(), OneVsRestClassifier(Perceptron())),
    make_pipeline(StandardScaler(), "passthrough", SGDClassifier()),
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["two classes", "three classes"])
@pytest.mark.parametrize("model", LINEAR, ids=str)
def test_weights_of_linear_classifiers_are_those_of_their_decision(model, name: str):
    images, labels = SETS[name]
    assert is_linear(model)
    model.fit(features(images), labels)
    count = len(np.unique(labels))
    coefficients, intercepts = weights(model)
    assert draw_weights.checked(coefficients, images.shape[1:], count) is coefficients
    assert intercepts.shape == (len(coefficients),)
    rows = features(images)
    if hasattr(model, "steps"):
        rows = model[0].transform(rows)
    if not isinstance(getattr(model, "estimator", None), Pipeline):
        decision = rows @ coefficients.T + intercepts
        assert np.allclose(decision.squeeze(), model.decision_function(features(images)))


class WithoutCoefficients(LinearClassifierMixin):
    """A class of the user's own that says it is linear."""


@pytest.mark.parametrize("model", [WithoutCoefficients(), make_pipeline(WithoutCoefficients())])
def test_model_without_coefficients_is_an_error(model):
    with pytest.raises(UserError, match="WithoutCoefficients has no coef_"):
        weights(model)


@pytest.mark.parametrize(
    ("coefficients", "found"),
    [
        (np.ones((3, 5)), r"\(3, 5\)"),
        (np.ones((2, 6)), r"\(2, 6\)"),
        (np.full((3, 6), np.nan), "NaN"),
    ],
)
def test_other_coefficients_are_an_error(coefficients: np.ndarray, found: str):
    with pytest.raises(UserError, match=rf"array of shape \(3, 6\), found {found}"):
        draw_weights.checked(coefficients, (2, 3), 3)
