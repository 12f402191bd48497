"""Measure how parsing and fitting grow with the number of rows: MNIST x1, x5 and x20.

The larger sets are shifted copies of MNIST. They are made in a temporary folder, which takes 2 GB.
Parsing and fitting are whole processes. Their seconds include the time to flush their files to the
disk. Prints a table, draws docs/scale.png, and writes benchmarks/scale.json.

With --large, 8.1 million rows (MNIST x135) are parsed and fitted once as well. They take 8 GB of
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
COLORS = {"parse": "#0072b2", "fit": "#d55e00"}
LARGE = 135
NPY_HEADER = 128  # bytes before the labels in a .npy file


def prepare(raw: Path, folder: Path, times: int) -> dict[str, list[str]]:
    """Make the IDX files of a set in ``folder``; return the commands that parse and fit it."""
    folder.mkdir()
    kinds = {"images": "images-idx3", "labels": "labels-idx1"}
    make = [sys.executable, str(BENCHMARKS / "shifted.py"), "--times", str(times)]
    parse = [sys.executable, str(SCRIPTS / "parse.py")]
    for kind, name in kinds.items():
        idx = str(folder / f"{kind}.gz")
        make += [f"--{kind}", str(raw / f"train-{name}-ubyte.gz"), f"--{kind}-out", idx]
        parse += [f"--{kind}", idx, f"--{kind}-out", str(folder / f"train-{kind}.npy")]
    run(make)
    fit = [sys.executable, str(SCRIPTS / "fit.py"), "--data-folder", str(folder)]
    fit += ["--regularization", "0.5", "--solver", "newton", "--threads", "2"]
    return {"parse": parse, "fit": [*fit, "--output", str(folder / "model.pkl")]}


def measure(
    raw: Path, all_times: list[int], repetitions: int
) -> tuple[dict[str, list[Measurement]], dict[int, int]]:
    """Measure both steps on each set; return the measurements, and the rows of each set."""
    with tempfile.TemporaryDirectory() as temporary:
        contestants, rows = {}, {}
        for times in all_times:
            commands = prepare(raw, Path(temporary, str(times)), times)
            for step, command in commands.items():
                watched = functools.partial(run, command, watch=step == "fit")
                contestants[f"{step} x{times}"] = watched
        once = [f"{step} x{LARGE}" for step in STEPS]
        measured = alternate(contestants, repetitions, once)
        for times in all_times:
            labels = Path(temporary, str(times), "train-labels.npy")
            rows[times] = labels.stat().st_size - NPY_HEADER
    return measured, rows


def show(rows: dict[int, int], measured: dict[str, list[Measurement]]) -> None:
    """Print the table."""
    head = ["step", "rows", "seconds", "times the first", "seconds per million rows"]
    head += ["CPU seconds", "peak MiB", "without mapped files"]
    lines = []
    for step in STEPS:
        first = median(measured[f"{step} x{next(iter(rows))}"])
        for times, count in rows.items():
            runs = measured[f"{step} x{times}"]
            own = median(runs, "own_mib")
            lines.append(
                [
                    step,
                    f"{count:,}",
                    f"{median(runs):.2f}",
                    f"{median(runs) / first:.1f}",
                    f"{median(runs) / count * 1e6:.2f}",
                    f"{median(runs, 'cpu_seconds'):.2f}",
                    f"{median(runs, 'peak_mib'):.0f}",
                    f"{own:.0f}" if own else "",
                ]
            )
    table(head, lines)


# ---- The picture ---------------------------------------------------------------------------


def draw(rows: dict[int, int], measured: dict[str, list[Measurement]], path: Path) -> None:
    """Draw seconds and peak memory against the number of rows, with logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    counts = list(rows.values())
    seconds, mib = figure.subplots(1, 2)
    for step in STEPS:
        runs = [measured[f"{step} x{times}"] for times in rows]
        draw_line(seconds, counts, [median(each) for each in runs], step)
        draw_line(mib, counts, [median(each, "peak_mib") for each in runs], step)
        first = median(runs[0])
        proportional = [first * count / counts[0] for count in counts]
        seconds.plot(counts, proportional, ":", color="0.5", zorder=0)
    seconds.plot([], [], ":", color="0.5", label="proportional to the rows")
    own = [median(measured[f"fit x{times}"], "own_mib") for times in rows]
    if all(own):
        mib.plot(counts, own, "s--", color=COLORS["fit"], label="fit, without the mapped file")
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
    # Without the Software entry, the bytes depend only on the picture.
    figure.savefig(path, metadata={"Software": None})


def draw_line(axes, counts: list[int], values: list[float], step: str) -> None:
    """Draw the values of a step, with a number above each point."""
    axes.loglog(counts, values, "o-", color=COLORS[step], label=step)
    for count, value in zip(counts, values, strict=True):
        text = f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        axes.annotate(text, (count, value), (0, 7), textcoords="offset points", ha="center")


# ---- Targets -------------------------------------------------------------------------------


def targets_of(times: list[int], measured: dict[str, list[Measurement]], large: bool) -> list[dict]:
    """Print which targets are met, and return them for the results."""
    least, most = times[0], times[-1]
    first, last = (
        sum(median(measured[f"{step} x{each}"]) for step in STEPS) for each in (least, most)
    )
    peak = max(median(measured[f"{step} x{most}"], "peak_mib") for step in STEPS)
    what = f"x{most} rows, parse and fit, times the seconds of x{least}"
    targets = [
        target(what, last / first, 1.1 * most / least, most=True),
        target(f"x{most} rows, peak resident memory in MiB", peak, 2048, most=True),
    ]
    if large:
        fit = measured[f"fit x{LARGE}"]
        own = median(fit, "own_mib")
        targets += [
            target(f"x{LARGE} rows, seconds of the fit", median(fit), 600, most=True),
            target(f"x{LARGE} rows, MiB of the fit without mapped files", own, 2048, most=True),
        ]
    return targets


def main(options: argparse.Namespace) -> None:
    times = options.times
    all_times = [*times, LARGE] if options.large else times
    measured, rows = measure(options.data_folder, all_times, options.repetitions)
    show(rows, measured)
    growth = {
        step: median(measured[f"{step} x{times[-1]}"]) / median(measured[f"{step} x{times[0]}"])
        for step in STEPS
    }
    targets = targets_of(times, measured, options.large)
    draw({each: rows[each] for each in times}, measured, options.picture)
    save("scale", measured, rows=rows, growth=growth, targets=targets)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scale.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/raw")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--large", action="store_true", help=f"also x{LARGE}: ten minutes more")
    parser.add_argument("--picture", type=Path, default=TOP / "docs/scale.png")
    parser.add_argument("--repetitions", type=int, default=3)
    main(parser.parse_args())
