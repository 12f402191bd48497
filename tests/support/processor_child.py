"""Make the results of some data sets and fit some problems, in a process of its own.

tests/workflow/test_processors.py starts this program with the variables of each processor. The
program writes a JSON file with the checksums of the results, and with the BLAS kernels that ran.
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

sys.path.append(str(Path(__file__).parents[2] / "workflow/scripts"))

from checkout import TOP
from image_workflow.newton import NewtonOneVsRest
from training import write_training_file

SCRIPTS = TOP / "workflow/scripts"
# What describe.py takes from a data set's entry.
TEXTS = {"name": "data", "description": None, "license": None}
ENTRY = TEXTS | {"classes": [], "polarity": "light_on_dark", "prepare": "mnist", "files": {}}


def make_results(data: Path, rates: list[str], threads: int) -> dict[str, str]:
    """Run the workflow's programs on the arrays in a folder; return the files' checksums."""
    train, test = (
        {"--images": data / f"{part}-images.npy", "--labels": data / f"{part}-labels.npy"}
        for part in ("train", "test")
    )
    with tempfile.TemporaryDirectory() as temporary:
        results = Path(temporary)
        model, metrics = results / "model.pkl", results / "metrics.json"
        described = {"--dataset-file": results / "dataset.json"}
        of_model = {"--model": model, "--training": results / "training.json", **described}
        measured = {f"--test{option[1:]}": path for option, path in test.items()}
        description = {"--data-folder": data, "--entry": json.dumps(ENTRY)}
        run_program("describe.py", description, results / "dataset.json")
        run_program("fit.py", {"--data-folder": data, "--threads": threads}, model, rates)
        write_training_file(model)
        chosen = {"--sweep": results / "sweep.json"}
        run_program("evaluate.py", {**of_model, **chosen, **measured}, metrics)
        for picture, options in {
            "preview": {**train, **described},
            "draw_class_balance": described,
            "draw_confusion": {"--metrics": metrics},
            "draw_mistakes": {**of_model, **test},
            "draw_weights": of_model,
            "draw_sweep": chosen,
        }.items():
            run_program(f"{picture}.py", options, results / f"{picture.removeprefix('draw_')}.png")
        return {path.name: sha256(path.read_bytes()) for path in sorted(results.iterdir())}


def run_program(program: str, options: dict, output: Path, rates: list[str] = ()) -> None:
    """Run a program in this process, which saves the seconds of its imports."""
    options = {**options, "--output": output}
    words = [str(word) for option in options.items() for word in option]
    sys.argv = [program, *words, *(["--regularization", *rates] if rates else [])]
    runpy.run_path(str(SCRIPTS / program), run_name="__main__")


def fit(problem: Path, threads: int, reproducible: bool = True) -> str:
    """Fit the problem in a file, and return the checksum of the coefficients."""
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
        checksums = make_results(images.parent, options.rates, threads)
        files |= {f"{images.parent.name}: {name}": checksums[name] for name in checksums}
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
