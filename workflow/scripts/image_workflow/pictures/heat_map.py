"""The heat map of two parameters' values."""

import json

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle

from image_workflow.lineage.results import Sweep
from image_workflow.pictures.candidates import (
    accuracies_of,
    accuracy_text,
    chosen,
    part_text,
    shades,
    texts_of,
)
from image_workflow.pictures.style import (
    ACCURACY_COLOURS,
    LARGE,
    NORMAL,
    SMALL,
    VERMILLION,
    WIDTH,
    Axes,
    Figure,
    axes_at,
    line_height,
    new_page,
    shortened,
    text_width,
    widest,
)

MARGIN, TOP = 15, 150
LONGEST, LONGEST_UPRIGHT = 300, 200
FRAME = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2.5, "clip_on": False, "zorder": 3}


def draw_heat_map(sweep: Sweep, names: list[str]) -> Figure:
    """Return a figure of the validation accuracy for each pair of two parameters' values."""
    texts = {name: texts_of(sweep, name) for name in names}
    # The longer texts stand beside the rows, where they need not be turned.
    row_name, column_name = sorted(names, key=lambda name: -_widest(texts[name]))
    numbers = [
        accuracy_text(accuracy, sweep.n_validation)
        for accuracy in accuracies_of(sweep, "validation")
    ]
    row_title = shortened(row_name, LONGEST)
    rows = [shortened(text, LONGEST, SMALL) for text in texts[row_name].values()]
    left = round(MARGIN + max(widest(rows, SMALL), text_width(row_title)) + 15)
    count, label_width = len(texts[column_name]), _widest(texts[column_name]) + 20
    cell_width = max(min(label_width, (WIDTH - MARGIN - left) / count), min(600 / count, 150))
    cell_width = round(max(cell_width, widest(numbers) + 16))
    width, height = cell_width * count, round(max(48, min(400 / len(rows), 75))) * len(rows)
    upright = label_width > cell_width
    room = LONGEST_UPRIGHT if upright else cell_width
    columns = [shortened(text, room, SMALL) for text in texts[column_name].values()]
    column_title = shortened(column_name, max(width, LONGEST))
    middle = max(left + width / 2, MARGIN + text_width(column_title) / 2)
    title = f"Accuracy in % on the {part_text(sweep, 'validation')}"
    right = max(left + max(width, text_width(title, LARGE)), middle + text_width(column_title) / 2)
    title_top = TOP + height + 30 + (widest(columns, SMALL) if upright else line_height(SMALL))
    figure, page = new_page(round(right + MARGIN), round(title_top + line_height(NORMAL) + MARGIN))

    page.text(left, MARGIN, title, size=LARGE, va="top")
    page.add_patch(Rectangle((left + 2, 70), 36, 26, **FRAME))
    point = ", ".join(
        f"{name} = {texts[name][json.dumps(sweep.parameters[name])]}"
        for name in (row_name, column_name)
    )
    text = shortened(f"chosen: {point}", right - left - 55, SMALL)
    page.text(left + 55, 83, text, size=SMALL, va="center_baseline")
    page.text(left - 15, TOP - 12, row_title, ha="right", va="bottom")
    page.text(middle, title_top, column_title, ha="center", va="top")
    axes = axes_at(figure, left, TOP, width, height)
    _draw_cells(axes, sweep, [(row_name, texts[row_name]), (column_name, texts[column_name])])
    axes.set_xticks(range(len(columns)), columns, rotation=90 * upright)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(length=0, pad=6)
    axes.spines[:].set_visible(False)
    return figure


def _widest(texts: dict[str, str]) -> float:
    return widest([*texts.values()], SMALL)


def _draw_cells(axes: Axes, sweep: Sweep, sides: list[tuple[str, dict[str, str]]]) -> None:
    """Draw a cell for each candidate, with its accuracy, and frame the chosen one.

    Parameters
    ----------
    axes : Axes
    sweep : Sweep
    sides : list of pair
        For the rows and for the columns: the parameter, and the texts of its values by their JSON.
    """
    accuracies = accuracies_of(sweep, "validation")
    places = [
        tuple([*texts].index(json.dumps(candidate.parameters[name])) for name, texts in sides)
        for candidate in sweep.candidates
    ]
    matrix = np.zeros([len(texts) for _, texts in sides])
    for place, shade in zip(places, shades(accuracies, sweep.n_validation), strict=True):
        matrix[place] = shade
    colours = matplotlib.colormaps[ACCURACY_COLOURS]
    axes.imshow(matrix, colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for (row, column), accuracy in zip(places, accuracies, strict=True):
        brightness = np.dot(colours(matrix[row, column])[:3], [0.299, 0.587, 0.114])
        font = {"color": "white" if brightness < 0.55 else "black", "ha": "center"}
        text = accuracy_text(accuracy, sweep.n_validation)
        axes.text(column, row, text, va="center_baseline", **font)
    row, column = places[chosen(sweep)]
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **FRAME))
