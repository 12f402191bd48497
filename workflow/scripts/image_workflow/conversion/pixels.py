"""Turn images of any kind into grey images of unsigned bytes."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from image_workflow.errors import UserError

CHUNK = 4096  # images to convert at once
#: The formats of pictures that are read. Others of Pillow's are rare, and less well tested.
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]


def grey_bytes(images: np.ndarray, size: list[int] | None, where: str) -> tuple[np.ndarray, int]:
    """Return the images as grey unsigned bytes, and how many of them were in colour.

    Parameters
    ----------
    images : ndarray of integers, shape (n, rows, columns), (n, rows, columns, c) or (n, pixels)
        c is 1 for grey or 3 for red, green and blue, and may also be the second axis.
    size : [rows, columns] or None
        The shape of an image, needed for flat rows of pixels that are not square.
    where : str
        The file, for messages.

    Returns
    -------
    ndarray of uint8, shape (n, rows, columns)
    int

    Raises
    ------
    UserError
        If a value does not fit into a byte, or if the shape is not that of images.
    """
    shaped = _shaped(images, size, where)
    if shaped.ndim == 3:
        return as_bytes(shaped, where), 0
    grey = np.empty(shaped.shape[:3], np.uint8)
    for at, chunk in _chunks(shaped):
        pixels = as_bytes(chunk, where)
        rows = Image.fromarray(pixels.reshape(-1, *pixels.shape[2:]))
        grey[at : at + len(chunk)] = np.asarray(rows.convert("L")).reshape(pixels.shape[:3])
    return grey, len(grey)


def _chunks(images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    for at in range(0, len(images), CHUNK):
        yield at, images[at : at + CHUNK]


def as_bytes(pixels: np.ndarray, where: str) -> np.ndarray:
    """Return whole numbers from 0 to 255 as unsigned bytes, and True as 255.

    Raises
    ------
    UserError
        If a value is not a whole number from 0 to 255.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    if pixels.dtype.kind not in "iu":
        raise UserError(
            f"expected pixels as whole numbers from 0 to 255 in {where}, found the element type "
            f"{pixels.dtype}. Scale them to 0-255, round them, and save them as uint8."
        )
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 255:
        raise UserError(
            f"expected pixels from 0 to 255 in {where}, found {low} to {high}. Scale them to "
            "0-255, and save them as uint8."
        )
    return pixels.astype(np.uint8)


def _shaped(images: np.ndarray, size: list[int] | None, where: str) -> np.ndarray:
    """Return the images with the axes n, rows, columns, and 3 channels if they are in colour."""
    shape = images.shape
    if 0 in shape or images.ndim not in (2, 3, 4):
        raise _no_images(shape, where)
    if images.ndim == 2:
        return _from_rows(images, size, where)
    if images.ndim == 3:
        return images
    if shape[3] not in (1, 3) and shape[1] in (1, 3):
        images = np.moveaxis(images, 1, 3)
    if images.shape[3] == 1:
        return images[..., 0]
    if images.shape[3] != 3:
        raise _no_images(shape, where)
    return images


def _from_rows(images: np.ndarray, size: list[int] | None, where: str) -> np.ndarray:
    values, side = images.shape[1], round(images.shape[1] ** 0.5)
    rows, columns = size or (side, side)
    if rows * columns == values:
        return images.reshape(len(images), rows, columns)
    # Only with a given size: 3,072 values may be 32 x 32 colours, or 48 x 64 grey pixels.
    if size and rows * columns * 3 == values:
        return images.reshape(len(images), rows, columns, 3)
    expected = f"{rows} x {columns} pixels" if size else "square images"
    raise UserError(
        f"expected {expected} in {where}, found rows of {values} values. Set `size: [rows, "
        "columns]` of the data set to the shape that the images have there."
    )


def _no_images(shape: tuple[int, ...], where: str) -> UserError:
    return UserError(
        f"expected images of the shape (n, rows, columns) or (n, rows, columns, 3) in {where}, "
        f"found the shape {shape}."
    )


def grey_of_size(
    picture: Image.Image, size: tuple[int, int], fit: str, polarity: str
) -> Image.Image:
    """Return a picture of any kind and size, upright, in grey, and scaled.

    Parameters
    ----------
    picture : PIL.Image.Image
        Its pixels may not have been read yet.
    size : (rows, columns)
    fit : {"pad", "crop", "stretch"}
        See :func:`fitted`.
    polarity : {"as_is", "light_on_dark", "dark_on_light"}
        Decides whether borders and transparent areas become black or white.
    """
    # Let the JPEG decoder skip details that scaling would remove.
    picture.draft(None, (2 * max(size), 2 * max(size)))
    grey = to_grey(ImageOps.exif_transpose(picture), 0 if polarity == "light_on_dark" else 255)
    return fitted(grey, size, fit, 255 if polarity == "dark_on_light" else 0)


def to_grey(picture: Image.Image, background: int) -> Image.Image:
    """Return a picture of any kind in grey, in Pillow's mode L.

    Parameters
    ----------
    picture : PIL.Image.Image
        The first frame of an animation is taken.
    background : int
        The grey value behind transparent areas, 0 to 255.

    Raises
    ------
    UserError
        If the pixels are floating-point numbers, or have more than 16 bits.
    """
    if picture.mode == "F":
        raise UserError("its pixels are floating-point numbers, which have no black and white")
    if picture.mode.startswith("I"):
        # Pillow itself would cut off all values above 255.
        pixels = np.asarray(picture).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UserError("its pixels have more than 16 bits")
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (background,) * 3)
        picture = Image.alpha_composite(behind, picture)
    if picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
    return picture.convert("L")


def light_on_dark(images: np.ndarray, polarity: str) -> np.ndarray:
    """Return grey bytes with 0 as the background: inverted if they are ``dark_on_light``."""
    return 255 - images if polarity == "dark_on_light" else images


def fitted(picture: Image.Image, size: tuple[int, int], fit: str, border: int) -> Image.Image:
    """Return a grey picture scaled to another size.

    Parameters
    ----------
    picture : PIL.Image.Image
        In the mode L. A picture of the right size is returned as it is.
    size : (rows, columns)
    fit : {"pad", "crop", "stretch"}
        What to do with a picture of another shape: add a border, keep the middle and cut off the
        rest, or distort it.
    border : int
        The grey value of the border, 0 to 255.
    """
    width_and_height = size[1], size[0]
    if picture.size == width_and_height:
        return picture
    # Pillow scales bytes with whole numbers, so the result is the same on every processor.
    bilinear = Image.Resampling.BILINEAR
    if fit == "pad":
        return ImageOps.pad(picture, width_and_height, bilinear, color=border)
    if fit == "crop":
        return ImageOps.fit(picture, width_and_height, bilinear)
    return picture.resize(width_and_height, bilinear)


def resized(images: np.ndarray, size: list[int], fit: str, border: int) -> np.ndarray:
    """Return all images of an array scaled to another size, see :func:`fitted`."""
    if images.shape[1:] == tuple(size):
        return images
    scaled = np.empty((len(images), *size), np.uint8)
    for number, image in enumerate(images):
        scaled[number] = np.asarray(fitted(Image.fromarray(image), size, fit, border))
    return scaled
