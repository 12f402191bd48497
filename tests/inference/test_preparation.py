"""Bring pictures to the form of the training images."""

import io
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from checkout import TOP
from digit_pictures import drawing, drawn, photograph
from image_workflow.configuration import checked, load
from image_workflow.conversion.converting import convert
from image_workflow.inference.model_input import InputError, ModelInput
from image_workflow.inference.preparation import prepared, read_picture

CLASSES = {label: str(label) for label in range(10)}
MNIST = ModelInput(28, 28, 255, CLASSES, "mnist", "pad", "from_border")
DIGITS = ModelInput(8, 8, 255, CLASSES, "digits", "pad", "from_border")
HANDS = 3
# results/model.pkl of MNIST, with its coefficients as bytes: 40 times as large, and rounded.
WEIGHTS = np.load(Path(__file__).with_name("mnist_weights.npz"))


@cache
def pictures(kind) -> list[Image.Image]:
    """Return a picture of each digit by each hand."""
    hands = range(HANDS)
    return [
        kind(digit, np.random.default_rng([hand, digit])) for hand in hands for digit in CLASSES
    ]


TRUTH = np.tile(np.arange(10), HANDS)


def mnist_labels(images: list[np.ndarray]) -> np.ndarray:
    """Return the labels that the model of MNIST predicts."""
    rows = np.reshape(images, (len(images), -1)) / 255
    scores = rows @ WEIGHTS["coefficients"].T / 40 + WEIGHTS["intercepts"]
    return scores.argmax(1)


