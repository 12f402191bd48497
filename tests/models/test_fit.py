"""Test the training script: same bytes for any number of threads, alone or after a sweep."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fit
from checkout import TOP
from image_workflow.errors import UserError
from image_workflow.models.estimator import features
from image_workflow.models.settings import SOLVER_NAMES
from samples import SETS
from training import training_options


def train(folder: Path, images: np.ndarray, labels: np.ndarray, **changes) -> bytes:
    """Run the script on images and labels, and return the bytes of the model's file."""
    data = folder / "data" / "subfolder"
    data.mkdir(parents=True, exist_ok=True)
    np.save(data / "train-images.npy", images)
    np.save(data / "train-labels.npy", labels)
    output = folder / "outputs" / "model.pkl"
    run_fit(folder / "data", output, **changes)
    written = {path.name for path in output.parent.iterdir()}
    assert written == {"model.pkl", "sweep.json"}
    return output.read_bytes()


def run_fit(data_folder: Path, output: Path, **changes) -> None:
    program = {"data_folder": data_folder, "candidates": None, "threads": 1, "output": output}
    options = program | {"regularization": [0.5]} | changes
    fit.main(training_options(**options, metrics=None))


# ---- A single rate -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_number_of_threads_does_not_change_the_bytes(tmp_path: Path, name: str, solver: str):
    first, second = (
        train(tmp_path, *SETS[name], threads=threads, solver=solver) for threads in (1, 2)
    )
    assert first == second


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_processes_with_other_threads_write_the_same_bytes(tmp_path: Path, solver: str):
    train(tmp_path, *SETS["ten classes"])
    for threads in ("1", "2"):
        command = [sys.executable, TOP / "workflow/scripts/fit.py", "--data-folder", "data"]
        options = ["--regularization", "0.5", "--threads", threads, "--output", f"{threads}.pkl"]
        subprocess.run([*command, *options, "--solver", solver], cwd=tmp_path, check=True)
    first, second = ((tmp_path / f"{threads}.pkl").read_bytes() for threads in "12")
    assert first == second


def test_rate_and_seed_change_the_bytes(tmp_path: Path):
    data = SETS["two classes"]
    models = [
        train(tmp_path, *data),
        train(tmp_path, *data, regularization=[0.8]),
        train(tmp_path, *data, seed=7),
    ]
    assert len(set(models)) == 3


def test_model_needs_only_scikit_learn_and_joblib(tmp_path: Path):
    images, labels = SETS["three classes"]
    train(tmp_path, images, labels)
    np.save(tmp_path / "pixels.npy", features(images))
    code = (
        "import joblib, numpy, sys;"
        "model = joblib.load('outputs/model.pkl');"
        "assert not {'image_workflow', 'fit'} & set(sys.modules), 'our code was loaded';"
        "assert type(model).__module__ == 'sklearn.multiclass';"
        "numpy.save('predicted.npy', model.predict(numpy.load('pixels.npy')))"
    )
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)
    predicted = np.load(tmp_path / "predicted.npy")
    assert predicted.shape == labels.shape
    assert set(predicted) <= set(labels)


# ---- Errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_rate_that_is_not_above_0_is_refused(tmp_path: Path, rate: float):
    with pytest.raises(UserError, match=rf"--regularization must be above 0, found {rate}\."):
        train(tmp_path, *SETS["two classes"], regularization=[0.5, rate])


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_fraction_outside_0_to_1_is_refused_for_several_rates(tmp_path: Path, fraction: float):
    expected = rf"--validation-fraction must be between 0 and 1, found {fraction}\."
    with pytest.raises(UserError, match=expected):
        train(
            tmp_path,
            *SETS["two classes"],
            regularization=[0.5, 2],
            validation_fraction=fraction,
        )


