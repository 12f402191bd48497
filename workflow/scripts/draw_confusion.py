"""Draw which classes the model confuses on the test set."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import FuncNorm
from matplotlib.patches import Rectangle

from image_workflow.command import log, run
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import Metrics
from image_workflow.pictures.style import (
    DARK_GREY,
    GREY,
    LARGE,
    LIGHT_GREY,
    NORMAL,
    SHARE_COLOURS,
    SMALL,
    Axes,
    Figure,
    axes_at,
    line_height,
    new_page,
    save,
    shortened,
    text_width,
    widest,
)

MARGIN, TITLE, AXIS_LABEL, GAP = 15, 75, 45, 30
FEW_CLASSES = 15  # Each cell has numbers.
LABELLED = 62  # With more classes, some names are left out.
LEAST_LISTED = 10  # confusions
LONGEST_NAME, LONGEST_UPRIGHT = 300, 200
LIST_WIDTH, BAR_HEIGHT = 520, 120  # the least width, and the colour bar with its text


def most_frequent(matrix: np.ndarray, count: int) -> list[tuple[int, int]]:
    """Return the rows and columns of the largest numbers outside the diagonal, without zeros.

    Examples
    --------
    >>> most_frequent(np.array([[9, 1, 0], [4, 9, 1], [0, 0, 9]]), 10)
    [(1, 0), (0, 1), (1, 2)]
    """
    errors = np.where(np.eye(len(matrix), dtype=bool), 0, matrix).ravel()
    largest = np.argsort(-errors, kind="stable")[:count]
    return [divmod(int(at), len(matrix)) for at in largest if errors[at]]


def draw(metrics: Metrics) -> Figure:
    """Return a figure of the confusion matrix, with a list of the most frequent confusions.

    The colours show the share of the true class. They leave out the correct predictions, which
    would make all errors pale.
    """
    matrix = np.array(metrics.confusion_matrix)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    names = [shortened(name, LONGEST_NAME, SMALL) for name in metrics.class_names]
    cell = _cell_size(matrix)
    side = cell * len(matrix)
    lines = int((side - BAR_HEIGHT - GAP) / line_height(NORMAL)) - 1
    listed = [
        (f"{names[true]} → {names[predicted]}", matrix[true, predicted], shares[true, predicted])
        for true, predicted in most_frequent(matrix, max(lines, LEAST_LISTED))
    ]

    upright = widest(names, SMALL) > cell - 6 and cell < LONGEST_UPRIGHT
    room = LONGEST_UPRIGHT if upright else cell - 6
    below = [shortened(name, room, SMALL) for name in metrics.class_names]
    left = round(MARGIN + AXIS_LABEL + widest(names, SMALL))
    label_top = TITLE + side + 20 + round(widest(below, SMALL) if upright else line_height(SMALL))
    title = f"Accuracy {metrics.accuracy:.2%} on {metrics.n_test:,} test images"
    list_left = round(left + max(side, text_width(title, LARGE)) + 2 * GAP)
    list_width = max(widest([text for text, *_ in listed]) + 210, LIST_WIDTH)
    list_bottom = TITLE + (len(listed) + 1) * line_height(NORMAL) + GAP
    bar_top = max(list_bottom, TITLE + side - BAR_HEIGHT)
    height = max(label_top + AXIS_LABEL, bar_top + BAR_HEIGHT + MARGIN)
    figure, page = new_page(round(list_left + list_width + MARGIN), round(height))

    page.text(left, MARGIN, title, size=LARGE, va="top")
    axes = axes_at(figure, left, TITLE, side, side)
    colours = _draw_matrix(axes, matrix, shares)
    every = -(-len(matrix) // LABELLED)
    axes.set_xticks(range(0, len(matrix), every), below[::every], rotation=90 * upright)
    axes.set_yticks(range(0, len(matrix), every), names[::every])
    axes.tick_params(length=0, pad=4)
    page.text(left + side / 2, label_top, "predicted class", ha="center", va="top")
    page.text(MARGIN, TITLE + side / 2, "true class", rotation=90, va="center")
    _draw_list(page, listed, list_left, list_left + list_width)
    if listed:
        page.text(list_left, bar_top, "share of the true class (correct ones are grey)", va="top")
        bar = axes_at(figure, list_left, bar_top + 45, list_width - 30, 24)
        _draw_colour_bar(bar, colours)
    return figure


def _cell_size(matrix: np.ndarray) -> int:
    """Return the width of a cell in pixels, so that its numbers and its names fit."""
    if len(matrix) <= FEW_CLASSES:
        numbers = widest([f"{matrix.max():,}", "00.0%"])
        return round(max(numbers + 14, 87, min(240, 870 / len(matrix))))
    return round(max(min(1350 / len(matrix), 87), 24 if len(matrix) <= LABELLED else 6))


def _draw_matrix(axes: Axes, matrix: np.ndarray, shares: np.ndarray) -> ScalarMappable:
    """Draw the cells, and return the scale of their colours."""
    errors = np.ma.masked_array(shares, np.eye(len(matrix), dtype=bool) | (matrix == 0))
    # The square root shows rare confusions beside frequent ones.
    norm = FuncNorm((np.sqrt, np.square), vmin=0, vmax=float(errors.filled(0).max()) or 1.0)
    cells = axes.imshow(errors, SHARE_COLOURS, norm, aspect="auto", interpolation="nearest")
    for at in range(len(matrix)):
        axes.add_patch(Rectangle((at - 0.5, at - 0.5), 1, 1, facecolor=LIGHT_GREY))
    borders = [at - 0.5 for at in range(1, len(matrix))]
    axes.hlines(borders, -0.5, len(matrix) - 0.5, color=LIGHT_GREY, linewidth=0.5)
    axes.vlines(borders, -0.5, len(matrix) - 0.5, color=LIGHT_GREY, linewidth=0.5)
    axes.spines[:].set(visible=True, color=GREY)
    if len(matrix) <= FEW_CLASSES:
        for (row, column), count in np.ndenumerate(matrix):
            dark = row != column and norm(shares[row, column]) > 0.6
            colour = "white" if dark else "black" if count else GREY
            _draw_numbers(axes, row, column, count, shares[row, column], colour)
    return cells


def _draw_numbers(axes: Axes, row: int, column: int, count: int, share: float, colour: str) -> None:
    """Draw the count and the share of the true class into a cell."""
    texts = [(f"{count:,}", NORMAL, 14), (_percentage(share), SMALL, -15)]
    if count == 0:
        texts = [("0", SMALL, 0)]
    for text, size, up in texts:
        place = {"xy": (column, row), "xytext": (0, up), "textcoords": "offset pixels"}
        axes.annotate(text, **place, size=size, color=colour, ha="center", va="center")


def _draw_list(page: Axes, listed: list[tuple[str, int, float]], left: float, right: float) -> None:
    """Draw the text, the count and the share of each confusion in a line."""
    title = "Most frequent confusions" if listed else "No confusions"
    page.text(left, MARGIN, title, size=LARGE, va="top")
    lines = [(text, f"{count:,}", _percentage(share)) for text, count, share in listed]
    header = [("true → predicted class", "images", "share")] if listed else []
    for number, (text, count, share) in enumerate(header + lines):
        top = TITLE + number * line_height(NORMAL) - (0 if number else 8)
        font = {"va": "top"} if number else {"va": "top", "size": SMALL, "color": DARK_GREY}
        page.text(left, top, text, **font)
        page.text(right - 100, top, count, ha="right", **font)
        page.text(right, top, share, ha="right", **font)


def _percentage(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "<0.1%"


def _draw_colour_bar(axes: Axes, colours: ScalarMappable) -> None:
    """Draw the colours, with round shares and the largest one at the ticks."""
    axes.figure.colorbar(colours, cax=axes, orientation="horizontal")
    largest = colours.norm.vmax
    round_shares = [digit / 10**exponent for exponent in range(6, 0, -1) for digit in (1, 2, 5)]
    ticks = [0, *(share for share in round_shares if 0.2 < share / largest < 0.6), largest]
    axes.set_xticks(ticks, [f"{100 * share:.{3 if share >= 0.1 else 2}g}%" for share in ticks])
    axes.minorticks_off()


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.metrics])
    metrics = Metrics.read(options.metrics)
    save(draw(metrics), options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d classes", options.output, len(metrics.classes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_confusion.py", description=__doc__)
    parser.add_argument("--metrics", type=Path, required=True, help="metrics.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