def as_array(picture: Image.Image, model_input: ModelInput = MNIST) -> np.ndarray:
    """Return the prepared picture as numbers that can be subtracted."""
    return prepared(picture, model_input).astype(int)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return how much two images differ, wherever the rounded centre of mass has put them."""
    shifts = [(rows, columns) for rows in (-1, 0, 1) for columns in (-1, 0, 1)]
    return min(np.abs(np.roll(one, shift, (0, 1)) - other).mean() for shift in shifts)


# ---- Digits, drawn and photographed --------------------------------------------------------


@pytest.mark.parametrize("kind", [drawing, photograph])
def test_nine_of_ten_digits_are_recognized(kind):
    found = [prepared(picture, MNIST) for picture in pictures(kind)]
    assert {(image.shape, image.dtype) for image in found} == {((28, 28), np.dtype(np.uint8))}
    assert (mnist_labels(found) == TRUTH).mean() >= 0.9


@pytest.mark.parametrize("kind", [drawing, photograph])
def test_without_the_preparation_three_of_ten_are(kind):
    """The pictures are no easier than they should be."""
    small = [np.asarray(each.convert("L").resize((28, 28))) for each in pictures(kind)]
    assert (mnist_labels(small) == TRUTH).mean() <= 0.3


def test_most_digits_are_recognized_at_8_x_8_pixels():
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).reshape(-1, 64) / 255
    model = LogisticRegression(max_iter=1000).fit(images, digits.target)
    for kind in (drawing, photograph):
        found = np.array([prepared(picture, DIGITS) for picture in pictures(kind)])
        assert found.shape == (len(TRUTH), 8, 8)
        assert found.any(2).all(), "The digit is as high as the image."
        # As in the original data, where three of ten pixels have ink.
        assert 0.22 < found.mean() / 255 < 0.38
        assert model.score(found.reshape(-1, 64) / 255, TRUTH) >= 0.7


@pytest.mark.parametrize("kind", [drawing, photograph])
def test_thin_strokes_are_thickened(kind):
    """A ballpoint's strokes are a thirtieth of a digit's height."""
    thin = [kind(digit, np.random.default_rng([9, digit]), pen=0.03) for digit in CLASSES]
    found = [prepared(picture, MNIST) for picture in thin]
    assert (mnist_labels(found) == np.arange(10)).mean() >= 0.9


# ---- The form of MNIST's images ------------------------------------------------------------


def test_the_longer_side_has_20_pixels_and_the_centre_of_mass_is_in_the_middle():
    for picture in pictures(drawing):
        image = as_array(picture)
        rows, columns = np.nonzero(image > 12)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        for axis in (0, 1):
            centre = image.sum(1 - axis) @ np.arange(28) / image.sum()
            assert abs(centre - 14) <= 0.55
        assert image.max() == 255


def test_an_image_that_has_the_form_comes_back_as_it_was():
    for picture in pictures(drawing):
        image = as_array(picture)
        again = as_array(Image.fromarray(image.astype(np.uint8)))
        assert np.abs(again - image).mean() < 2


@pytest.mark.parametrize(("rows", "columns"), [(28, 28), (56, 56), (64, 48), (14, 14)])
def test_other_sizes_are_in_proportion(rows: int, columns: int):
    found = as_array(pictures(drawing)[2], ModelInput(rows, columns, *_rest(MNIST)))
    assert found.shape == (rows, columns)
    extent = [np.ptp(where) + 1 for where in np.nonzero(found > 12)]
    assert max(extent[0] / rows, extent[1] / columns) == pytest.approx(20 / 28, abs=0.08)


def _rest(model_input: ModelInput) -> tuple:
    return tuple(vars(model_input).values())[2:]


@pytest.mark.parametrize("factor", [3, 7.5, 20])
def test_place_size_and_polarity_make_no_difference(factor: float):
    random = np.random.default_rng(0)
    for picture in pictures(drawing)[:10]:
        image = as_array(picture)
        side = round(28 * factor)
        large = Image.fromarray(image.astype(np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
        sheet = Image.new("L", (2 * side, 3 * side))
        sheet.paste(large, (int(random.integers(side)), int(random.integers(2 * side))))
        found = as_array(sheet)
        assert difference(found, image) < 12
        inverted = as_array(Image.fromarray(255 - np.asarray(sheet)))
        assert np.abs(inverted - found).max() <= 1


def ink_on_paper(mode: str) -> Image.Image:
    """Return a dark 2 on light paper in one of Pillow's modes."""
    ink = drawn(2, np.random.default_rng(1), size=200)
    grey = Image.fromarray(np.rint(255 * (1 - ink)).astype(np.uint8))
    if mode.startswith("I"):
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    if mode == "black on nothing":
        return Image.merge(
            "LA", (Image.new("L", grey.size), Image.fromarray(255 - np.asarray(grey)))
        )
    if mode == "white on nothing":
        alpha = Image.fromarray(255 - np.asarray(grey))
        return Image.merge("RGBA", [Image.new("L", grey.size, 255)] * 3 + [alpha])
    if mode == "blue on yellow":
        white, blue = (np.array(colour) for colour in ((250, 240, 190), (30, 60, 160)))
        pixels = white * (1 - ink[..., np.newaxis]) + blue * ink[..., np.newaxis]
        return Image.fromarray(pixels.astype(np.uint8))
    return grey.convert(mode)


