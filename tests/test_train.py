"""The training script: the same bytes for any number of threads, alone or after a sweep."""

import fcntl
import json
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import train
from checkout import TOP
from lib.command import UserError
from lib.model import features
from lib.solvers import SOLVERS
from samples import SETS, labelled_images


def trained(folder: Path, images: np.ndarray, labels: np.ndarray, **changes) -> bytes:
    """Train as the rule does and return the bytes of the model's file."""
    data = folder / "data" / "anywhere"
    data.mkdir(parents=True, exist_ok=True)
    np.save(data / "train-images.npy", images)
    np.save(data / "train-labels.npy", labels)
    options = Namespace(
        data_folder=folder / "data",
        regularization=[0.5],
        validation_fraction=0.25,
        candidates=None,
        solver="liblinear",
        seed=42,
        threads=1,
        output=folder / "outputs" / "model.pkl",
    )
    vars(options).update(changes)
    train.main(options)
    made = {path.name for path in options.output.parent.iterdir()}
    assert made == {"model.pkl", "sweep.json"}
    return options.output.read_bytes()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_bytes_of_the_model_do_not_depend_on_the_threads(
    tmp_path: Path, name: str, solver: str
):
    one, two = (
        trained(tmp_path, *SETS[name], threads=threads, solver=solver) for threads in (1, 2)
    )
    assert one == two


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_bytes_are_the_same_from_processes_with_other_threads(tmp_path: Path, solver: str):
    trained(tmp_path, *SETS["ten classes"])
    for threads in ("1", "2"):
        command = [sys.executable, TOP / "workflow/scripts/train.py", "--data-folder", "data"]
        options = ["--regularization", "0.5", "--threads", threads, "--output", f"{threads}.pkl"]
        subprocess.run([*command, *options, "--solver", solver], cwd=tmp_path, check=True)
    one, two = ((tmp_path / f"{threads}.pkl").read_bytes() for threads in "12")
    assert one == two


def test_the_bytes_of_the_model_depend_on_rate_and_seed(tmp_path: Path):
    images = SETS["two classes"]
    models = [
        trained(tmp_path, *images),
        trained(tmp_path, *images, regularization=[0.8]),
        trained(tmp_path, *images, seed=7),
    ]
    assert len(set(models)) == 3


def test_the_model_needs_only_scikit_learn_and_joblib(tmp_path: Path):
    images, labels = SETS["three classes"]
    trained(tmp_path, images, labels)
    np.save(tmp_path / "pixels.npy", features(images))
    use = (
        "import joblib, numpy, sys;"
        "model = joblib.load('outputs/model.pkl');"
        "assert not {'lib', 'train'} & set(sys.modules), 'our code was loaded';"
        "assert type(model).__module__ == 'sklearn.multiclass';"
        "numpy.save('predicted.npy', model.predict(numpy.load('pixels.npy')))"
    )
    subprocess.run([sys.executable, "-I", "-c", use], cwd=tmp_path, check=True)
    predicted = np.load(tmp_path / "predicted.npy")
    assert predicted.shape == labels.shape
    assert set(predicted) <= set(labels)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_above_0_is_refused(tmp_path: Path, rate: float):
    with pytest.raises(UserError, match=rf"--regularization must be above 0, found {rate}\."):
        trained(tmp_path, *SETS["two classes"], regularization=[0.5, rate])


@pytest.mark.parametrize("missing", ["train-images.npy", "train-labels.npy"])
def test_a_folder_without_the_training_set_is_named(tmp_path: Path, missing: str):
    for name in {"train-images.npy", "train-labels.npy"} - {missing}:
        np.save(tmp_path / name, np.zeros(1))
    with pytest.raises(UserError) as refused:
        train.load_training_set(tmp_path)
    assert str(refused.value) == f"expected {missing} in the data folder {tmp_path}, found none."


# ---- Several rates -------------------------------------------------------------------------


RATES = [0.5, 20, 3000]


def swept(folder: Path, rates: list, **changes) -> tuple[dict, bytes]:
    """Train at the best of several rates; return sweep.json and the bytes of the model."""
    model = trained(folder, *SETS["ten classes"], regularization=rates, **changes)
    return json.loads((folder / "outputs/sweep.json").read_text()), model


@pytest.mark.parametrize("solver", SOLVERS)
def test_of_several_rates_the_best_is_trained_on_all_images(tmp_path: Path, solver: str):
    sweep, model = swept(tmp_path, RATES[::-1], solver=solver)
    assert [one["regularization_rate"] for one in sweep["candidates"]] == RATES
    shares = [one["validation_accuracy"] for one in sweep["candidates"]]
    assert len(set(shares)) > 1, "the rates have to differ for the test to tell anything"
    best = max(zip(shares, RATES, strict=True))[1]
    assert sweep["regularization_rate"] == best
    assert sweep["n_train"] + sweep["n_validation"] == 300
    alone = trained(tmp_path / "alone", *SETS["ten classes"], regularization=[best], solver=solver)
    assert model == alone


