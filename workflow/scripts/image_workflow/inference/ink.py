"""Find the ink of a handwritten digit in a picture: a scan, a drawing or a photograph of paper."""

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import ndimage

from image_workflow.inference.model_input import InputError

SIDE = 256  # pixels of the longer side at which the ink is searched for
FAINTEST = 12  # Ink differs from the paper by at least so many of 255 grey values,
NOISE = 6  # and by at least so many times the noise's standard deviation.
#: What differs from the ground by a larger share than this of the ink's contrast is ink.
DRAWN, PHOTOGRAPHED = 0.06, 0.3
SMALLEST = 0.03  # A digit is at least so large, as a share of the picture's longer side.
THINNEST = 0.1  # A stroke is at least so wide, as a share of the digit's longer side.
FRAME = 0.08  # The border's width, as a share of the picture's side.
EIGHT = np.ones((3, 3), bool)  # Pixels that touch at a corner belong together.


def ink_of_digit(grey: Image.Image) -> np.ndarray:
    """Return the ink of the digit in a grey picture, cut out.

    Paper becomes 0, whatever its brightness, shade and texture, and the darkest ink 1.

    Parameters
    ----------
    grey : PIL.Image.Image
        In the mode L. The ink may be darker or lighter than the paper.

    Returns
    -------
    ndarray of float64, shape (rows, columns)
        The first and the last row and column have ink. Thin strokes are thickened.

    Raises
    ------
    InputError
        If there is no ink.
    """
    grey = grey.copy()
    grey.thumbnail((SIDE, SIDE), Image.Resampling.BOX, reducing_gap=None)
    pixels = np.asarray(grey, float)
    frame = pixels[_frame(pixels.shape)]
    ground = np.median(frame)
    is_drawn = (frame == ground).mean() > 0.5
    ink = _drawn(pixels, ground) if is_drawn else _photographed(pixels)
    if ink is None:
        raise InputError(
            "no digit was found in the picture: it has one colour, or only noise. Send dark ink on "
            "light paper, or light ink on a dark ground."
        )
    return _thickened(ink)


def _drawn(pixels: np.ndarray, ground: float) -> np.ndarray | None:
    """Return the ink on a ground of one grey value, cut out, or None if there is none."""
    height = np.abs(pixels - ground)
    shapes = _shapes(height, FAINTEST, DRAWN)
    return None if shapes is None else _cut_out(height, shapes)


def _photographed(pixels: np.ndarray) -> np.ndarray | None:
    """Return the ink on uneven paper, cut out, or None if there is none."""
    faintest = max(FAINTEST, NOISE * _noise(pixels))
    # Blur away the noise, not the strokes.
    smooth = ndimage.gaussian_filter(pixels, 1) - _continued_border(pixels)
    best, best_contrast = None, -np.inf
    for light in (smooth, -smooth):
        height = light - _ground(light)
        shapes = _shapes(height, faintest, PHOTOGRAPHED)
        if shapes is None:
            continue
        # The paper inside a 0 or an 8 looks like ink of the other polarity, but not if it is
        # compared with the border.
        contrast = min(_level(height[shapes]), light[shapes].mean())
        if contrast > best_contrast:
            best, best_contrast = _cut_out(height, shapes), contrast
    return best


def _cut_out(height: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return the ink in the box around the shapes, from 0 to 1."""
    # The edges of the strokes are fainter than the threshold.
    near = ndimage.binary_dilation(shapes, EIGHT, iterations=2)
    ink = np.clip(height / _level(height[shapes]), 0, 1) * near
    rows, columns = np.flatnonzero(shapes.any(1)), np.flatnonzero(shapes.any(0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Return ink with strokes as wide as those of the pens that data sets were written with.

    The thin strokes of a ballpoint would nearly vanish when the digit is scaled down.
    """
    # The distance to the paper is largest in the middle of a stroke.
    inside = ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))
    missing = int((THINNEST * max(ink.shape) - 2 * inside.max()) / 2)
    if missing < 1:
        return ink
    return ndimage.grey_dilation(np.pad(ink, missing), 2 * missing + 1)


