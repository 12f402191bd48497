"""Images in rows and columns, with text above and below each of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from image_workflow.pictures.style import (
    DPI,
    LARGE,
    LIGHT_GREY,
    NORMAL,
    WIDTH,
    Figure,
    line_height,
    new_page,
    shortened,
    text_width,
    widest,
)

MARGIN, GAP = 5, 10
LARGEST_TILE = 480


def draw_tiles(
    images: Sequence[np.ndarray],
    captions: Sequence[Sequence[str]],
    colours: str,
    limits: tuple[float, float],
    title: str = "",
    notes: Sequence[str] = (),
    footer: float = 0,
) -> Figure:
    """Return a figure of images in rows and columns, each with its caption above it.

    Parameters
    ----------
    images : sequence of ndarray, shape (rows, columns)
        At least one; all have the same shape.
    captions : sequence of sequence of str
        The lines above each image, the same number for each. Long lines are shortened.
    colours : str
        The name of a colour map.
    limits : pair of float
        The values that have the first and the last colour.
    title : str, optional
        Stands above all images.
    notes : sequence of str, optional
        The line below each image.
    footer : float, optional
        How many pixels to leave empty below all images.
    """
    vmin, vmax = limits
    lines = [line for caption in captions for line in caption]
    columns = column_count(len(images), widest(lines))
    tile = tile_width(columns)
    scale = _scale(images[0].shape, tile)
    height, width = (max(round(scale * side), 1) for side in images[0].shape)
    above = round(len(captions[0]) * line_height(NORMAL)) + 8
    below = round(line_height(NORMAL)) + 8 if notes else 0
    top = round(line_height(LARGE)) + 20 if title else 0
    pitch = above + height + below + GAP
    rows = -(-len(images) // columns)
    page_width = max(2 * MARGIN + columns * (tile + GAP) - GAP, text_width(title, LARGE) + 20)
    figure, page = new_page(round(page_width), top + rows * pitch + MARGIN + footer)
    page.text(MARGIN + 3, 12, title, size=LARGE, va="top")
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        left = MARGIN + column * (tile + GAP) + (tile - width) // 2
        middle = left + width / 2
        upper = top + row * pitch + above
        bounds = (left, left + width, upper + height, upper)
        page.imshow(image, colours, vmin=vmin, vmax=vmax, extent=bounds, aspect="auto")
        frame = Rectangle((left, upper), width, height, fill=False, edgecolor=LIGHT_GREY)
        page.add_patch(frame)
        for line, text in enumerate(reversed(captions[number])):
            baseline = upper - 9 - line * line_height(NORMAL)
            page.text(middle, baseline, shortened(text, tile), ha="center")
        if notes:
            baseline = upper + height + line_height(NORMAL)
            page.text(middle, baseline, shortened(notes[number], tile), ha="center")
    page.set(xlim=(0, page_width), ylim=(figure.get_figheight() * DPI, 0))
    return figure


def column_count(count: int, caption_width: float) -> int:
    """Return the number of columns for ``count`` images whose captions have at most this width."""
    several = 6 if count <= 36 else 8
    most = 10 if caption_width <= tile_width(10) else several
    rows = max(-(-count // most), 1 + (count > 5))
    return -(-count // rows)


def tile_width(columns: int) -> int:
    """Return the width of an image and of its caption, in pixels."""
    return min((WIDTH - 2 * MARGIN + GAP) // columns - GAP, LARGEST_TILE)


def _scale(shape: tuple[int, int], tile: int) -> float:
    """Return the size of an image's pixel; whole numbers if the single pixels can be seen."""
    rows, columns = shape
    scale = min(tile / columns, 1.5 * tile / rows)
    return int(scale) if scale >= 4 else scale
