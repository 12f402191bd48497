"""Split images into a training set and a test set, and compare the two."""

import hashlib

import numpy as np

from image_workflow.errors import UserError


def stratified_split(
    images: np.ndarray, labels: np.ndarray, share: float, seed: int, names: dict[int, str]
) -> np.ndarray:
    """Return for each image whether it belongs to the test set.

    The content of an image decides, so another image that is added or removed moves at most one
    image of its class from one set to the other.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
    labels : ndarray of uint8, shape (n,)
    share : float
        The share of each class that becomes the test set, rounded, but at least one image.
    seed : int
        Decides which images are chosen.
    names : dict of str
        The name of each class, for messages.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    UserError
        If a class has a single image.
    """
    digests = [_digest(image, salt=str(seed)) for image in images]
    chosen = np.zeros(len(images), bool)
    for label, name in names.items():
        members = np.flatnonzero(labels == label)
        if len(members) < 2:
            raise UserError(
                f"expected at least two images of each class, one to train and one to test, found "
                f"one of {name}. Add more, or remove the class."
            )
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        ranked = sorted(members.tolist(), key=digests.__getitem__)
        chosen[ranked[:count]] = True
    return chosen


def equal_images(train: np.ndarray, test: np.ndarray) -> list[tuple[int, int]]:
    """Return for each test image that the training set contains: the numbers of both, from 0.

    Parameters
    ----------
    train, test : ndarray of uint8, shape (n, rows, columns)
    """
    first = {}
    for number, image in enumerate(train):
        first.setdefault(_digest(image), number)
    pairs = ((first.get(_digest(image)), number) for number, image in enumerate(test))
    return [pair for pair in pairs if pair[0] is not None]


def _digest(image: np.ndarray, salt: str = "") -> bytes:
    return hashlib.sha256(salt.encode() + image.tobytes()).digest()
