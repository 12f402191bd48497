"""Draw the accuracy of each regularization rate that was compared."""

import argparse
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from image_workflow.command import log, run
from image_workflow.files import replacing
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.lineage.results import Sweep

PARTS = {"train": ("training part", "0.6", "o--"), "validation": ("validation part", "C0", "o-")}


def draw(sweep: Sweep) -> Figure:
    """Return a figure of accuracy against regularization rate, with the chosen rate marked."""
    figure = Figure(figsize=(7, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
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
        color="C3",
        label=f"chosen: {rates[best]:g}",
    )
    axes.set_xscale("log")
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    axes.set(xlabel="regularization rate", ylabel="accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.legend(frameon=False)
    return figure


def main(options: argparse.Namespace) -> None:
    sweep = Sweep.read(options.sweep)
    figure = draw(sweep)
    with replacing(options.output) as (part,):
        # Without the Software entry, the bytes do not depend on the version of matplotlib.
        figure.savefig(part, format="png", metadata={"Software": None})
    write_record(options.record, outputs=[options.output], inputs=[options.sweep])
    log.info("%s: %d rates", options.output, len(sweep.candidates))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="draw_sweep.py", description=__doc__)
    parser.add_argument("--sweep", type=Path, required=True, help="sweep.json")
    parser.add_argument("--output", type=Path, required=True, help="the PNG to write")
    add_record_option(parser)
    run(parser, main)
