"""Predictions as a result of the workflow: made on demand, and again only after a change."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from checkout import Checkout

TABLE, PICTURE = "results/predictions.csv", "results/predictions.png"
PREDICT = {"dataset": "digits", "predict": "my pictures"}
DIGITS = {"dataset": "digits"}


def write_pictures(checkout: Checkout) -> None:
    """Write three pictures of the test set, black on white."""
    images = np.load(checkout.path / "results/arrays/test-images.npy")
    folder = checkout.path / "my pictures"
    folder.mkdir()
    for number in range(3):
        large = Image.fromarray(255 - images[number]).resize((96, 96), Image.Resampling.BICUBIC)
        large.save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def predicted(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A finished checkout with predictions. Tests must not change it."""
    checkout = digits_run.copied(tmp_path_factory.mktemp("predictions") / "checkout")
    write_pictures(checkout)
    checkout.finish(TABLE, **PREDICT)
    return checkout


@pytest.fixture
def checkout(predicted: Checkout, tmp_path: Path) -> Checkout:
    """A copy of that checkout, which a test may change."""
    return predicted.copied(tmp_path / "checkout")


def planned(checkout: Checkout, **config) -> set[str]:
    """Return the jobs of a dry run for the predictions."""
    return checkout.planned_jobs(TABLE, **PREDICT | config)


def test_the_table_and_the_picture_are_written(predicted: Checkout):
    with open(predicted.path / TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"my pictures/{number}.png" for number in range(3)]
    truth = np.load(predicted.path / "results/arrays/test-labels.npy")[:3]
    assert [row["label"] for row in rows] == [str(label) for label in truth]
    assert Image.open(predicted.path / PICTURE).size[0] > 100
    assert "3 pictures" in (predicted.path / "results/logs/predict.log").read_text()


def test_they_are_made_on_demand(predicted: Checkout):
    assert predicted.planned_jobs(**DIGITS) == set()
    assert predicted.planned_jobs(**PREDICT) == set()
    assert planned(predicted) == set()
    assert "Nothing to be done" in predicted.finish("-n", "predict", **PREDICT).stdout


def test_without_the_key_a_sentence_says_what_to_give(digits_run: Checkout):
    for target in (TABLE, PICTURE, "predict"):
        ended = digits_run.snakemake("-n", target, **DIGITS)
        said = ended.stdout + ended.stderr
        assert ended.returncode == 1
        assert "there are no pictures to predict. Name a picture, a folder of pictures" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("name", ["gone", "gone.png"])
def test_a_missing_path_is_named(digits_run: Checkout, name: str):
    ended = digits_run.snakemake("-n", TABLE, **DIGITS, predict=name)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert f"the key predict names {name}, which cannot be read: No such file" in said
    assert "Traceback" not in said


def test_files_that_are_no_pictures_are_named_in_the_terminal_and_in_the_log(checkout: Checkout):
    (checkout.path / "my pictures/x.png").write_text("x")
    ended = checkout.snakemake(TABLE, **PREDICT)
    assert ended.returncode == 1
    assert "my pictures/x.png: it is" in ended.stderr
    assert "my pictures/x.png: it is" in (checkout.path / "results/logs/predict.log").read_text()
    assert not (checkout.path / TABLE).exists()
    (checkout.path / "my pictures/x.png").unlink()
    checkout.finish(TABLE, **PREDICT)


def test_time_stamps_and_a_moved_project_are_no_reason(checkout: Checkout):
    for path in (checkout.path / "my pictures").iterdir():
        os.utime(path)
    assert planned(checkout) == set()
    shutil.rmtree(checkout.path / ".snakemake")
    assert planned(checkout) == set()


def edit_a_picture(checkout: Checkout) -> None:
    shutil.copy(checkout.path / "my pictures/1.png", checkout.path / "my pictures/0.png")


def add_a_picture(checkout: Checkout) -> None:
    shutil.copy(checkout.path / "my pictures/1.png", checkout.path / "my pictures/9.png")


def remove_a_picture(checkout: Checkout) -> None:
    (checkout.path / "my pictures/1.png").unlink()


def edit_the_code(checkout: Checkout) -> None:
    with open(checkout.path / "workflow/scripts/image_workflow/inference/ink.py", "a") as file:
        file.write("# edited\n")


def edit_the_packages(checkout: Checkout) -> None:
    with open(checkout.path / "workflow/envs/predict.yaml", "a") as file:
        file.write("# edited\n")


def alter_the_table(checkout: Checkout) -> None:
    with open(checkout.path / TABLE, "a") as file:
        file.write("x\n")


def delete_the_picture(checkout: Checkout) -> None:
    (checkout.path / PICTURE).unlink()


@pytest.mark.parametrize(
    "change",
    [
        *(edit_a_picture, add_a_picture, remove_a_picture),
        *(edit_the_code, edit_the_packages, alter_the_table, delete_the_picture),
    ],
)
def test_a_change_makes_them_again_and_nothing_else(checkout: Checkout, change):
    change(checkout)
    # Snakemake has no notes of the run before, as after a copy of the project.
    shutil.rmtree(checkout.path / ".snakemake")
    assert planned(checkout) == {"predict"}
    others = checkout.finish("-n", **DIGITS)
    assert "Nothing to be done" in others.stdout + others.stderr
    assert "Out of date" not in others.stdout + others.stderr


def test_other_pictures_are_predicted_and_another_model_is_used(checkout: Checkout):
    shutil.copytree(checkout.path / "my pictures", checkout.path / "others")
    assert planned(checkout, predict="others") == {"predict"}
    array = "results/arrays/test-images.npy"
    assert planned(checkout, predict=array) == {"predict"}
    before = (checkout.path / TABLE).read_bytes()
    assert planned(checkout, regularization=100) == {"train", "predict"}
    checkout.finish(TABLE, **PREDICT, regularization=100)
    assert (checkout.path / TABLE).read_bytes() != before


def test_without_results_they_follow_from_the_download(digits_run: Checkout):
    found = digits_run.planned("-F", TABLE, **DIGITS, predict="results/arrays/test-images.npy")
    assert found.keys() == {"download", "parse", "describe", "train", "predict"}


def test_the_registered_version_gives_the_same_table(predicted: Checkout, tmp_path: Path):
    program = [sys.executable, "workflow/scripts/predict.py", "my pictures"]
    for reference in ("sklearn_digits", "sklearn_digits/1"):
        command = [*program, "--registered", reference, "--output", str(tmp_path / "p.csv")]
        subprocess.run(command, cwd=predicted.path, check=True, capture_output=True)
        assert (tmp_path / "p.csv").read_bytes() == (predicted.path / TABLE).read_bytes()
