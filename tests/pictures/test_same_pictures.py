"""Test that the pictures have the same bytes on every processor and for every user."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kernels
from checkout import TOP
from image_workflow.lineage.results import RATE
from picture_checks import data_set_of, metrics_of, sweep_of
from samples import SETS
from training import write_training_file

CHILD = """
import runpy, sys
from pathlib import Path

scripts, data, output = map(Path, sys.argv[1:])
sys.path.append(str(scripts))
images, dataset = data / "images.npy", ("--dataset-file", data / "dataset.json")
arrays = ("--images", images, "--labels", data / "labels.npy")
model = ("--model", data / "model.pkl", "--training", data / "training.json")
for program, options in {
    "preview": (*arrays, *dataset),
    "draw_class_balance": dataset,
    "draw_confusion": ("--metrics", data / "metrics.json"),
    "draw_mistakes": (*model, *arrays, *dataset),
    "draw_weights": (*model, *dataset),
    **{
        f"draw_sweep {name}": ("--sweep", data / f"{name}.json")
        for name in ("curves", "dots", "heat_map", "table")
    },
}.items():
    words = [*options, "--output", output / f"{program}.png"]
    sys.argv = [program, *map(str, words)]
    runpy.run_path(str(scripts / f"{program.split()[0]}.py"), run_name="__main__")
"""
GRIDS = {
    "curves": {RATE: [0.1, 0.3, 0.9]},
    "dots": {"layers": [[50], [50, 50], None]},
    "heat_map": {"alpha": [0.1, 0.3], "solver": ["adam", "sgd"]},
    "table": {"alpha": [0.1, 0.3], "solver": ["adam", "sgd"], "tol": [0.1, 1]},
}
NAMES = [f"class {number}" for number in range(10)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Return a folder with everything that the programs read."""
    import joblib

    from image_workflow.models.estimator import predict
    from image_workflow.models.solvers import SOLVERS

    folder = tmp_path_factory.mktemp("data")
    images, labels = SETS["ten classes"]
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    model = SOLVERS["newton"](images, labels, 100.0, seed=1, threads=1)
    joblib.dump(model, folder / "model.pkl")
    write_training_file(folder / "model.pkl")
    counts = np.bincount(labels, minlength=10).tolist()
    data_set_of(NAMES, counts, counts).write(folder / "dataset.json")
    matrix = np.zeros((10, 10), int)
    np.add.at(matrix, (labels, predict(model, images)), 1)
    metrics_of(matrix, NAMES).write(folder / "metrics.json")
    for name, grid in GRIDS.items():
        sweep_of(grid, [0.81, 0.83, 0.89], n=50).write(folder / f"{name}.json")
    return folder


def pictures(data: Path, output: Path, variables: dict[str, str]) -> dict[str, str]:
    """Draw all pictures in a process with these variables, and return their checksums."""
    output.mkdir()
    command = [sys.executable, "-c", CHILD, TOP / "workflow/scripts", data, output]
    subprocess.run(command, env=os.environ | variables, check=True, capture_output=True)
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in output.glob("*.png")
    }


def test_every_processor_and_user_gets_the_same_pictures(data: Path, tmp_path: Path):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\naxes.facecolor: red\ntext.color: blue\n")
    expected = pictures(data, tmp_path / "expected", {})
    assert len(expected) == 9
    user = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    # tests/workflow/test_processors.py imitates all processors.
    processors = list(kernels.environments().values())
    for number, variables in enumerate([user, *processors[:1], *processors[-1:]]):
        assert pictures(data, tmp_path / str(number), variables) == expected, variables
