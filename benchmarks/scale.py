"""Measure how parsing and fitting grow with the number of rows: MNIST x1, x5 and x20.

The larger sets are shifted copies of MNIST, made on the fly in a temporary folder, which takes
2 GB. Parsing and fitting are whole processes; seconds include the flush of what they write to the
disk. Prints tables, draws docs/scale.png, writes benchmarks/scale.json.

With --large, 8.1 million rows are parsed and fitted as well, once: MNIST x135. They take 8 GB of
disk, and are not in the picture.
"""

import argparse
import functools
import sys
import tempfile
from pathlib import Path

from measure import (
    BENCHMARKS,
    SCRIPTS,
    TOP,
    Measurement,
    alternate,
    median,
    run,
    save,
    table,
    target,
)

STEPS = "parse", "fit"
LARGE = 135


def commands(raw: Path, folder: Path, times: int) -> dict[str, list[str]]:
    """Make the files of a set in ``folder``; return the commands that parse it and fit it."""
    folder.mkdir()
    kinds = {"images": "images-idx3", "labels": "labels-idx1"}
    make = [sys.executable, str(BENCHMARKS / "shifted.py"), "--times", str(times)]
    parse = [sys.executable, str(SCRIPTS / "parse.py")]
    for kind, name in kinds.items():
        made = str(folder / f"{kind}.gz")
        make += [f"--{kind}", str(raw / f"train-{name}-ubyte.gz"), f"--{kind}-out", made]
        parse += [f"--{kind}", made, f"--{kind}-out", str(folder / f"train-{kind}.npy")]
    run(make)
    fit = [sys.executable, str(SCRIPTS / "train.py"), "--data-folder", str(folder)]
    fit += ["--regularization", "0.5", "--solver", "newton", "--threads", "2"]
    return {"parse": parse, "fit": [*fit, "--output", str(folder / "model.pkl")]}


def draw(rows: dict[int, int], measured: dict[str, list[Measurement]], path: Path) -> None:
    """Draw seconds and peak memory against the number of rows, both axes logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    counts = list(rows.values())
    seconds, mib = figure.subplots(1, 2)
    colours = {"parse": "#0072b2", "fit": "#d55e00"}
    for step in STEPS:
        of_step = [measured[f"{step} x{times}"] for times in rows]
        for axes, field in ((seconds, "seconds"), (mib, "peak_mib")):
            values = [median(those, field) for those in of_step]
            axes.loglog(counts, values, "o-", color=colours[step], label=step)
            for count, value in zip(counts, values, strict=True):
                text = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
                axes.annotate(text, (count, value), (0, 7), textcoords="offset points", ha="center")
        first = median(of_step[0])
        straight = [first * count / counts[0] for count in counts]
        seconds.plot(counts, straight, ":", color="0.5", zorder=0)
    seconds.plot([], [], ":", color="0.5", label="in proportion to the rows")
    own = [median(measured[f"fit x{times}"], "own_mib") for times in rows]
    if all(own):
        mib.plot(counts, own, "s--", color=colours["fit"], label="fit, without the mapped file")
    mib.axhline(2048, color="0.5", linewidth=0.8)
    mib.annotate("2 GiB", (counts[0], 2048), (0, 4), textcoords="offset points", color="0.4")
    for axes, title in ((seconds, "seconds"), (mib, "peak resident memory, MiB")):
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("training images")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.12, y=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.92")
    lines = seconds.get_lines() + mib.get_lines()
    named = {line.get_label(): line for line in lines if not line.get_label().startswith("_")}
    figure.legend(named.values(), named, loc="outside lower center", ncols=4, frameon=False)
    # Without a Software entry the bytes depend on the picture alone.
    figure.savefig(path, metadata={"Software": None})


def main(options: argparse.Namespace) -> None:
    all_times = [*options.times, LARGE] if options.large else options.times
    with tempfile.TemporaryDirectory() as temporary:
        contestants, rows = {}, {}
        for times in all_times:
            folder = Path(temporary, str(times))
            steps = commands(options.data_folder, folder, times)
            for step, command in steps.items():
                watched = functools.partial(run, command, watch=step == "fit")
                contestants[f"{step} x{times}"] = watched
        once = [f"{step} x{LARGE}" for step in STEPS]
        measured = alternate(contestants, options.repetitions, once)
        for times in all_times:
            with open(Path(temporary, str(times), "train-labels.npy"), "rb") as labels:
                rows[times] = labels.seek(0, 2) - 128
    least, most = options.times[0], options.times[-1]
    show(rows, measured)
    seconds = {
        times: sum(median(measured[f"{step} x{times}"]) for step in STEPS)
        for times in options.times
    }
    growth = {
        step: median(measured[f"{step} x{most}"]) / median(measured[f"{step} x{least}"])
        for step in STEPS
    }
    peak = max(median(measured[f"{step} x{most}"], "peak_mib") for step in STEPS)
    what = f"x{most} rows, parse and fit, times the seconds of x{least}"
    targets = [
        target(what, seconds[most] / seconds[least], 1.1 * most / least, most=True),
        target(f"x{most} rows, peak resident memory in MiB", peak, 2048, most=True),
    ]
    if options.large:
        fit = measured[f"fit x{LARGE}"]
        own = median(fit, "own_mib")
        targets += [
            target(f"x{LARGE} rows, seconds of the fit", median(fit), 600, most=True),
            target(f"x{LARGE} rows, MiB of the fit beside the mapped file", own, 2048, most=True),
        ]
    draw({times: rows[times] for times in options.times}, measured, options.picture)
    save("scale", measured, rows=rows, growth=growth, targets=targets)


def show(rows: dict[int, int], measured: dict[str, list[Measurement]]) -> None:
    """Print the table."""
    head = ["step", "rows", "seconds", "times the first", "seconds a million rows"]
    head += ["CPU seconds", "peak MiB", "of it not mapped"]
    lines = []
    for step in STEPS:
        first = median(measured[f"{step} x{next(iter(rows))}"])
        for times, count in rows.items():
            those = measured[f"{step} x{times}"]
            own = median(those, "own_mib")
            lines.append(
                [
                    step,
                    f"{count:,}",
                    f"{median(those):.2f}",
                    f"{median(those) / first:.1f}",
                    f"{median(those) / count * 1e6:.2f}",
                    f"{median(those, 'cpu_seconds'):.2f}",
                    f"{median(those, 'peak_mib'):.0f}",
                    f"{own:.0f}" if own else "",
                ]
            )
    table(head, lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scale.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/raw")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--large", action="store_true", help=f"x{LARGE} as well: ten minutes")
    parser.add_argument("--picture", type=Path, default=TOP / "docs/scale.png")
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
