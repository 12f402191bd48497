"""The table of candidates, for more parameters than a picture can show."""

import json

from matplotlib.patches import Rectangle

from image_workflow.lineage.results import Sweep
from image_workflow.pictures.candidates import (
    PARTS,
    accuracies_of,
    accuracy_text,
    chosen,
    is_number,
    texts_of,
    values_of,
)
from image_workflow.pictures.style import (
    DARK_GREY,
    GREY,
    LARGE,
    LIGHT_GREY,
    NORMAL,
    SMALL,
    VERMILLION,
    WIDTH,
    Figure,
    line_height,
    new_page,
    shortened,
    text_width,
    widest,
)

MARGIN, GAP, TOP = 15, 40, 150
MOST_ROWS = 30
NARROWEST = 150  # of a column whose texts are shortened
PITCH = round(1.3 * line_height(NORMAL))
MARK = "chosen"


def draw_table(sweep: Sweep, names: list[str]) -> Figure:
    """Return a figure of the best candidates in lines, and how many more there are.

    Candidates with the same validation accuracy are in the order of the grid.

    Parameters
    ----------
    sweep : Sweep
    names : list of str
        The parameters to show.
    """
    accuracies, best = accuracies_of(sweep, "validation"), chosen(sweep)
    order = sorted(range(len(accuracies)), key=lambda at: (-accuracies[at], at != best))
    shown = order[:MOST_ROWS]
    columns = [_parameter(sweep, name, shown) for name in names]
    columns += [_accuracy(sweep, part, shown) for part in PARTS]
    widths = [max(widest(texts), widest(header, SMALL)) for header, texts, _ in columns]
    of_names, fixed = widths[: len(names)], widths[len(names) :]
    room = WIDTH - 2 * MARGIN - GAP * len(columns) - sum(fixed) - text_width(MARK)
    limit = max(column_limit(of_names, room), NARROWEST)
    widths = [*(min(width, limit) for width in of_names), *fixed]
    mark = MARGIN + sum(widths) + GAP * len(columns)
    several = f"The {len(shown)} best of {len(order):,}" if len(order) > MOST_ROWS else len(order)
    title = f"{several} candidates, by their accuracy on the validation part"
    right = max(mark + text_width(MARK), MARGIN + text_width(title, LARGE)) + MARGIN
    bottom = TOP + PITCH * len(shown)
    more = len(order) - len(shown)
    figure, page = new_page(round(right), bottom + PITCH * bool(more) + MARGIN)

    page.text(MARGIN, MARGIN, title, size=LARGE, va="top")
    left = MARGIN
    for (header, texts, is_right), width in zip(columns, widths, strict=True):
        place, side = (left + width, "right") if is_right else (left, "left")
        for line, text in enumerate(reversed(header)):
            baseline = TOP - 20 - line * line_height(SMALL)
            text = shortened(text, width, SMALL)
            page.text(place, baseline, text, size=SMALL, color=DARK_GREY, ha=side)
        for row, text in enumerate(texts):
            middle = TOP + PITCH * (row + 0.5)
            page.text(place, middle, shortened(text, width), va="center_baseline", ha=side)
        left += width + GAP
    end = mark + text_width(MARK)
    page.hlines([TOP - 4, bottom + 4], MARGIN, end, color=GREY, linewidth=1)
    row = shown.index(best)
    band = Rectangle((MARGIN - 8, TOP + PITCH * row), end + 16 - MARGIN, PITCH, color=LIGHT_GREY)
    page.add_patch(band)
    middle = TOP + PITCH * (row + 0.5)
    page.text(mark, middle, MARK, color=VERMILLION, va="center_baseline")
    if more:
        text = f"and {more:,} more with an accuracy of at most {columns[-1][1][-1]}"
        page.text(MARGIN, bottom + PITCH * 0.6, text, color=DARK_GREY, va="center_baseline")
    page.set(xlim=(0, round(right)), ylim=(figure.bbox.height, 0))
    return figure


def _parameter(sweep: Sweep, name: str, shown: list[int]) -> tuple[list[str], list[str], bool]:
    """Return a column's header, its texts, and whether they stand at its right."""
    values, texts = values_of(sweep, name), texts_of(sweep, name)
    return [name], [texts[json.dumps(values[at])] for at in shown], all(map(is_number, values))


def _accuracy(sweep: Sweep, part: str, shown: list[int]) -> tuple[list[str], list[str], bool]:
    """Return the same for the accuracies on a part of the training set."""
    accuracies, n = accuracies_of(sweep, part), getattr(sweep, f"n_{part}")
    texts = [f"{accuracy_text(accuracies[at], n)}%" for at in shown]
    return [PARTS[part][0], f"{n:,} images"], texts, True


def column_limit(widths: list[float], room: float) -> float:
    """Return the width that the widest columns may have, so that all together fit.

    Examples
    --------
    >>> column_limit([10, 100, 200], 210), column_limit([10, 20], 210)
    (100.0, inf)
    """
    for position, width in enumerate(sorted(widths)):
        share = room / (len(widths) - position)
        if width > share:
            return share
        room -= width
    return float("inf")
