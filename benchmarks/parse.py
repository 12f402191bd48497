"""Compare parsing the training set with decompressing it, and with the tutorial's loader.

Everything is measured twice: as whole processes, including their start and the flush of their files
to the disk, and as calls in this process. The floor is to decompress the files and discard the
bytes. Prints tables, also of the functions that take the most time in parsing, and writes
benchmarks/parse.json.
"""

import argparse
import cProfile
import functools
import gzip
import pstats
import sys
import tempfile
import zlib
from pathlib import Path

from measure import SCRIPTS, TOP, alternate, call, median, run, save, table, target

CHUNK = 1 << 20
ZLIB, GZIP, OURS, TUTORIAL = "zlib alone", "gzip module alone", "parse", "the tutorial's loader"

# Decompress the files in the arguments, and discard the bytes.
DECOMPRESS = f"""
import gzip, sys

for path in sys.argv[1:]:
    with gzip.open(path) as stream:
        while stream.read({CHUNK}):
            pass
"""


def decompress_zlib(paths: list[Path]) -> None:
    """Decompress with zlib itself, including the checksums, and discard the bytes."""
    for path in paths:
        inflate = zlib.decompressobj(wbits=31)
        with open(path, "rb") as file:
            # A larger chunk would be slower, because zlib allocates memory for its whole output.
            while chunk := file.read(1 << 14):
                inflate.decompress(chunk)


def decompress_gzip(paths: list[Path]) -> None:
    """Decompress with Python's gzip module, and discard the bytes."""
    for path in paths:
        with gzip.open(path) as stream:
            while stream.read(CHUNK):
                pass


def measure_processes(paths: list[Path], folder: Path, repetitions: int) -> dict:
    """Measure a process that decompresses the files, and one that parses them."""
    images, labels = map(str, paths)
    parse = [sys.executable, str(SCRIPTS / "parse.py"), "--images", images, "--labels", labels]
    parse += ["--images-out", str(folder / "images.npy")]
    parse += ["--labels-out", str(folder / "labels.npy")]
    commands = {
        f"process: {GZIP}": [sys.executable, "-c", DECOMPRESS, images, labels],
        f"process: {OURS}": parse,
    }
    contestants = {name: functools.partial(run, command) for name, command in commands.items()}
    return alternate(contestants, repetitions)


def measure_calls(paths: list[Path], folder: Path, repetitions: int) -> tuple[dict, list[dict]]:
    """Measure calls in this process; also return the functions that take the most time."""
    # The workflow's folder goes first, because this benchmark is called parse.py as well.
    sys.path.insert(0, str(SCRIPTS))
    import tutorial
    from parse import parse_set

    targets = folder / "images.npy", folder / "labels.npy"

    def parse():
        # The program parse.py writes new files. To truncate an old file takes time.
        for path in targets:
            path.unlink(missing_ok=True)
        return call(parse_set, *paths, *targets)

    def load():
        for path, dimensions in zip(paths, (3, 1), strict=True):
            tutorial.load(path, dimensions)

    contestants = {
        f"call: {ZLIB}": functools.partial(call, decompress_zlib, paths),
        f"call: {GZIP}": functools.partial(call, decompress_gzip, paths),
        f"call: {OURS}": parse,
        f"call: {TUTORIAL}": functools.partial(call, load),
    }
    measured = alternate(contestants, repetitions)
    with cProfile.Profile() as profile:
        parse_set(*paths, *targets)
    statistics = pstats.Stats(profile).stats.items()
    slowest = sorted(statistics, key=lambda entry: entry[1][2], reverse=True)[:5]
    return measured, [
        {"function": name, "calls": count, "seconds": own}
        for (_, _, name), (_, count, own, _, _) in slowest
    ]


def main(options: argparse.Namespace) -> None:
    paths = [
        options.data_folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        arguments = paths, Path(temporary), options.repetitions
        processes = measure_processes(*arguments)
        calls, slowest = measure_calls(*arguments)
    measured = processes | calls
    floors = {"process": f"process: {GZIP}", "call": f"call: {ZLIB}"}
    ratios = {
        name: median(runs) / median(measured[floors[name.split(":")[0]]])
        for name, runs in measured.items()
    }
    table(
        ["training set", "seconds", "CPU seconds", "times the floor"],
        (
            [
                name,
                f"{median(runs):.3f}",
                f"{median(runs, 'cpu_seconds'):.3f}",
                f"{ratios[name]:.2f}",
            ]
            for name, runs in measured.items()
        ),
    )
    print("The functions that take the most time in parsing, as a call")
    table(
        ["function", "calls", "seconds in it alone"],
        ([each["function"], str(each["calls"]), f"{each['seconds']:.3f}"] for each in slowest),
    )
    what = "parsing, times the seconds of decompression alone"
    found = target(what, ratios[f"call: {OURS}"], 1.5, most=True)
    save("parse", measured, times_the_floor=ratios, profile=slowest, targets=[found])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="parse.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/raw")
    parser.add_argument("--repetitions", type=int, default=9)
    main(parser.parse_args())
