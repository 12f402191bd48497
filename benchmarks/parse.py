"""Compare parsing the training set with decompressing it, and with the tutorial's loader.

Twice: as whole processes, whose start and whose flush to the disk count as well, and as calls in
one process. The floor is to decompress the files and to forget the bytes. Prints tables, also of
where parsing spends its seconds, and writes benchmarks/parse.json.
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


def decompress_zlib(paths: list[Path]) -> None:
    """Decompress by zlib itself, checksums included, and forget the bytes."""
    for path in paths:
        inflate = zlib.decompressobj(wbits=31)
        with open(path, "rb") as file:
            # Little at once: the bytes it gives have to be made room for.
            while chunk := file.read(1 << 14):
                inflate.decompress(chunk)


def decompress_gzip(paths: list[Path]) -> None:
    """Decompress by Python's gzip module, and forget the bytes."""
    for path in paths:
        with gzip.open(path) as stream:
            while stream.read(CHUNK):
                pass


def whole_processes(paths: list[Path], folder: Path, repetitions: int) -> dict:
    """Measure processes that decompress, and that parse."""
    floor = (
        "import gzip, sys\n"
        "for path in sys.argv[1:]:\n"
        "    with gzip.open(path) as stream:\n"
        f"        while stream.read({CHUNK}):\n"
        "            pass\n"
    )
    images, labels = map(str, paths)
    parse = [sys.executable, str(SCRIPTS / "parse.py"), "--images", images, "--labels", labels]
    parse += [
        "--images-out",
        str(folder / "images.npy"),
        "--labels-out",
        str(folder / "labels.npy"),
    ]
    commands = {
        f"process: {GZIP}": [sys.executable, "-c", floor, images, labels],
        f"process: {OURS}": parse,
    }
    contestants = {name: functools.partial(run, command) for name, command in commands.items()}
    return alternate(contestants, repetitions)


def calls(paths: list[Path], folder: Path, repetitions: int) -> tuple[dict, list[dict]]:
    """Measure calls in this process; also return where parsing spends its seconds."""
    # In front, since this file is called parse.py too.
    sys.path.insert(0, str(SCRIPTS))
    import tutorial

    from parse import parse_set

    targets = folder / "images.npy", folder / "labels.npy"

    def parse():
        # As in parse.py, whose files are new: to cut off an old one takes time.
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
    found = pstats.Stats(profile).stats.items()
    longest = sorted(found, key=lambda entry: entry[1][2], reverse=True)[:5]
    return measured, [
        {"function": name, "calls": count, "seconds": own}
        for (_, _, name), (_, count, own, _, _) in longest
    ]


def main(options: argparse.Namespace) -> None:
    paths = [
        options.data_folder / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        given = paths, Path(temporary), options.repetitions
        measured = whole_processes(*given)
        called, longest = calls(*given)
    measured |= called
    floors = {"process": f"process: {GZIP}", "call": f"call: {ZLIB}"}
    ratios = {
        name: median(those) / median(measured[floors[name.split(":")[0]]])
        for name, those in measured.items()
    }
    table(
        ["training set", "seconds", "CPU seconds", "times the floor"],
        (
            [
                name,
                f"{median(those):.3f}",
                f"{median(those, 'cpu_seconds'):.3f}",
                f"{ratios[name]:.2f}",
            ]
            for name, those in measured.items()
        ),
    )
    print("Where the seconds of parsing go, as a call")
    table(
        ["function", "calls", "seconds in it alone"],
        ([each["function"], str(each["calls"]), f"{each['seconds']:.3f}"] for each in longest),
    )
    what = "parsing, times the seconds of decompression alone"
    found = target(what, ratios[f"call: {OURS}"], 1.5, most=True)
    save("parse", measured, times_the_floor=ratios, profile=longest, targets=[found])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="parse.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, default=TOP / "results/raw")
    parser.add_argument("--repetitions", type=int, default=9)
    main(parser.parse_args())
