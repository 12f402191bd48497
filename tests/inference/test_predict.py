"""Predict the classes of pictures with the model in results/."""

import csv
import importlib
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.svm import LinearSVC

from checkout import TOP
from digit_pictures import photograph
from image_workflow.conversion.unlabelled import read_unlabelled
from image_workflow.models.loading import classifier_of_results
from picture_checks import check_layout, words
from predict import draw
from results_in_use import IMAGES, LABELS, NAMES, write_results

PROGRAM = TOP / "workflow/scripts/predict.py"
PLACES = [f"{kind}_{place}" for place in (1, 2, 3) for kind in ("class", "probability")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results/, with a folder of 10 pictures, and with their array."""
    folder = tmp_path_factory.mktemp("my project")
    write_results(folder / "results", LogisticRegression(max_iter=200))
    (folder / "pictures/more").mkdir(parents=True)
    for digit in range(10):
        enlarged = Image.fromarray(255 - IMAGES[digit]).resize((160, 160), Image.Resampling.BICUBIC)
        sheet = Image.new("L", (200, 240), 255)
        sheet.paste(enlarged, (20, 30))
        sheet.save(folder / ("pictures/more" if digit > 7 else "pictures") / f"{digit} é.png")
    np.save(folder / "test.npy", IMAGES[-360:])
    return folder


def predict(folder: Path, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess:
    """Run predict.py in a folder, and check its exit code."""
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def table(path: Path) -> list[dict]:
    """Return the rows of a CSV file."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---- What it answers -----------------------------------------------------------------------


def test_a_line_for_each_picture_without_any_option(project: Path):
    ended = predict(project, "pictures", "test.npy")
    lines = ended.stdout.splitlines()
    assert len(lines) == 370 and ended.stderr == ""
    assert [line.split(": ")[0] for line in lines[:10]] == [
        *(f"pictures/{digit} é.png" for digit in range(8)),
        *(f"pictures/more/{digit} é.png" for digit in (8, 9)),
    ]
    labels = [line.split(": ")[1].split("  (")[0] for line in lines[:10]]
    assert sum(label == name for label, name in zip(labels, NAMES, strict=True)) >= 8
    assert lines[-1].startswith("test.npy[359]: ")
    first, second, third = lines[0].split("  (")[1].rstrip(")").split(", ")
    shares = [float(text.split()[1].rstrip("%")) for text in (first, second, third)]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.1


def test_an_array_has_the_models_own_answers(project: Path, tmp_path: Path):
    predict(project, "test.npy", "--output", tmp_path / "new/predictions.csv")
    rows = table(tmp_path / "new/predictions.csv")
    model = pickle.loads(pickle.dumps(classifier_of_results(project / "results", None))).pipeline[
        -1
    ]
    pixels = IMAGES[-360:].reshape(-1, 64) / 255
    assert [row["label"] for row in rows] == [NAMES[label] for label in model.predict(pixels)]
    probabilities = np.sort(model.predict_proba(pixels), axis=1)[:, ::-1]
    for place in (1, 2, 3):
        found = [float(row[f"probability_{place}"]) for row in rows]
        np.testing.assert_allclose(found, probabilities[:, place - 1], rtol=1e-5)
    assert list(rows[0]) == ["file", "label", *PLACES]


def test_the_picture_shows_what_the_model_saw(project: Path):
    classifier = classifier_of_results(project / "results", None)
    few = read_unlabelled([str(project / "pictures")], classifier, False, 1)
    figure = draw(few, classifier.predict(few.images))
    check_layout(figure)
    labels = [text for text in words(figure) if text.startswith("→ ")]
    assert labels == [f"→ {label}" for label in classifier.predict(few.images).labels]
    assert "3 é.png" in words(figure)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert np.array_equal(shown, few.images)


def test_of_many_pictures_the_first_hundred_are_shown(project: Path):
    classifier = classifier_of_results(project / "results", None)
    many = read_unlabelled([str(project / "test.npy")], classifier, False, 1)
    figure = draw(many, classifier.predict(many.images))
    check_layout(figure)
    assert len(figure.axes[0].images) == 100
    assert words(figure)[0].startswith("The first 100 of 360 pictures")


@pytest.mark.parametrize(
    "estimator", [RidgeClassifier(), LinearSVC(max_iter=50)], ids=["ridge", "svc"]
)
@pytest.mark.filterwarnings("ignore:Liblinear failed")
def test_without_probabilities_their_cells_are_empty(tmp_path: Path, estimator):
    write_results(tmp_path / "results", estimator)
    np.save(tmp_path / "some.npy", IMAGES[:5])
    said = predict(tmp_path, "some.npy").stdout.splitlines()
    assert said[0] == "some.npy[0]: zero"
    predict(tmp_path, "some.npy", "--output", "p.csv", "--picture", "p.png")
    rows = table(tmp_path / "p.csv")
    assert [row["label"] for row in rows] == NAMES[:5]
    assert {row[name] for row in rows for name in PLACES} == {""}


def test_ten_thousand_images_take_seconds(project: Path, tmp_path: Path):
    np.save(tmp_path / "many.npy", np.tile(IMAGES, (6, 1, 1))[:10_000])
    began = time.monotonic()
    predict(project, tmp_path / "many.npy", "--output", tmp_path / "p.csv")
    assert time.monotonic() - began < 60  # 3 s on a machine that has nothing else to do
    assert len(table(tmp_path / "p.csv")) == 10_000


def test_the_number_of_threads_changes_nothing(tmp_path: Path, project: Path):
    for number in range(8):
        photograph(number, np.random.default_rng(number)).save(tmp_path / f"{number}.jpg")
    classifier = classifier_of_results(project / "results", None)
    one, many = (read_unlabelled([str(tmp_path)], classifier, False, count) for count in (1, 6))
    assert one.names == many.names
    assert np.array_equal(one.images, many.images)


# ---- Files that it cannot read -------------------------------------------------------------


@pytest.fixture
def odd(project: Path, tmp_path: Path) -> Path:
    """A folder with a picture, and files that are none."""
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(project / "pictures/3 é.png", folder / "3.png")
    (folder / "cut.png").write_bytes((folder / "3.png").read_bytes()[:500])
    (folder / "notes.txt").write_text("notes")
    (folder / "page.jpg").write_text("<!DOCTYPE html><html>")
    Image.new("L", (50, 50), 255).save(folder / "white.png")
    np.save(folder / "floats.npy", IMAGES[:2] / 255)
    np.save(folder / "large.npy", np.zeros((2, 28, 28), np.uint8))
    np.save(folder / "objects.npy", np.array([{}], object))
    return folder


def test_all_files_that_cannot_be_read_are_named_and_nothing_is_written(project: Path, odd: Path):
    options = "--output", odd / "p.csv", "--picture", odd / "p.png"
    said = predict(project, odd, odd / "gone.png", *options, code=1).stderr
    assert said.startswith("predict.py: expected only pictures, found 8 other file(s):\n")
    for name, reason in {
        "cut.png": "the picture cannot be read: image file is truncated",
        "floats.npy": "found the element type float64",
        "gone.png": "No such file or directory",
        "large.npy": "found the shape (2, 28, 28)",
        "notes.txt": "its name does not end in .bmp",
        "objects.npy": "contains Python objects, which are not loaded",
        "page.jpg": "it is",
        "white.png": "no digit was found",
    }.items():
        assert any(f"{name}: " in line and reason in line for line in said.splitlines()), name
    assert "--skip-unreadable" in said
    assert not list(odd.glob("p.*")) and not list(odd.glob(".p.*"))


def test_they_are_left_out_if_the_user_says_so(project: Path, odd: Path):
    ended = predict(project, odd, "--skip-unreadable", "--output", odd / "p.csv")
    assert [row["file"] for row in table(odd / "p.csv")] == [str(odd / "3.png")]
    assert ended.stderr.count("left out ") == 7


def test_if_nothing_is_left_nothing_is_written(project: Path, odd: Path):
    said = predict(project, odd / "page.jpg", "--skip-unreadable", code=1).stderr
    assert "found 1 other file(s)" in said


def test_a_folder_without_files_and_a_pipe_are_refused(project: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert "the folder has no files" in predict(project, tmp_path / "empty", code=1).stderr
    os.mkfifo(tmp_path / "pipe.png")
    assert "it is a device, a pipe" in predict(project, tmp_path / "pipe.png", code=1).stderr


# ---- The model -----------------------------------------------------------------------------


def test_a_model_that_was_swapped_is_not_loaded(project: Path, tmp_path: Path):
    shutil.copytree(project / "results", tmp_path / "results")
    with open(tmp_path / "results/model.pkl", "ab") as file:
        file.write(b"0")
    said = predict(tmp_path, project / "test.npy", code=1).stderr
    assert "is not the model of our training, and is not loaded" in said


@pytest.mark.parametrize("name", ["model.pkl", "training.json", "dataset.json"])
def test_a_missing_file_of_the_model_is_named_with_what_to_do(
    project: Path, tmp_path: Path, name: str
):
    shutil.copytree(project / "results", tmp_path / "mine")
    (tmp_path / "mine" / name).unlink()
    said = predict(tmp_path, project / "test.npy", "--model", "mine", code=1).stderr
    assert f"mine/{name} is missing" in said and "Run snakemake results/model.pkl" in said


def test_a_description_of_other_images_is_refused(tmp_path: Path, project: Path):
    write_results(tmp_path / "results", RidgeClassifier(), rows=28, columns=28)
    np.save(tmp_path / "some.npy", np.zeros((1, 28, 28), np.uint8))
    said = predict(tmp_path, "some.npy", code=1).stderr
    assert "takes 64 pixels and knows 10 classes, but the images" in said


OWN = """
from sklearn.linear_model import LogisticRegression

class Mine(LogisticRegression):
    pass
"""


def test_an_own_estimator_needs_the_folder_of_its_file(tmp_path: Path, monkeypatch):
    (tmp_path / "my models").mkdir()
    (tmp_path / "my models/my_own_model.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "my models")
    module = importlib.import_module("my_own_model")
    write_results(tmp_path / "results", module.Mine(max_iter=100))
    np.save(tmp_path / "some.npy", IMAGES[:5])
    said = predict(tmp_path, "some.npy", code=1).stderr
    assert "No module named 'my_own_model'" in said and "--estimator-folder" in said
    said = predict(tmp_path, "some.npy", "--estimator-folder", "my models").stdout
    assert said.count("\n") == 5


FAULTY = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

class NothingFitted(ClassifierMixin, BaseEstimator):
    def fit(self, rows, labels):
        return self

    def predict(self, rows):
        return np.zeros(len(rows), int)

class OtherProbabilities(NothingFitted):
    def predict_proba(self, rows):
        return np.ones(len(rows))

class NoProbabilities(NothingFitted):
    def predict_proba(self, rows):
        raise ValueError("no idea")

class Failing(NothingFitted):
    def predict(self, rows):
        raise ValueError("no idea")

class Unknown(Failing):
    def predict(self, rows):
        return np.full(len(rows), 77)
"""


def write_faulty(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Write the results of one of these classes, and images to predict."""
    (folder / "faulty_models.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module("faulty_models")
    write_results(folder / "results", getattr(module, name)())
    monkeypatch.delitem(sys.modules, "faulty_models")
    np.save(folder / "some.npy", IMAGES[:5])


@pytest.mark.parametrize("name", ["NothingFitted", "OtherProbabilities", "NoProbabilities"])
def test_an_own_estimator_that_has_only_predict_gives_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    write_faulty(tmp_path, monkeypatch, name)
    ended = predict(tmp_path, "some.npy", "--estimator-folder", ".")
    assert [line.split(": ")[1] for line in ended.stdout.splitlines()] == NAMES[:1] * 5
    assert ("predict_proba is not used" in ended.stderr) == (name != "NothingFitted")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Failing", "the model's predict failed on 5 images: ValueError: no idea."),
        ("Unknown", "the model's predict failed on 5 images: KeyError: 77"),
    ],
)
def test_an_own_estimator_that_fails_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
):
    write_faulty(tmp_path, monkeypatch, name)
    assert message in predict(tmp_path, "some.npy", "--estimator-folder", ".", code=1).stderr


def test_labels_are_right_for_whole_pictures_of_own_classes(tmp_path: Path):
    """A folder's import is repeated as dataset.json says."""
    write_results(tmp_path / "results", LogisticRegression(max_iter=200), prepare="fit")
    for digit in range(3):
        Image.fromarray(255 - IMAGES[digit]).save(tmp_path / f"{digit}.png")
    Image.new("L", (30, 30), 255).save(tmp_path / "white.png")
    assert "there is nothing in the picture" in predict(tmp_path, "white.png", code=1).stderr
    said = predict(tmp_path, "0.png", "1.png", "2.png").stdout.splitlines()
    assert [line.split(": ")[1].split()[0] for line in said] == NAMES[:3]
    assert LABELS[:3].tolist() == [0, 1, 2]