@pytest.mark.parametrize(
    "mode",
    [
        *("1", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16"),
        *("black on nothing", "white on nothing", "blue on yellow"),
    ],
)
def test_pictures_of_any_mode_give_the_same_image(mode: str):
    expected = as_array(ink_on_paper("L"))
    assert np.abs(as_array(ink_on_paper(mode)) - expected).mean() < (6 if mode == "1" else 2)


@pytest.mark.parametrize(("orientation", "turn"), [(3, 180), (6, 90), (8, 270)])
def test_a_camera_s_orientation_is_applied(orientation: int, turn: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file, upright = io.BytesIO(), ink_on_paper("L")
    upright.rotate(turn).save(file, "JPEG", exif=exif, quality=95)
    assert np.abs(as_array(Image.open(file)) - as_array(upright)).mean() < 2


# ---- What is no ink ------------------------------------------------------------------------


def with_dust(sheet: Image.Image) -> None:
    pencil, random = ImageDraw.Draw(sheet), np.random.default_rng(3)
    for x, y in random.integers(0, 200, (60, 2)):
        pencil.point((int(x), int(y)), 120)


def with_a_margin(sheet: Image.Image) -> None:
    ImageDraw.Draw(sheet).line((3, 0, 9, 199), 90, 2)


def with_a_table(sheet: Image.Image) -> None:
    pencil = ImageDraw.Draw(sheet)
    pencil.polygon([(0, 0), (199, 0), (199, 8), (0, 3)], 40)
    pencil.polygon([(0, 0), (6, 0), (2, 199), (0, 199)], 40)


def with_shade(sheet: Image.Image) -> None:
    light = np.linspace(0.55, 1, 200)
    sheet.paste(Image.fromarray((np.asarray(sheet) * light).astype(np.uint8)))


def with_squares(sheet: Image.Image) -> None:
    pencil = ImageDraw.Draw(sheet)
    for place in range(10, 200, 24):
        pencil.line((0, place, 199, place), 170)
        pencil.line((place, 0, place, 199), 170)


def with_other_writing(sheet: Image.Image) -> None:
    ImageDraw.Draw(sheet).text((4, 4), "no. 7", 60)


@pytest.mark.parametrize(
    "add", [with_dust, with_a_margin, with_a_table, with_shade, with_squares, with_other_writing]
)
def test_what_is_beside_the_digit_is_left_out(add):
    ink = np.zeros((200, 200))
    ink[60:140, 60:140] = drawn(2, np.random.default_rng(5), size=80)
    random = np.random.default_rng(1)
    paper = np.clip(225 - 170 * ink + random.normal(0, 2, ink.shape), 0, 255).astype(np.uint8)
    expected = as_array(Image.fromarray(paper))
    sheet = Image.fromarray(paper)
    add(sheet)
    assert np.abs(np.asarray(sheet).astype(int) - paper).max() > 30
    assert np.abs(as_array(sheet) - expected).mean() < 6


def test_specks_on_a_clean_drawing_are_left_out():
    sheet, random = ink_on_paper("L"), np.random.default_rng(3)
    expected = as_array(sheet)
    for x, y in random.integers(0, 200, (40, 2)):
        sheet.putpixel((int(x), int(y)), 0)
    assert np.abs(as_array(sheet) - expected).mean() < 6


def test_the_shadow_of_a_phone_is_no_ink():
    """Its edge goes through the digits."""
    found, y, x = [], *np.mgrid[-1:1:400j, -1:1:400j]
    for hand in range(HANDS):
        for digit in CLASSES:
            random = np.random.default_rng([hand, digit])
            ink = drawn(digit, random)
            (left, top), angle = random.uniform(-0.5, 0.5, 2), random.uniform(0, 6)
            depth = (x - left) * np.cos(angle) + (y - top) * np.sin(angle)
            light = 1 - 0.4 / (1 + np.exp(-depth / 0.03))
            sheet = (225 - 175 * ink) * light + random.normal(0, 3, ink.shape)
            sheet = Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8))
            found.append(prepared(sheet, MNIST))
    assert (mnist_labels(found) == TRUTH).mean() >= 0.9


def noise(level: float, strength: float) -> Image.Image:
    random = np.random.default_rng(0)
    pixels = level + random.normal(0, strength, (150, 200))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


EMPTY = {
    "white": Image.new("L", (100, 80), 255),
    "black": Image.new("RGB", (100, 80)),
    "one pixel": Image.new("L", (1, 1), 7),
    "transparent": Image.new("RGBA", (30, 30)),
    "paper": noise(220, 3),
    "night": noise(8, 6),
    "a gradient": Image.linear_gradient("L"),
}


