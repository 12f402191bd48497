"""A classifier that takes images as bytes, checks them, and answers with class names."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import joblib
import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler

# Relative, because a registered model has a copy of this package under another name.
from .model_input import INPUT_FILE, InputError, ModelInput

log = logging.getLogger(__name__)

BLOCK = 4096  # images whose scaled pixels are in memory at once
MAXIMUM = 255  # the largest byte


@dataclass(frozen=True)
class Predictions:
    """The answers for some images.

    Attributes
    ----------
    class_names : list of str
        The names of the model's classes.
    labels : list of str, length n
        The name of the predicted class of each image.
    probabilities : ndarray of float64, shape (n, n_classes), or None
        The probability of each class in ``class_names``. None if the estimator has no
        ``predict_proba``.
    """

    class_names: list[str]
    labels: list[str]
    probabilities: np.ndarray | None

    def to_json(self) -> dict:
        """Return the answers in the form in which a server sends them."""
        probabilities = None if self.probabilities is None else self.probabilities.tolist()
        return {
            "labels": self.labels,
            "probabilities": probabilities,
            "class_names": self.class_names,
        }


class ImageClassifier:
    """A fitted classifier with the description of its input.

    Parameters
    ----------
    pipeline : sklearn.pipeline.Pipeline
        Takes bytes, one row for each image, see :func:`byte_pipeline`.
    model_input : ModelInput
    """

    def __init__(self, pipeline: Pipeline, model_input: ModelInput):
        self.pipeline, self.input = pipeline, model_input
        # A Pipeline refuses a class of the user's own whose fit sets no attribute, so its steps are
        # called one by one. Such a class may have no classes_ either.
        (_, self.scaler), (_, self.model) = pipeline.steps
        labels = np.ravel(getattr(self.model, "classes_", [*model_input.class_names]))
        self.class_names = [model_input.class_names[int(label)] for label in labels]

    @classmethod
    def from_model(cls, model: ClassifierMixin, model_input: ModelInput) -> Self:
        """Return the classifier of a fitted model, which takes pixels scaled to 0-1."""
        return cls(byte_pipeline(model, model_input.rows * model_input.columns), model_input)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the classifier that :mod:`image_workflow.backends.mlflow` saved in a folder.

        A pickle can run any code, so load only a folder that you trust.
        """
        skops, pickle = folder / "model.skops", folder / "model.pkl"
        if skops.exists():
            from skops.io import load

            # It loads no type that could run code.
            pipeline = load(skops)
        else:
            pipeline = joblib.load(pickle)
        return cls(pipeline, ModelInput.read(folder / INPUT_FILE))

    def predict(self, images: np.ndarray) -> Predictions:
        """Return the classes of images, and their probabilities.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, rows, columns) or (n, rows * columns)
            From 0 to 255, not scaled. May be a memory map.

        Raises
        ------
        InputError
            If the element type, the shape or the range is another.
        """
        rows = self.checked(images)
        labels, probabilities = [], []
        for block in blocks(rows):
            scaled = self.scaler.transform(block)
            labels += [self.input.class_names[int(label)] for label in self.model.predict(scaled)]
            probabilities.append(self.probabilities(scaled))
        known = all(block is not None for block in probabilities)
        return Predictions(
            class_names=self.class_names,
            labels=labels,
            probabilities=np.concatenate(probabilities) if known else None,
        )

    def probabilities(self, scaled: np.ndarray) -> np.ndarray | None:
        """Return the probabilities of scaled images, or None if the model has none that are usable.

        The user's class may return anything. Its labels are of use without.
        """
        if not hasattr(self.model, "predict_proba"):
            return None
        try:
            found = np.asarray(self.model.predict_proba(scaled), float)
        except Exception as error:
            log.warning("the model's predict_proba is not used: %s", error)
            return None
        if found.shape != (len(scaled), len(self.class_names)):
            log.warning(
                "the model's predict_proba is not used: expected an array of shape %s, found %s",
                *((len(scaled), len(self.class_names)), found.shape),
            )
            return None
        # scikit-learn divides each row by its sum, which may be 0.
        return np.nan_to_num(found)

    def checked(self, images: np.ndarray) -> np.ndarray:
        """Return the images as rows of bytes, or raise InputError."""
        images, size = np.asanyarray(images), (self.input.rows, self.input.columns)
        pixels = size[0] * size[1]
        expected = f"bytes of shape (n, {size[0]}, {size[1]}) or (n, {pixels})"
        if images.dtype != np.uint8:
            raise InputError(
                f"expected {expected} from 0 to 255, found the element type {images.dtype}. Send "
                "the pixels as uint8, and do not scale them: the model does."
            )
        if images.shape[1:] not in (size, (pixels,)):
            one = images.shape in (size, (pixels,))
            advice = (
                "Put the image into a list of one." if one else "Bring the images to this size."
            )
            raise InputError(f"expected {expected}, found the shape {images.shape}. {advice}")
        if not len(images):
            raise InputError(f"expected {expected}, found no image. Send at least one.")
        if images.max() <= 1 < self.input.maximum:
            raise InputError(
                "expected pixels from 0 to 255, found none above 1. Do not divide them by 255: the "
                "model does."
            )
        return images.reshape(len(images), pixels)


def byte_pipeline(model: ClassifierMixin, n_pixels: int) -> Pipeline:
    """Return a Pipeline that divides bytes by 255, and gives the result to the model.

    Parameters
    ----------
    model : fitted classifier
        Takes pixels scaled to 0-1, one row for each image.
    n_pixels : int
        How many pixels an image has.
    """
    # Fitted to the range of bytes, it divides by 255 as the training did: not times 1 / 255, which
    # would change the last digits.
    scaler = MaxAbsScaler().fit(np.full((1, n_pixels), MAXIMUM, np.uint8))
    return Pipeline([("scale", scaler), ("classify", model)])


def images_of_numbers(numbers: list) -> np.ndarray:
    """Return images from the numbers of parsed JSON, as bytes.

    Parameters
    ----------
    numbers : list of list
        A list of numbers, or of rows of numbers, for each image.

    Returns
    -------
    ndarray of uint8, with the shape of the lists

    Raises
    ------
    InputError
        If a value is not a whole number from 0 to 255, or if the lists differ in length.
    """
    wanted = "Send a list of whole numbers from 0 to 255 for each image."
    try:
        found = np.array(numbers)
    except (ValueError, OverflowError):
        raise InputError(
            f"expected images of one length, found images of another length. {wanted}"
        ) from None
    # NumPy would take true among numbers for 1.
    if found.dtype.kind not in "iuf" or not element_types(numbers) <= {int, float}:
        raise InputError(f"expected numbers, found something else. {wanted}")
    if not np.isfinite(found).all():
        raise InputError(f"expected numbers, found NaN or infinity. {wanted}")
    if found.size and (found.min() < 0 or found.max() > MAXIMUM):
        raise InputError(
            f"expected pixels from 0 to 255, found {found.min():g} to {found.max():g}. {wanted}"
        )
    if (found != np.floor(found)).any():
        raise InputError(
            f"expected whole numbers, found fractions from {found.min():g} to {found.max():g}. Do "
            "not divide the pixels by 255: the model does."
        )
    return found.astype(np.uint8)


def element_types(numbers: list) -> set[type]:
    """Return the types of all elements of nested lists that are no lists themselves."""
    types = set(map(type, numbers))
    if list in types:
        parts = (element_types(part) for part in numbers if isinstance(part, list))
        types = (types - {list}).union(*parts)
    return types


def blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows in blocks."""
    for at in range(0, len(rows), BLOCK):
        yield rows[at : at + BLOCK]
