"""Images with their labels, as a reader of a format returns them."""

from dataclasses import dataclass

import numpy as np

from image_workflow.errors import UserError


@dataclass(frozen=True)
class Part:
    """A training set, a test set, or images that are still to be split.

    Attributes
    ----------
    images : ndarray, shape (n, rows, columns), (n, rows, columns, channels) or (n, pixels)
        Of any element type, as the file has them.
    labels : ndarray
        Of any shape and element type. Texts are names of classes.
    names : list of str
        What messages call each image: its file, or its number in the file.
    """

    images: np.ndarray
    labels: np.ndarray
    names: list[str]


@dataclass(frozen=True)
class Source:
    """What a reader found at a path.

    Attributes
    ----------
    format : str
        The format's usual name.
    train : Part
    test : Part or None
        None if there is no test set.
    photographs : bool
        Whether the format or its names suggest photographs rather than ink.
    from_colour : int
        How many pictures the reader has converted from colour to grey.
    skipped : list of str
        The files that the reader has left out, because the user says so.
    """

    format: str
    train: Part
    test: Part | None
    photographs: bool = False
    from_colour: int = 0
    skipped: tuple[str, ...] = ()


def numbered(images: np.ndarray, labels: np.ndarray, where: str) -> Part:
    """Return a part whose images are named by their numbers, beginning with 1."""
    if images.ndim == 0 or labels.ndim == 0:
        raise UserError(f"expected arrays of images and labels in {where}, found a single value.")
    return Part(
        images, labels, [f"{where}, image {number}" for number in range(1, len(images) + 1)]
    )


def joined(first: Part, second: Part) -> Part:
    """Return the images of both parts as one."""
    return Part(
        np.concatenate([first.images, second.images]),
        np.concatenate([first.labels, second.labels]),
        first.names + second.names,
    )