def test_the_order_of_the_rates_and_the_threads_change_nothing(tmp_path: Path):
    expected = swept(tmp_path / "one", RATES)
    assert swept(tmp_path / "other", [20, 3000, 0.5], threads=2) == expected


def test_the_share_that_is_held_out_can_be_chosen(tmp_path: Path):
    sweep, _ = swept(tmp_path, RATES, validation_fraction=0.5)
    assert 140 <= sweep["n_validation"] <= 150


def kept(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of the file of each candidate."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_what_was_tried_is_not_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "workflow")
    folder = tmp_path / "candidates"
    expected = swept(tmp_path / "at once", [*RATES, 7])
    swept(tmp_path, RATES, candidates=folder)
    before = kept(folder)
    assert before.keys() == {"0.5.json", "20.json", "3000.json"}
    caplog.clear()
    assert swept(tmp_path, [*RATES, 7], candidates=folder) == expected
    assert "4 rates to compare on 75 of 300 images, 3 of them as before" in caplog.messages
    after = kept(folder)
    assert after.keys() == before.keys() | {"7.json"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    "changed", [{"seed": 7}, {"validation_fraction": 0.3}, {"solver": "newton"}]
)
def test_what_was_tried_otherwise_is_tried_again(tmp_path: Path, changed: dict):
    folder = tmp_path / "candidates"
    swept(tmp_path, RATES, candidates=folder)
    before = kept(folder)
    found = swept(tmp_path, RATES, candidates=folder, **changed)
    assert found == swept(tmp_path / "afresh", RATES, **changed)
    after = kept(folder)
    assert after.keys() == before.keys()
    assert not set(before.values()) & set(after.values())


def test_other_images_are_tried_afresh(tmp_path: Path):
    folder = tmp_path / "candidates"
    how = {"regularization": RATES, "candidates": folder}
    trained(tmp_path, *SETS["ten classes"], **how)
    before = kept(folder)
    images, labels = SETS["ten classes"]
    trained(tmp_path, images, np.roll(labels, 1), **how)
    assert not set(before.values()) & set(kept(folder).values())


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"candidate": {}}'])
def test_a_damaged_candidate_is_tried_again(tmp_path: Path, content: bytes):
    folder = tmp_path / "candidates"
    expected = swept(tmp_path, RATES, candidates=folder)
    before = {name: of for name, (of, _) in kept(folder).items()}
    (folder / "20.json").write_bytes(content)
    assert swept(tmp_path, RATES, candidates=folder) == expected
    assert {name: of for name, (of, _) in kept(folder).items()} == before


# ---- The bar -------------------------------------------------------------------------------


def training_command(folder: Path) -> list[str]:
    """Write a data set that takes a moment to train on; return the command that does."""
    images, labels = labelled_images(6000, 16, 16, classes=list(range(8)))
    (folder / "data").mkdir()
    np.save(folder / "data/train-images.npy", images)
    np.save(folder / "data/train-labels.npy", labels)
    command = [sys.executable, str(TOP / "workflow/scripts/train.py"), "--data-folder", "data"]
    return [*command, "--regularization", "0.5", "2", "--output", "model.pkl", "--log", "train.log"]


def on_a_terminal(command: list[str], folder: Path) -> str:
    """Run a command whose stdout and stderr are a terminal; return what is written to it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(command, cwd=folder, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # how Linux says that nobody has the terminal open any more
                break
            if not part:
                break
            written += part
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()


def logged(folder: Path) -> list[str]:
    """Return the lines of the log file, without their time stamps."""
    return [line.split(" ", 2)[2] for line in (folder / "train.log").read_text().splitlines()]


def without_seconds(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d s$", "", line) for line in lines]


def test_on_a_terminal_a_bar_shows_how_far_the_fit_is(tmp_path: Path):
    written = on_a_terminal(training_command(tmp_path), tmp_path)
    for rate in ("0.5", "2"):
        shown = [int(share) for share in re.findall(rf"rate {rate}: +(\d+)%\|", written)]
        assert 50 < max(shown) <= 100
    # A terminal shows what was written last between two carriage returns: no line is mixed up
    # with the bar, and none of the bar is left.
    lines = [line.rstrip("\r").split("\r")[-1] for line in written.split("\n")]
    assert [line for line in lines if line.strip()] == logged(tmp_path)
    assert re.search(r"\r *\r$", written) or written.endswith("\n")


def test_elsewhere_there_are_plain_lines_alone(tmp_path: Path):
    command = training_command(tmp_path)
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert ended.stdout == b""
    assert b"\r" not in ended.stderr
    assert b"%" not in ended.stderr
    said = ended.stderr.decode().splitlines()
    assert said == logged(tmp_path)
    assert [line for line in said if line.startswith("rate 0.5, step 1: ")]
    # The same lines as on a terminal.
    on_a_terminal(command, tmp_path)
    assert without_seconds(logged(tmp_path)) == without_seconds(said)