def _level(height: np.ndarray) -> float:
    """Return by how many grey values the darkest ink differs from the paper."""
    return float(quantile(height[height > height.max() / 2], 0.9))


def quantile(values: np.ndarray, share: float) -> float:
    """Return the value that this share of the values does not exceed; faster than NumPy's."""
    return np.sort(values)[int(share * (len(values) - 1))]


def _continued_border(pixels: np.ndarray) -> np.ndarray:
    """Return the grey values of the picture's border, continued to the whole picture.

    A plane with curvature is fitted to the border. Ink and a table that the border shows count
    little.
    """
    terms, frame = _surface_terms(pixels.shape), _frame(pixels.shape)
    seen, values = terms[frame], pixels[frame]
    # Each fit gives less weight to what is far from the one before, as a fit of medians does.
    weights = np.ones(len(values))
    for _ in range(10):
        weighted = seen * weights[:, np.newaxis]
        found = np.linalg.lstsq(weighted.T @ seen, weighted.T @ values, rcond=None)[0]
        weights = 1 / np.maximum(np.abs(values - seen @ found), 1)
    return terms @ found


@lru_cache(maxsize=8)
def _surface_terms(shape: tuple[int, int]) -> np.ndarray:
    """Return 1, x, y and their products at each pixel, for x and y from -1 to 1."""
    x, y = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape[::-1]))
    return np.stack([np.ones(shape), x, y, x * x, y * y, x * y], axis=-1)


@lru_cache(maxsize=8)
def _frame(shape: tuple[int, int]) -> np.ndarray:
    """Return the mask of the pixels near the border of a picture."""
    inside = [slice(width, -width) for width in (max(round(FRAME * side), 1) for side in shape)]
    frame = np.ones(shape, bool)
    frame[tuple(inside)] = False
    return frame


def _noise(pixels: np.ndarray) -> float:
    """Return the standard deviation of the noise of single pixels."""
    blurred = ndimage.uniform_filter(pixels, 3, mode="nearest")
    return 1.4826 * float(np.median(np.abs(pixels - blurred)[_frame(pixels.shape)]))


def _ground(pixels: np.ndarray) -> np.ndarray:
    """Return the ground below light strokes: whatever is wider than a third of the picture."""
    width = max(pixels.shape) // 3 | 1
    return ndimage.grey_opening(pixels, width, mode="nearest")


def _shapes(height: np.ndarray, faintest: float, share: float) -> np.ndarray | None:
    """Return the mask of the digit's strokes, or None if there are none.

    Specks, and what comes in from the border, such as ruled lines and the paper's edge, are left
    out.

    Parameters
    ----------
    height : ndarray of float64, shape (rows, columns)
        By how many grey values each pixel differs from the ground.
    faintest : float
        The smallest height of ink.
    share : float
        The share of the ink's height that the ground does not reach.
    """
    if height.max() < faintest:
        return None
    labels, _ = ndimage.label(height > share * _level(height), EIGHT)
    boxes = ndimage.find_objects(labels)
    weights = np.bincount(labels.ravel(), height.ravel())[1:]
    extents = np.array([max(part.stop - part.start for part in box) for box in boxes])
    inside = np.array([_is_inside(box, height.shape) for box in boxes])
    large = extents >= max(SMALLEST * max(height.shape), 2)
    candidates = large & inside if (large & inside).any() else large
    if not candidates.any():
        return None
    main = int(np.argmax(np.where(candidates, weights, 0)))
    rows, columns = boxes[main]
    margin = extents[main] // 3
    is_kept = [
        weights[number] >= 0.05 * weights[main]
        and (inside[number] or number == main)
        and _overlaps(box[0], rows, margin)
        and _overlaps(box[1], columns, margin)
        for number, box in enumerate(boxes)
    ]
    return np.array([False, *is_kept])[labels]


def _is_inside(box: tuple[slice, ...], shape: tuple[int, int]) -> bool:
    """Tell whether a shape does not touch the border."""
    return all(part.start > 0 and part.stop < side for part, side in zip(box, shape, strict=True))


def _overlaps(one: slice, other: slice, margin: int) -> bool:
    return one.start < other.stop + margin and one.stop > other.start - margin