@pytest.mark.parametrize("name", EMPTY)
@pytest.mark.parametrize("model_input", [MNIST, DIGITS], ids=["mnist", "digits"])
def test_a_picture_without_a_digit_is_refused(name: str, model_input: ModelInput):
    with pytest.raises(InputError, match="no digit was found in the picture"):
        prepared(EMPTY[name], model_input)


@settings(max_examples=100)
@given(
    arrays.arrays(
        np.uint8,
        st.one_of(
            st.tuples(st.integers(1, 12), st.integers(1, 12)),
            st.tuples(st.integers(1, 6), st.integers(1, 40), st.just(3)),
        ),
    ),
    st.sampled_from([MNIST, DIGITS]),
)
def test_any_pixels_give_an_image_or_a_sentence(pixels: np.ndarray, model_input: ModelInput):
    try:
        found = prepared(Image.fromarray(pixels), model_input)
    except InputError:
        return
    assert found.shape == (model_input.rows, model_input.columns)
    assert found.max() > 100


# ---- The same as the import of a folder ----------------------------------------------------


@pytest.mark.parametrize("polarity", ["as_is", "light_on_dark", "dark_on_light"])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_a_picture_becomes_the_image_that_the_import_made_of_it(
    tmp_path: Path, fit: str, polarity: str
):
    random, paths = np.random.default_rng(0), []
    for number, name in enumerate(["a/1.png", "a/2.jpg", "b/3.png", "b/4.jpg"]):
        size = 300 - 60 * number, 150 + 60 * number, 4 if name.endswith("png") else 3
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, size, np.uint8)).save(path)
        paths.append(path)
    schema = load(TOP / "workflow/schemas/own_images.schema.yaml")
    entry = {"images": str(tmp_path), "fit": fit, "polarity": polarity, "size": [20, 30]}
    converted, _ = convert(checked(entry | {"test_share": 0.5}, schema, "my_datasets.yaml"), 1)
    imported = np.concatenate([converted["train-images"], converted["test-images"]])
    model_input = ModelInput(20, 30, 255, {0: "a", 1: "b"}, "fit", fit, polarity)
    found = {prepared(Image.open(path), model_input).tobytes() for path in paths}
    assert found == {image.tobytes() for image in imported}


@pytest.mark.parametrize("is_dark", [True, False])
def test_the_polarity_is_that_of_the_border(is_dark: bool):
    model_input = ModelInput(10, 10, 255, CLASSES, "fit", "pad", "from_border")
    picture = Image.new("L", (10, 10), 20 if is_dark else 200)
    picture.paste(200 if is_dark else 20, (3, 3, 7, 7))
    image = prepared(picture, model_input)
    assert image[5, 5] > 150 > 100 > image[0, 0]


# ---- Files that are no pictures ------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG file of any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))


def jpeg() -> bytes:
    file = io.BytesIO()
    ink_on_paper("L").save(file, "JPEG")
    return file.getvalue()


BAD = {
    "nothing": (b"", "expected a picture"),
    "a page": (b"<!DOCTYPE html><html>", "expected a picture"),
    "a bomb": (png(30_000, 30_000), "too many pixels"),
    "half a photograph": (jpeg()[:-400], "cannot be read"),
    "half a drawing": (png(100, 100), "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("method", ["mnist", "digits", "fit"])
def test_a_bad_file_is_refused_with_a_sentence(name: str, method: str):
    content, message = BAD[name]
    model_input = ModelInput(28, 28, 255, CLASSES, method, "pad", "from_border")
    with pytest.raises(InputError, match=message):
        prepared(read_picture(io.BytesIO(content)), model_input)


@pytest.mark.parametrize("method", ["mnist", "fit"])
def test_floating_point_pixels_are_refused(method: str):
    model_input = ModelInput(28, 28, 255, CLASSES, method, "pad", "as_is")
    with pytest.raises(InputError, match="floating-point numbers"):
        prepared(Image.fromarray(np.ones((9, 9), np.float32)), model_input)
