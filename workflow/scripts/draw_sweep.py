"""Draw the accuracy of each regularization rate that was compared."""

import argparse
import math
from pathlib import Path

from matplotlib.ticker import NullFormatter, PercentFormatter

from image_workflow.command import log, run
from image_workflow.errors import UserError
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import Sweep
from image_workflow.pictures.style import (
    BLUE,
    GREY,
    LIGHT_GREY,
    SMALL,
    VERMILLION,
    WIDTH,
    Figure,
    axes_at,
    new_page,
    save,
    widest,
)

AXES_WIDTH = WIDTH - 165
PARTS = {"train": ("training part", GREY, "o--"), "validation": ("validation part", BLUE, "o-")}


def draw(sweep: Sweep) -> Figure:
    """Return a figure of accuracy against regularization rate, with the chosen rate marked."""
    figure, _ = new_page(WIDTH, 700)
    axes = axes_at(figure, 140, 20, AXES_WIDTH, 590)
    rates = [candidate.regularization_rate for candidate in sweep.candidates]
    for part, (name, color, style) in PARTS.items():
        accuracy = [getattr(candidate, f"{part}_accuracy") for candidate in sweep.candidates]
        label = f"{name}, {getattr(sweep, f'n_{part}'):,} images"
        axes.plot(rates, accuracy, style, color=color, label=label)
    best = rates.index(sweep.regularization_rate)
    axes.plot(
        rates[best],
        sweep.candidates[best].validation_accuracy,
        "o",
        markersize=13,
        markerfacecolor="none",
        markeredgewidth=1.6,
        color=VERMILLION,
        label=f"chosen: {rates[best]:g}",
    )
    axes.set_xscale("log")
    axes.set_xticks(rates, tick_labels(rates, best))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set(xlabel="regularization rate", ylabel="accuracy")
    axes.grid(axis="y", color=LIGHT_GREY)
    axes.legend()
    return figure


def tick_labels(rates: list[float], best: int) -> list[str]:
    """Return the text at each rate, empty where it would overlap another one.

    Parameters
    ----------
    rates : list of float
        At least two, sorted.
    best : int
        The index of the chosen rate, which always has a text.
    """
    texts = [f"{rate:g}" for rate in rates]
    span = math.log(rates[-1] / rates[0])
    places = [AXES_WIDTH / 1.1 * math.log(rate / rates[0]) / span for rate in rates]
    kept = []
    for one in sorted(range(len(rates)), key=lambda number: number != best):
        if all(
            abs(places[one] - places[other]) > widest([texts[one], texts[other]], SMALL) + 10
            for other in kept
        ):
            kept.append(one)
    return [text if number in kept else "" for number, text in enumerate(texts)]


def main(options: argparse.Namespace) -> None:
    sweep = Sweep.read(options.sweep)
    if not sweep.candidates:
        raise UserError(
            f"{options.sweep} compares no regularization rates, because the model was trained with "
            "a single one. Train with several to compare them."
        )
    save(draw(sweep), options.output)
    write_record(options.record, outputs=[options.output], inputs=[options.sweep])
    log.info("%s: %d rates", options.output, len(sweep.candidates))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_sweep.py", description=__doc__)
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
