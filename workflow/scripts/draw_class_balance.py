"""Draw the number of images of each class in the training set and in the test set."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from image_workflow.command import log, run
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import DataSet
from image_workflow.pictures.style import (
    BLUE,
    DARK_GREY,
    NORMAL,
    ORANGE,
    SMALL,
    WIDTH,
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

MARGIN, GAP, TITLE, NOTE = 15, 60, 55, 50
LONGEST_NAME = 450
FEW_CLASSES = 15


def draw(data_set: DataSet) -> Figure:
    """Return a figure with a bar for each class in both sets.

    The bars of many classes with short names stand side by side, and all others lie.
    """
    names = [found.name for found in data_set.classes]
    slot = (WIDTH - 2 * MARGIN - 100) / len(names)
    if len(names) > FEW_CLASSES and widest(names, SMALL) <= slot:
        return _standing(data_set, names)
    return _lying(data_set, names)


def _sets(data_set: DataSet) -> list[tuple[str, list[int], str]]:
    """Return the title, the counts and the colour of each set."""
    train = [found.n_train for found in data_set.classes]
    test = [found.n_test for found in data_set.classes]
    return [
        (f"Training set, {data_set.n_train:,} images", train, BLUE),
        (f"Test set, {data_set.n_test:,} images", test, ORANGE),
    ]


def _lying(data_set: DataSet, names: list[str]) -> Figure:
    names = [shortened(name, LONGEST_NAME) for name in names]
    height = round(1.25 * line_height(NORMAL)) * len(names)
    figure, page = new_page(WIDTH, TITLE + height + NOTE)
    left = MARGIN + widest(names) + 15
    panel_width = (WIDTH - left - MARGIN + GAP) / 2
    for panel, (title, counts, colour) in enumerate(_sets(data_set)):
        texts = [f"{count:,}" for count in counts]
        right = left + panel_width - GAP
        width = panel_width - GAP - widest(texts) - 20
        axes = axes_at(figure, left, TITLE, width, height)
        axes.barh(range(len(names)), counts, height=0.72, color=colour)
        axes.axvline(sum(counts) / len(counts), color=DARK_GREY, linestyle="--", linewidth=1)
        axes.set(ylim=(len(names) - 0.5, -0.5), xlim=(0, max(*counts, 1)), xticks=[])
        axes.set_title(title, loc="left", pad=10)
        axes.set_yticks(range(len(names)), names if panel == 0 else [""] * len(names))
        axes.tick_params(length=0, pad=10, labelsize=NORMAL)
        axes.spines["bottom"].set_visible(False)
        for row, text in enumerate(texts):
            middle = TITLE + (row + 0.5) / len(texts) * height
            page.text(right, middle, text, ha="right", va="center_baseline")
        left += panel_width
    _explain(page, TITLE + height + NOTE)
    return figure


def _standing(data_set: DataSet, names: list[str]) -> Figure:
    each, below = 330, 45
    pitch = TITLE + each + below
    figure, page = new_page(WIDTH, 2 * pitch + NOTE)
    for panel, (title, counts, colour) in enumerate(_sets(data_set)):
        left = MARGIN + 90
        axes = axes_at(figure, left, TITLE + panel * pitch, WIDTH - left - MARGIN, each)
        axes.bar(range(len(names)), counts, width=0.72, color=colour)
        axes.set(xlim=(-0.6, len(names) - 0.4), ylim=(0, max(*counts, 1) * 1.05))
        axes.set_title(title, loc="left", pad=10)
        axes.set_xticks(range(len(names)), names)
        axes.tick_params(axis="x", length=0, pad=6)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.axhline(sum(counts) / len(counts), color=DARK_GREY, linestyle="--", linewidth=1)
    _explain(page, 2 * pitch + NOTE)
    return figure


def _explain(page: Axes, height: float) -> None:
    """Draw the legend of the dashed line at the bottom of the page."""
    text = "the same number of images in each class"
    left = WIDTH - MARGIN - text_width(text, SMALL)
    page.text(left, height - 18, text, size=SMALL, color=DARK_GREY)
    page.plot(
        [left - 75, left - 12], [height - 25] * 2, color=DARK_GREY, linestyle="--", linewidth=1
    )


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.dataset_file])
    data_set = DataSet.read(options.dataset_file)
    save(draw(data_set), options.output)
    write_record(options.record, outputs=[options.output], inputs=inputs)
    log.info("%s: %d classes", options.output, len(data_set.classes))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_class_balance.py", description=__doc__)
    parser.add_argument("--dataset-file", type=Path, required=True, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
