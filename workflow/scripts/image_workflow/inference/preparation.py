"""Bring a picture to the form of the training images."""

import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps
from scipy.ndimage import binary_dilation

from image_workflow.conversion.pixels import FORMATS, grey_of_size, light_on_dark, to_grey
from image_workflow.inference.ink import SIDE, ink_of_digit, quantile
from image_workflow.inference.model_input import InputError, ModelInput

DIGIT, IMAGE = 20, 28  # pixels: MNIST's digits are 20 high or wide, in images of 28 x 28
BLOCK = 4  # The digits of scikit-learn count the ink in blocks of 4 x 4 pixels,
INKED = 0.25  # and their strokes are so wide that at least so many pixels have ink.


def read_picture(file: Path | BinaryIO) -> Image.Image:
    """Return the picture in a file. Its pixels are read by :func:`prepared`.

    Raises
    ------
    InputError
        If the file is no picture, or has more pixels than Pillow allows.
    """
    try:
        with warnings.catch_warnings():
            # Such as: a large photograph may be an attack. Pillow refuses 179 million pixels.
            warnings.filterwarnings("ignore", module="PIL")
            return Image.open(file, formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise InputError(
            f"expected a picture ({', '.join(FORMATS)}), found a damaged one, or something else. "
            "Send another one."
        ) from None
    except Image.DecompressionBombError as error:
        raise InputError(
            "the picture has too many pixels. Scale it down to 1,000 x 1,000 pixels."
        ) from error


def prepared(picture: Image.Image, model_input: ModelInput) -> np.ndarray:
    """Return a picture as the image that the model takes.

    Parameters
    ----------
    picture : PIL.Image.Image
        Of any mode and size. Its pixels may not have been read yet.
    model_input : ModelInput

    Returns
    -------
    ndarray of uint8, shape (rows, columns)

    Raises
    ------
    InputError
        If the picture is damaged, or has no digit, or has pixels that are no colours.
    """
    size = model_input.rows, model_input.columns
    try:
        if model_input.method == "fit":
            image = _as_imported(picture, size, model_input.fit, model_input.polarity)
            if image.max() <= 1 < model_input.maximum:
                raise InputError(
                    "there is nothing in the picture: all of it has the colour of the ground."
                )
            return image
        # Let the JPEG decoder skip details that scaling would remove.
        picture.draft(None, (2 * SIDE, 2 * SIDE))
        upright = ImageOps.exif_transpose(picture)
        ink = ink_of_digit(to_grey(upright, _ground(upright)))
    except InputError:
        raise
    # Pillow raises exceptions of many kinds for damaged files.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"the picture cannot be read: {reason.rstrip('.')}.") from error
    return (_as_mnist if model_input.method == "mnist" else _as_digits)(ink, size)


def _as_imported(
    picture: Image.Image, size: tuple[int, int], fit: str, polarity: str
) -> np.ndarray:
    """Do the same as the import of a folder of pictures."""
    if polarity == "from_border":
        upright = ImageOps.exif_transpose(picture)
        is_light = _has_light_border(to_grey(upright, _ground(upright)))
        polarity = "dark_on_light" if is_light else "light_on_dark"
    return light_on_dark(np.asarray(grey_of_size(picture, size, fit, polarity)), polarity)


def _has_light_border(grey: Image.Image) -> bool:
    """Tell whether the pixels at the border of a picture are nearer to its lightest pixels."""
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    low, high = int(pixels.min()), int(pixels.max())
    # A picture of one colour is light or dark by itself.
    return bool(np.median(border) > ((low + high) / 2 if low < high else 127))


def _ground(picture: Image.Image) -> int:
    """Return black or white as the ground of a picture with transparent areas: not the ink's."""
    if not picture.has_transparency_data:
        return 255
    reduced = picture.convert("RGBA").reduce(max(max(picture.size) // SIDE, 1))
    pixels = np.asarray(reduced, float)
    colours, opacity = pixels[..., :3].mean(2), pixels[..., 3]
    return 0 if (colours * opacity).sum() > 127 * opacity.sum() else 255


def _as_mnist(ink: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a digit to 20 of 28 pixels, and put its centre of mass into the middle."""
    height, width = (side * DIGIT / IMAGE for side in size)
    scale = min(height / ink.shape[0], width / ink.shape[1])
    small = scaled(ink, [max(round(scale * side), 1) for side in ink.shape])
    image = np.zeros(size)
    corner = [
        min(max(round(side // 2 - centre), 0), side - extent)
        for side, centre, extent in zip(size, centre_of_mass(small), small.shape, strict=True)
    ]
    image[corner[0] : corner[0] + small.shape[0], corner[1] : corner[1] + small.shape[1]] = small
    return np.rint(255 * image).astype(np.uint8)


def _as_digits(ink: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale a digit to the whole height, and count its ink in blocks.

    So UCI's Optical Recognition of Handwritten Digits was made, from bitmaps of 32 x 32 pixels.
    """
    rows, columns = (BLOCK * side for side in size)
    scale = min(rows / ink.shape[0], columns / ink.shape[1])
    small = scaled(ink, [rows, min(max(round(scale * ink.shape[1]), 1), columns)])
    left = (columns - small.shape[1]) // 2
    bitmap = np.zeros((rows, columns), bool)
    bitmap[:, left : left + small.shape[1]] = small > 0.3
    while bitmap.mean() < INKED:
        bitmap = binary_dilation(bitmap)
    blocks = bitmap.reshape(size[0], BLOCK, size[1], BLOCK).mean((1, 3))
    return np.rint(255 * blocks).astype(np.uint8)


def scaled(ink: np.ndarray, shape: list[int]) -> np.ndarray:
    """Return ink scaled to a shape, antialiased."""
    picture = Image.fromarray(ink.astype(np.float32))
    resized = picture.resize(shape[::-1], Image.Resampling.HAMMING)
    pixels = np.clip(np.asarray(resized, float), 0, 1)
    return np.clip(pixels / quantile(pixels[pixels > pixels.max() / 2], 0.75), 0, 1)


def centre_of_mass(ink: np.ndarray) -> list[float]:
    """Return the row and the column of the centre of mass."""
    return [float(ink.sum(1 - axis) @ np.arange(ink.shape[axis]) / ink.sum()) for axis in (0, 1)]
