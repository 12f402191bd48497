"""Draw the accuracy of each candidate that was compared."""

import image_workflow.start  # noqa: F401

import argparse
import math
from pathlib import Path

from matplotlib.axis import Axis
from matplotlib.ticker import NullFormatter, PercentFormatter

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import RATE, Sweep
from image_workflow.pictures.candidates import (
    PARTS,
    accuracies_of,
    accuracy_text,
    chosen,
    is_number,
    part_text,
    texts_of,
    value_texts,
    values_of,
)
from image_workflow.pictures.heat_map import draw_heat_map
from image_workflow.pictures.style import (
    BLUE,
    LIGHT_GREY,
    SMALL,
    VERMILLION,
    WIDTH,
    Figure,
    axes_at,
    new_page,
    save,
    shortened,
    text_width,
    widest,
)
from image_workflow.pictures.table import draw_table

AXES_WIDTH = WIDTH - 165
RING = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.6, "color": VERMILLION}
MARGIN, GAP = 15, 30
MOST_POINTS = 200  # of a curve
MOST_DOTS = 30  # values of a parameter, one below the other
MOST_CELLS = 20  # in a row or column of a heat map


def draw(sweep: Sweep) -> Figure:
    """Return a figure of the accuracy of all candidates, with the chosen one marked.

    The numbers of a single parameter are drawn as curves, and its other values as dots. Two
    parameters are drawn as a heat map. More parameters or values are drawn as a table.
    """
    names = sweep.varied()
    if len(names) == 1:
        values = values_of(sweep, *names)
        if all(map(is_number, values)) and len(set(values)) == len(values) <= MOST_POINTS:
            return draw_curves(sweep, *names)
        if len(values) <= MOST_DOTS:
            return draw_dots(sweep, *names)
    if len(names) == 2 and all(len(texts_of(sweep, name)) <= MOST_CELLS for name in names):
        return draw_heat_map(sweep, names)
    return draw_table(sweep, names)


def draw_curves(sweep: Sweep, name: str) -> Figure:
    """Return a figure of accuracy against a parameter whose values are numbers."""
    figure, _ = new_page(WIDTH, 700)
    axes = axes_at(figure, 140, 20, AXES_WIDTH, 590)
    values = values_of(sweep, name)
    order = sorted(range(len(values)), key=values.__getitem__)
    numbers = [values[at] for at in order]
    accuracies = {part: [accuracies_of(sweep, part)[at] for at in order] for part in PARTS}
    for part, (_, color, style) in PARTS.items():
        axes.plot(numbers, accuracies[part], style, color=color, label=part_text(sweep, part))
    best, texts = order.index(chosen(sweep)), value_texts(numbers)
    label = f"chosen: {texts[best]}"
    axes.plot(numbers[best], accuracies["validation"][best], "o", **RING, label=label)
    is_log = name == RATE or (numbers[0] > 0 and numbers[-1] / numbers[0] >= 10)
    if is_log:
        axes.set_xscale("log")
    axes.set_xticks(numbers, tick_labels(numbers, texts, best, is_log))
    axes.xaxis.set_minor_formatter(NullFormatter())
    show_percent(axes.yaxis)
    label = "regularization rate" if name == RATE else shortened(name, AXES_WIDTH)
    axes.set(xlabel=label, ylabel="accuracy")
    axes.grid(axis="y", color=LIGHT_GREY)
    axes.legend()
    return figure


def tick_labels(numbers: list[float], texts: list[str], best: int, is_log: bool) -> list[str]:
    """Return the text at each number, empty where it would overlap another one.

    Parameters
    ----------
    numbers : list of float
        At least two, sorted.
    texts : list of str
    best : int
        The index of the chosen number, which always has a text.
    is_log : bool
        Whether the axis is logarithmic.
    """
    scaled = [math.log(number) for number in numbers] if is_log else numbers
    span = scaled[-1] - scaled[0]
    places = [AXES_WIDTH / 1.1 * (number - scaled[0]) / span for number in scaled]
    kept = []
    for one in sorted(range(len(texts)), key=lambda number: number != best):
        if all(
            abs(places[one] - places[other]) > widest([texts[one], texts[other]], SMALL) + 10
            for other in kept
        ):
            kept.append(one)
    return [text if number in kept else "" for number, text in enumerate(texts)]


def draw_dots(sweep: Sweep, name: str) -> Figure:
    """Return a figure with a line for each value of a parameter, in the order of the grid."""
    texts = [*texts_of(sweep, name).values()]
    rows = range(len(texts))
    pitch, top, below = 58, 125, 100
    height = pitch * len(texts)
    figure, page = new_page(WIDTH, top + height + below)
    left = MARGIN + widest(texts, SMALL) + GAP
    header = PARTS["validation"][0]
    width = WIDTH - MARGIN - text_width(header, SMALL) - GAP - left
    axes = axes_at(figure, left, top, width, height)
    accuracies = {part: accuracies_of(sweep, part) for part in PARTS}
    axes.hlines(rows, *accuracies.values(), color=LIGHT_GREY, linewidth=4)
    for part, (_, color, _) in PARTS.items():
        axes.plot(accuracies[part], rows, "o", color=color, label=part_text(sweep, part))
    best = chosen(sweep)
    label = f"chosen: {shortened(texts[best], 350, SMALL)}"
    axes.plot(accuracies["validation"][best], best, "o", **RING, label=label)
    axes.set(ylim=(len(texts) - 0.5, -0.5), xlabel="accuracy")
    axes.set_yticks(rows, texts)
    axes.tick_params(axis="y", length=0, pad=10)
    show_percent(axes.xaxis)
    axes.grid(axis="x", color=LIGHT_GREY)
    axes.set_axisbelow(True)
    page.legend(*axes.get_legend_handles_labels(), loc="upper left", ncols=3, borderaxespad=0.2)
    page.text(MARGIN, top - 15, shortened(name, left + width - MARGIN), va="bottom")
    font = {"color": BLUE, "size": SMALL, "ha": "right"}
    page.text(WIDTH - MARGIN, top - 15, header, va="bottom", **font)
    for row, accuracy in enumerate(accuracies["validation"]):
        text = f"{accuracy_text(accuracy, sweep.n_validation)}%"
        page.text(WIDTH - MARGIN, top + pitch * (row + 0.5), text, va="center_baseline", **font)
    return figure


def show_percent(axis: Axis) -> None:
    """Label an axis of accuracies with as many decimals as its ticks need, at least one."""
    ticks = axis.get_ticklocs()
    step = 100 * (ticks[1] - ticks[0])
    decimals = next((n for n in range(1, 9) if abs(step - round(step, n)) < 1e-9), 9)
    axis.set_major_formatter(PercentFormatter(1, decimals=decimals))
    low, high = axis.get_view_interval()
    if any(1 + 1e-9 < tick < high for tick in ticks):
        axis.set_ticks([tick for tick in ticks if low < tick < 1 + 1e-9])


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.sweep])
    sweep = Sweep.read(options.sweep)
    if not sweep.candidates:
        raise UserError(
            f"{options.sweep} compares nothing, because the model was trained with a single value "
            "of each parameter. Give several values of one to compare them."
        )
    save(draw(sweep), options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d candidates", options.output, len(sweep.candidates))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_sweep.py", description=__doc__)
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