@pytest.mark.parametrize("missing", ["train-images.npy", "train-labels.npy"])
def test_error_names_the_missing_array_and_the_folder(tmp_path: Path, missing: str):
    for name in {"train-images.npy", "train-labels.npy"} - {missing}:
        np.save(tmp_path / name, np.zeros(1))
    with pytest.raises(UserError) as raised:
        run_fit(tmp_path, tmp_path / "model.pkl")
    assert str(raised.value) == f"expected {missing} in the data folder {tmp_path}, found none."


# ---- Several rates -------------------------------------------------------------------------


RATES = [0.5, 20, 3000]


def compare(folder: Path, rates: list, **changes) -> tuple[dict, bytes]:
    """Train at the best of several rates; return sweep.json and the bytes of the model."""
    model = train(folder, *SETS["ten classes"], regularization=rates, **changes)
    return json.loads((folder / "outputs/sweep.json").read_text()), model


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_best_rate_is_refitted_on_all_images(tmp_path: Path, solver: str):
    sweep, model = compare(tmp_path, RATES[::-1], solver=solver)
    assert [scored["regularization_rate"] for scored in sweep["candidates"]] == RATES
    scores = [scored["validation_accuracy"] for scored in sweep["candidates"]]
    assert len(set(scores)) > 1, "equal scores would make this test meaningless"
    best = max(zip(scores, RATES, strict=True))[1]
    assert sweep["regularization_rate"] == best
    assert sweep["n_train"] + sweep["n_validation"] == 300
    alone = train(tmp_path / "alone", *SETS["ten classes"], regularization=[best], solver=solver)
    assert model == alone


def test_order_of_rates_and_number_of_threads_have_no_effect(tmp_path: Path):
    expected = compare(tmp_path / "sorted", RATES)
    assert compare(tmp_path / "unsorted", [20, 3000, 0.5], threads=2) == expected


def test_validation_fraction_decides_how_many_images_are_held_out(tmp_path: Path):
    sweep, _ = compare(tmp_path, RATES, validation_fraction=0.5)
    assert 140 <= sweep["n_validation"] <= 150


# ---- Kept scores ---------------------------------------------------------------------------


def read_kept(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return the content and modification time of each candidate's file."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_kept_scores_are_not_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "image_workflow")
    folder = tmp_path / "candidates"
    expected = compare(tmp_path / "without kept scores", [*RATES, 7])
    compare(tmp_path, RATES, candidates=folder)
    before = read_kept(folder)
    assert before.keys() == {"0.5.json", "20.json", "3000.json"}
    caplog.clear()
    assert compare(tmp_path, [*RATES, 7], candidates=folder) == expected
    assert "4 candidates to compare on 75 of 300 images, 3 of them as before" in caplog.messages
    after = read_kept(folder)
    assert after.keys() == before.keys() | {"7.json"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    "changed", [{"seed": 7}, {"validation_fraction": 0.3}, {"solver": "newton"}]
)
def test_changed_settings_make_kept_scores_invalid(tmp_path: Path, changed: dict):
    folder = tmp_path / "candidates"
    compare(tmp_path, RATES, candidates=folder)
    before = read_kept(folder)
    found = compare(tmp_path, RATES, candidates=folder, **changed)
    assert found == compare(tmp_path / "without kept scores", RATES, **changed)
    after = read_kept(folder)
    assert after.keys() == before.keys()
    assert not set(before.values()) & set(after.values())


def test_changed_images_make_kept_scores_invalid(tmp_path: Path):
    folder = tmp_path / "candidates"
    options = {"regularization": RATES, "candidates": folder}
    images, labels = SETS["ten classes"]
    train(tmp_path, images, labels, **options)
    before = read_kept(folder)
    train(tmp_path, images, np.roll(labels, 1), **options)
    assert not set(before.values()) & set(read_kept(folder).values())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"candidate": {}}'])
def test_damaged_score_is_computed_again(tmp_path: Path, content: bytes):
    folder = tmp_path / "candidates"
    expected = compare(tmp_path, RATES, candidates=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "20.json").write_bytes(content)
    assert compare(tmp_path, RATES, candidates=folder) == expected
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
