"""Test the picture of the mistakes."""

from argparse import Namespace
from pathlib import Path

import joblib
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

import draw_mistakes
from draw_mistakes import Mistakes
from image_workflow.models.confidences import PROBABILITY, SCORE
from image_workflow.models.estimator import features, tutorial_estimator
from picture_checks import check_layout, class_names, data_set_of, words
from samples import labelled_images
from training import write_training_file

CLASSES = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def model():
    images, labels = labelled_images(200, 6, 5, CLASSES)
    return tutorial_estimator(50, seed=1).fit(features(images), labels)


@pytest.fixture(scope="module")
def test_set() -> tuple[np.ndarray, np.ndarray]:
    return labelled_images(150, 6, 5, CLASSES, seed=2)


def mistakes_of(count: int, kind: str | None) -> tuple[Mistakes, np.ndarray, np.ndarray]:
    """Return mistakes at the last images of a test set, and its images and labels.

    The first pixel of an image is its index.
    """
    images, labels = np.zeros((200, 8, 6), np.uint8), np.zeros(200, np.uint8)
    images[:, 0, 0] = np.arange(200)
    indices = np.arange(200)[::-1][:count]
    confidences = np.linspace(0.98, 0.51, count)
    return Mistakes(indices, np.ones(count, np.uint8), confidences, kind), images, labels


def draw(
    count: int, names: list[str], polarity: str = "as_is", kind: str | None = PROBABILITY
) -> Figure:
    mistakes, images, labels = mistakes_of(count, kind)
    return draw_mistakes.draw(mistakes, images, labels, dict(enumerate(names)), polarity)


# ---- The mistakes --------------------------------------------------------------------------


def test_all_wrong_predictions_are_found_with_the_models_probabilities(model, test_set):
    images, labels = test_set
    found = draw_mistakes.find_mistakes(model, images, labels)
    predicted = model.predict(features(images))
    probabilities = model.predict_proba(features(images))
    assert found.kind == PROBABILITY
    assert 5 < len(found.indices) < 145
    assert sorted(found.indices) == np.flatnonzero(predicted != labels).tolist()
    assert found.predicted.tolist() == predicted[found.indices].tolist()
    expected = probabilities[found.indices, found.predicted]
    assert np.allclose(found.confidences, expected, atol=1e-9)


def test_most_confident_mistakes_come_first_and_equal_ones_in_their_order(model, test_set):
    images, labels = (np.concatenate([array, array]) for array in test_set)
    found = draw_mistakes.find_mistakes(model, images, labels)
    assert (np.diff(found.confidences) <= 0).all()
    assert (found.indices[1::2] - found.indices[::2] == len(test_set[1])).all()


def test_mistakes_without_confidences_are_in_the_order_of_the_test_set(test_set):
    images, labels = test_set
    model = NearestCentroid().fit(features(images[:10]), labels[:10])
    model.decision_function = model.predict_proba = None
    found = draw_mistakes.find_mistakes(model, images, labels)
    assert found.kind is None
    assert len(found.indices) > 5
    assert (
        found.indices.tolist() == np.flatnonzero(model.predict(features(images)) != labels).tolist()
    )


def test_model_without_mistakes_has_none(test_set):
    images, labels = test_set
    model = KNeighborsClassifier(1).fit(features(images), labels)
    assert not len(draw_mistakes.find_mistakes(model, images, labels).indices)


# ---- The picture ---------------------------------------------------------------------------


def test_each_mistake_has_its_image_names_and_probability():
    figure = draw(2, ["cat", "dog"])
    (page,) = figure.axes
    assert [image.get_array()[0, 0] for image in page.images] == [199, 198]
    title, *rest = words(figure)
    assert title == "All 2 mistakes in 200 test images: true class → predicted class, probability"
    assert rest == ["cat → dog", "98.0%", "cat → dog", "51.0%"]


def test_only_the_30_most_confident_are_drawn():
    figure = draw(31, ["cat", "dog"])
    assert words(figure)[0].startswith("The 30 most confident of 31 mistakes in 200 test images")
    (page,) = figure.axes
    assert [image.get_array()[0, 0] for image in page.images] == list(range(199, 169, -1))
    assert "51.0%" not in words(figure)


def test_scores_have_four_digits():
    figure = draw(2, ["cat", "dog"], kind=SCORE)
    check_layout(figure)
    title, *rest = words(figure)
    assert (
        title == "All 2 mistakes in 200 test images: true class → predicted class, decision score"
    )
    assert rest == ["cat → dog", "0.9800", "cat → dog", "0.5100"]


def test_mistakes_without_confidences_have_no_numbers():
    figure = draw(31, ["cat", "dog"], kind=None)
    check_layout(figure)
    title, *rest = words(figure)
    assert title == "The first 30 of 31 mistakes in 200 test images: true class → predicted class"
    assert rest == 30 * ["cat → dog"]


def test_a_single_mistake():
    figure = draw(1, ["cat", "dog"])
    check_layout(figure)
    assert words(figure)[0].startswith("The only mistake in 200 test images")


def test_label_that_no_class_has_is_drawn_as_a_number():
    mistakes, images, labels = mistakes_of(1, PROBABILITY)
    mistakes.predicted[:] = 77
    assert "cat → 77" in words(draw_mistakes.draw(mistakes, images, labels, {0: "cat"}, "as_is"))


def test_no_mistake():
    figure = draw(0, ["cat", "dog"])
    check_layout(figure)
    assert words(figure) == ["No mistake in 200 test images"]


@pytest.mark.parametrize("count", [1, 4, 7, 30])
@pytest.mark.parametrize("kind", ["short", "long", "strange"])
def test_names_overlap_nothing(count: int, kind: str):
    figure = draw(count, class_names(2, kind))
    check_layout(figure)
    (page,) = figure.axes
    pictures = [image.get_window_extent() for image in page.images]
    texts = [text.get_window_extent() for text in page.texts if text.get_text()]
    assert not any(text.overlaps(picture) for text in texts for picture in pictures)


@pytest.mark.parametrize(("polarity", "light"), [("light_on_dark", 0), ("as_is", 255)])
def test_polarity_decides_what_is_white(polarity: str, light: int):
    image = draw(1, ["a", "b"], polarity).axes[0].images[0]
    assert image.cmap(image.norm(light))[:3] == (1, 1, 1)


def test_program_draws_the_models_mistakes(tmp_path: Path, model, test_set):
    joblib.dump(model, tmp_path / "model.pkl")
    write_training_file(tmp_path / "model.pkl")
    for kind, array in zip(("images", "labels"), test_set, strict=True):
        np.save(tmp_path / f"{kind}.npy", array)
    names = class_names(4, "short")
    data_set_of(names, [1] * 4, [1] * 4).write(tmp_path / "dataset.json")
    options = Namespace(
        model=tmp_path / "model.pkl",
        training=tmp_path / "training.json",
        images=tmp_path / "images.npy",
        labels=tmp_path / "labels.npy",
        dataset_file=tmp_path / "dataset.json",
        estimator_folder=None,
        output=tmp_path / "mistakes.png",
        record=None,
    )
    draw_mistakes.main(options)
    first = options.output.read_bytes()
    draw_mistakes.main(options)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert options.output.read_bytes() == first
