"""Test the preview: random training images with the names of their classes above them."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import preview
from image_workflow.errors import UserError
from picture_checks import check_layout, class_names, data_set_of, words
from samples import labelled_images

SHAPES = [(8, 8), (28, 28), (12, 10), (256, 200), (40, 200), (200, 40), (256, 256)]
NUMBERS = {number: str(number) for number in range(256)}


def png(folder: Path, images: np.ndarray, labels: np.ndarray, count: int = 30, seed: int = 42):
    """Draw the preview as the rule does, and return its bytes."""
    options = Namespace(
        images=folder / "images.npy",
        labels=folder / "labels.npy",
        dataset_file=folder / "dataset.json",
        count=count,
        seed=seed,
        output=folder / "preview.png",
        record=None,
    )
    np.save(options.images, images)
    np.save(options.labels, labels)
    names = class_names(256, "short")
    data_set_of(names, [1] * 256, [1] * 256).write(options.dataset_file)
    preview.main(options)
    return options.output.read_bytes()


def numbered(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images with different first pixels. The first pixel is also the label."""
    images = np.zeros((count, 4, 4), np.uint8)
    images[:, 0, 0] = np.arange(count)
    return images, np.arange(count, dtype=np.uint8)


def draw(images, labels, names=NUMBERS, polarity="as_is", count=30, seed=42) -> Figure:
    return preview.draw(images, labels, names, polarity, count, seed)


def drawn(figure: Figure) -> list[tuple[str, np.ndarray]]:
    """Return the names and images in a preview, in their order."""
    (page,) = figure.axes
    return list(zip(words(figure), [image.get_array() for image in page.images], strict=True))


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


@pytest.mark.parametrize("count", [10, 30, 100])
def test_each_image_is_drawn_once_with_the_name_of_its_class(count: int):
    names = {number: f"class {number}" for number in range(200)}
    shown = drawn(draw(*numbered(200), names, count=count))
    assert len(shown) == count
    assert all(name == f"class {image[0, 0]}" for name, image in shown)
    assert len({name for name, _ in shown}) == count


def test_another_seed_draws_other_images():
    first, other = (words(draw(*numbered(200), seed=seed)) for seed in (1, 2))
    assert first != other
    assert first == words(draw(*numbered(200), seed=1))


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 29, 30])
def test_all_images_are_drawn_if_there_are_few(count: int):
    assert sorted(map(int, words(draw(*numbered(count))))) == list(range(count))


@pytest.mark.parametrize("count", [0, -1, 101])
def test_count_out_of_range_is_an_error(tmp_path: Path, count: int):
    with pytest.raises(UserError, match=f"--count must be between 1 and 100, found {count}"):
        png(tmp_path, *numbered(3), count=count)


# ---- The layout ----------------------------------------------------------------------------


@pytest.mark.parametrize(("polarity", "light"), [("light_on_dark", 0), ("as_is", 255)])
def test_polarity_decides_what_is_white(polarity: str, light: int):
    (page,) = draw(*numbered(1), polarity=polarity).axes
    (image,) = page.images
    white, black = (image.cmap(image.norm(value))[:3] for value in (light, 255 - light))
    assert white == (1, 1, 1)
    assert black == (0, 0, 0)


@pytest.mark.parametrize(("shape", "count"), list(product(SHAPES, [1, 7, 30])))
def test_names_are_above_their_images_and_overlap_nothing(shape: tuple[int, int], count: int):
    images, labels = labelled_images(count, *shape, classes=[0, 128, 255])
    figure = draw(images, labels)
    check_layout(figure)
    (page,) = figure.axes
    pictures = [image.get_window_extent() for image in page.images]
    titles = [text.get_window_extent() for text in page.texts if text.get_text()]
    for picture, title in zip(pictures, titles, strict=True):
        assert title.y0 >= picture.y1
        assert abs((title.x0 + title.x1) - (picture.x0 + picture.x1)) < 2  # centred
        assert abs(picture.height / picture.width - shape[0] / shape[1]) < 0.02 * shape[0]
        assert figure.bbox.x0 <= picture.x0 < picture.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= picture.y0 < picture.y1 <= figure.bbox.y1
    assert not any(title.overlaps(picture) for title in titles for picture in pictures)
    assert not any(one.overlaps(other) for one in pictures for other in pictures if one != other)


@pytest.mark.parametrize(("kind", "count"), list(product(["long", "strange"], [3, 10, 30, 100])))
def test_long_names_are_shortened_until_they_fit(kind: str, count: int):
    images, labels = labelled_images(count, 48, 64, classes=list(range(6)))
    names = dict(enumerate(class_names(6, kind)))
    figure = draw(images, labels, names, count=count)
    check_layout(figure)
    assert len(set(words(figure))) == min(6, count)  # Shortened names still differ.


@pytest.mark.parametrize(("shape", "pixel"), [((8, 8), 17), ((28, 28), 5)])
def test_small_images_have_pixels_of_equal_size(shape: tuple[int, int], pixel: int):
    images, labels = labelled_images(30, *shape, classes=[0, 1])
    (page,) = draw(images, labels).axes
    widths = {image.get_window_extent().width for image in page.images}
    assert {round(width, 6) for width in widths} == {pixel * shape[1]}
