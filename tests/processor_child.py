"""Make all results of some data sets, and fit some problems, in a process of its own.

tests/test_processors.py starts it with the variables of each processor, and compares what it
writes: a JSON file of checksums, and of the kernels that really ran.
"""

import argparse
import hashlib
import json
import runpy
import sys
import tempfile
from pathlib import Path

import numpy as np
import threadpoolctl

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from lib.newton import NewtonOneVsRest

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


def make_results(data: Path, rates: list[str], threads: int) -> dict[str, str]:
    """Run the workflow's scripts on the arrays of a folder; return the files' checksums by name."""
    arrays = {
        f"--{part}-{kind}": data / f"{part}-{kind}.npy"
        for part in ("train", "test")
        for kind in ("images", "labels")
    }
    images, labels = arrays.pop("--train-images"), arrays["--train-labels"]
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        model, sweep = made / "model.pkl", made / "sweep.json"
        run("train.py", {"--data-folder": data, "--threads": threads}, model, rates)
        run("evaluate.py", {"--model": model, **arrays}, made / "metrics.json")
        run("draw_sweep.py", {"--sweep": sweep}, made / "sweep.png")
        run("preview.py", {"--images": images, "--labels": labels}, made / "preview.png")
        return {path.name: sha256(path.read_bytes()) for path in sorted(made.iterdir())}


def run(script: str, options: dict, output: Path, rates: list[str] = ()) -> None:
    """Run a script in this process: importing everything anew would take most of the seconds."""
    options = {**options, "--output": output}
    words = [str(word) for option in options.items() for word in option]
    sys.argv = [script, *words, *(["--regularization", *rates] if rates else [])]
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


def fit(problem: Path, threads: int, reproducible: bool = True) -> str:
    """Return the checksum of the coefficients of the problem in a file."""
    with np.load(problem) as file:
        X, y, C, scale = (file[name] for name in ("X", "y", "C", "scale"))
    options = {"C": float(C), "scale": float(scale), "threads": threads}
    model = NewtonOneVsRest(reproducible=reproducible, **options).fit(X, y)
    return sha256(model.coef_.tobytes() + model.intercept_.tobytes())


def sha256(content: bytes) -> str:
    """Return the checksum of some bytes."""
    return hashlib.sha256(content).hexdigest()


def main(options: argparse.Namespace) -> None:
    files, threads = {}, options.threads
    for images in sorted(options.folder.glob("*/train-images.npy")):
        made = make_results(images.parent, options.rates, threads)
        files |= {f"{images.parent.name}: {name}": checksum for name, checksum in made.items()}
    problems = sorted(options.folder.glob("*.npz"))
    libraries = threadpoolctl.threadpool_info()
    content = {
        "numpy": np.__version__,
        "kernels": sorted(
            {library["architecture"] for library in libraries if "architecture" in library}
        ),
        "files": files,
        "problems": {problem.stem: fit(problem, threads) for problem in problems},
        "unrounded": {problem.stem: fit(problem, threads, False) for problem in problems[:5]},
    }
    options.output.write_text(json.dumps(content))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="has data sets and problems")
    parser.add_argument("--rates", nargs="+", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    main(parser.parse_args())
