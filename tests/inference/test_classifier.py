"""The classifier takes images as they are, and refuses what it cannot know."""

import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier
from sklearn.tree import DecisionTreeClassifier

from image_workflow.inference.classifier import (
    ImageClassifier,
    byte_pipeline,
    images_of_numbers,
)
from image_workflow.inference.model_input import INPUT_FILE, InputError, ModelInput

IMAGES = (load_digits().images * 15).astype(np.uint8)
LABELS = load_digits().target
NAMES = {label: f"digit {label}" for label in range(10)}
INPUT = ModelInput(8, 8, 240, NAMES, "digits", "pad", "from_border")


def classifier_of(estimator) -> ImageClassifier:
    """Return a classifier with an estimator that is fitted to scaled pixels, as train.py does."""
    model = estimator.fit(IMAGES.reshape(-1, 64) / 255, LABELS)
    return ImageClassifier(byte_pipeline(model, 64), INPUT)


@pytest.fixture(scope="module")
def classifier() -> ImageClassifier:
    return classifier_of(DecisionTreeClassifier(max_depth=5, random_state=1))


def test_images_and_flat_rows_have_the_models_answers(classifier: ImageClassifier):
    model, pixels = classifier.pipeline["classify"], IMAGES.reshape(-1, 64)
    answer, flat = classifier.predict(IMAGES), classifier.predict(pixels)
    assert answer.labels == flat.labels == [NAMES[label] for label in model.predict(pixels / 255)]
    np.testing.assert_array_equal(answer.probabilities, model.predict_proba(pixels / 255))
    assert answer.class_names == list(NAMES.values())


def test_bytes_are_divided_as_in_the_training():
    every_byte = np.arange(256, dtype=np.uint8).reshape(4, 64)
    scaler = classifier_of(DecisionTreeClassifier(max_depth=1)).pipeline["scale"]
    assert scaler.transform(every_byte).tobytes() == (every_byte / 255).tobytes()


def test_many_images_are_predicted_in_blocks(classifier: ImageClassifier):
    many = np.tile(IMAGES, (6, 1, 1))
    assert classifier.predict(many).labels == classifier.predict(IMAGES).labels * 6


def test_a_model_without_probabilities_answers_labels_alone():
    answer = classifier_of(RidgeClassifier()).predict(IMAGES[:3])
    assert answer.labels == ["digit 0", "digit 1", "digit 2"]
    assert json.loads(json.dumps(answer.to_json()))["probabilities"] is None


def test_a_classifier_is_loaded_with_its_input(classifier: ImageClassifier, tmp_path: Path):
    joblib.dump(classifier.pipeline, tmp_path / "model.pkl")
    INPUT.write(tmp_path / INPUT_FILE)
    loaded = ImageClassifier.load(tmp_path)
    assert loaded.input == INPUT
    assert loaded.predict(IMAGES).labels == classifier.predict(IMAGES).labels
    # Nothing but scikit-learn is needed to load the Pipeline.
    assert b"image_workflow" not in pickle.dumps(classifier.pipeline)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES / 255, "found the element type float64"),
        (IMAGES.astype(np.int64), "found the element type int64"),
        (IMAGES.astype(np.float32), "found the element type float32"),
        (np.full((1, 8, 8), np.nan), "found the element type float64"),
        (np.full((1, 8, 8), "7"), "found the element type <U1"),
        (IMAGES > 0, "found the element type bool"),
        (IMAGES // 240, "found none above 1. Do not divide them by 255"),
        (IMAGES[0], r"found the shape \(8, 8\). Put the image into a list of one"),
        (IMAGES[0].ravel(), r"found the shape \(64,\). Put the image into a list of one"),
        (IMAGES[:, :7], r"found the shape \(1797, 7, 8\). Bring the images to this size"),
        (IMAGES[:, None], r"found the shape \(1797, 1, 8, 8\)"),
        (IMAGES[:0], "found no image"),
        (np.uint8(7), r"found the shape \(\)"),
    ],
)
def test_another_type_shape_or_range_is_refused(classifier: ImageClassifier, images, said: str):
    with pytest.raises(InputError, match=said):
        classifier.predict(images)


def test_images_of_0_and_1_are_taken_if_the_training_images_are_such():
    black_and_white = ModelInput(8, 8, 1, NAMES, "digits", "pad", "from_border")
    model = DecisionTreeClassifier(max_depth=1).fit(IMAGES.reshape(-1, 64) // 240 / 255, LABELS)
    classifier = ImageClassifier(byte_pipeline(model, 64), black_and_white)
    assert len(classifier.predict(IMAGES // 240).labels) == len(IMAGES)


@pytest.mark.parametrize("numbers", [IMAGES[:2].tolist(), (IMAGES[:2] * 1.0).tolist()])
def test_whole_numbers_of_json_are_bytes(numbers: list):
    found = images_of_numbers(numbers)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, IMAGES[:2])


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([[0.25] * 64], "found fractions from 0.25 to 0.25. Do not divide the pixels by 255"),
        ([[256] * 64], "found 256 to 256"),
        ([[-1] * 64], "found -1 to -1"),
        ([[float("nan")]], "found NaN or infinity"),
        ([[float("inf")]], "found NaN or infinity"),
        ([[10**400]], "found something else"),
        ([[1, 2], [3]], "found images of another length"),
        ([["7"]], "found something else"),
        ([[None]], "found something else"),
        ([[True]], "found something else"),
        ([[True, 2]], "found something else"),
        ([[[1, 2], [3, False]]], "found something else"),
        ([{}], "found something else"),
        ("7", "found something else"),
        (None, "found something else"),
        ({"a": 1}, "found something else"),
    ],
)
def test_other_values_of_json_are_refused(numbers, said: str):
    with pytest.raises(InputError, match=said):
        images_of_numbers(numbers)
