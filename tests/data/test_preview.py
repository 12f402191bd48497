"""Test the preview: 30 random training images with their labels above them."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import preview
from samples import labelled_images

SHAPES = [(8, 8), (28, 28), (12, 10), (256, 200), (40, 200), (200, 40)]


def png(folder: Path, images: np.ndarray, labels: np.ndarray, seed: int = 42) -> bytes:
    """Draw the preview as the rule does, and return its bytes."""
    options = Namespace(
        images=folder / "images.npy",
        labels=folder / "labels.npy",
        seed=seed,
        output=folder / "preview.png",
        record=None,
    )
    np.save(options.images, images)
    np.save(options.labels, labels)
    preview.main(options)
    return options.output.read_bytes()


def numbered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images with different first pixels. The first pixel is also the label."""
    images = np.zeros((count, 4, 4), np.uint8)
    images[:, 0, 0] = np.arange(count)
    return images, np.arange(count, dtype=np.uint8)


def drawn(images: np.ndarray, labels: np.ndarray, seed: int = 42) -> list[tuple[str, np.ndarray]]:
    """Return the labels and images in a preview, in their order."""
    axes = preview.draw(images, labels, seed).axes
    return [(axis.get_title(), axis.images[0].get_array()) for axis in axes if axis.images]


# ---- The bytes -----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (256, 200)])
def test_same_images_give_the_same_bytes(tmp_path: Path, shape: tuple[int, int]):
    images, labels = labelled_images(40, *shape, classes=[0, 1, 255])
    first = png(tmp_path, images, labels)
    assert first.startswith(b"\x89PNG")
    assert png(tmp_path, images, labels) == first
    assert png(tmp_path, images, labels, seed=43) != first


def test_bytes_do_not_contain_the_version_of_matplotlib(tmp_path: Path):
    # Otherwise a new Matplotlib that draws the same picture would cause a new registration.
    assert b"Software" not in png(tmp_path, *numbered(3))


# ---- The images ----------------------------------------------------------------------------


def test_each_image_is_drawn_once_with_its_own_label():
    shown = drawn(*numbered(200))
    assert len(shown) == 30
    assert all(label == str(image[0, 0]) for label, image in shown)
    assert len({label for label, _ in shown}) == 30


def test_another_seed_draws_other_images():
    first, other = ([label for label, _ in drawn(*numbered(200), seed)] for seed in (1, 2))
    assert first != other
    assert first == [label for label, _ in drawn(*numbered(200), 1)]


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 29, 30])
def test_all_images_are_drawn_if_there_are_at_most_30(tmp_path: Path, count: int):
    assert sorted(int(label) for label, _ in drawn(*numbered(count))) == list(range(count))
    assert png(tmp_path, *numbered(count)).startswith(b"\x89PNG")


# ---- The layout ----------------------------------------------------------------------------


def test_pixels_are_dark_on_white():
    (axis,) = preview.draw(*numbered(1), seed=42).axes
    image = axis.images[0]
    black, white = (image.cmap(image.norm(value))[:3] for value in (255, 0))
    assert black == (0, 0, 0)
    assert white == (1, 1, 1)


@pytest.mark.parametrize(("shape", "count"), list(product(SHAPES, [1, 7, 30])))
def test_labels_are_above_their_images_and_overlap_nothing(shape: tuple[int, int], count: int):
    images, labels = labelled_images(count, *shape, classes=[0, 128, 255])
    figure = preview.draw(images, labels, seed=42)
    figure.canvas.draw()
    axes = [axis for axis in figure.axes if axis.images]
    pictures = [axis.get_window_extent() for axis in axes]
    titles = [axis.title.get_window_extent() for axis in axes]
    for picture, title in zip(pictures, titles, strict=True):
        assert title.y0 >= picture.y1
        assert abs((title.x0 + title.x1) - (picture.x0 + picture.x1)) < 2  # centred
        assert abs(picture.height / picture.width - shape[0] / shape[1]) < 0.02 * shape[0]
        assert figure.bbox.x0 <= title.x0
        assert title.x1 <= figure.bbox.x1
        assert title.y1 <= figure.bbox.y1
    assert not any(title.overlaps(picture) for title in titles for picture in pictures)
    assert not any(
        title.overlaps(other) for title in titles for other in titles if title is not other
    )
