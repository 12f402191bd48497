"""Choosing the regularization rate: each candidate is fitted once, and the best one is trained."""

import json
import logging
import os
import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

import draw_sweep
from checkout import TOP, Checkout
from lib.files import write_json
from lib.model import features
from lib.solvers import SOLVERS
from lib.sweep import Candidates, held_out, sweep, text
from samples import SETS, labelled_images

RATES = [0.1, 0.5, 2, 10]
# What another choice runs again, and the same one of other candidates.
RETRAINED = {"train": 1, "draw_sweep": 1, "evaluate": 1, "register": 1}


def candidate(rate: float, validation: float, train: float = 1.0) -> dict:
    return {
        "regularization_rate": rate,
        "train_accuracy": train,
        "validation_accuracy": validation,
    }


def chosen(*candidates: dict, folder: Path) -> dict:
    """Return what is chosen of candidates that were scored before."""
    kept = Candidates(folder, "the same")
    for one in candidates:
        kept.keep(one["regularization_rate"], one)
    rates = [one["regularization_rate"] for one in candidates]
    return sweep(*SETS["ten classes"], rates, 0.25, "newton", 42, 1, kept)


# ---- The choice ----------------------------------------------------------------------------


def test_the_best_on_the_images_held_out_is_chosen(tmp_path: Path):
    tried = candidate(1, 0.8, 0.99), candidate(2, 0.9, 0.7), candidate(3, 0.85)
    found = chosen(*tried, folder=tmp_path)
    assert found["regularization_rate"] == 2
    assert list(found) == ["regularization_rate", "n_train", "n_validation", "candidates"]
    assert found["candidates"] == list(tried)


def test_of_equal_ones_the_stronger_regularization_is_chosen(tmp_path: Path):
    tried = candidate(0.1, 0.9), candidate(10, 0.9), candidate(2, 0.9), candidate(50, 0.8)
    assert chosen(*tried, folder=tmp_path)["regularization_rate"] == 10


def test_candidates_are_sorted_whatever_their_order(tmp_path: Path):
    tried = [candidate(rate, 0.9) for rate in (0.1, 0.5, 2, 10, 100)]
    expected = chosen(*tried, folder=tmp_path)
    assert expected["candidates"] == tried
    assert chosen(*tried[::-1], folder=tmp_path) == expected
    assert chosen(*tried[2:], *tried[:2], folder=tmp_path) == expected


@pytest.mark.parametrize("solver", SOLVERS)
def test_scores_are_those_on_the_part_that_was_fitted_and_on_the_other(solver: str):
    images, labels = labelled_images(400, 6, 6, classes=list(range(8)))
    found = sweep(images, labels, [3, 500], 0.25, solver, 42, 2, Candidates(None))
    mask = held_out(labels, 0.25, 42)
    assert (found["n_train"], found["n_validation"]) == ((~mask).sum(), mask.sum())
    for one in found["candidates"]:
        rate = one["regularization_rate"]
        binary = LogisticRegression(solver="liblinear", C=1 / rate, tol=1e-8, max_iter=10_000)
        model = OneVsRestClassifier(binary).fit(features(images[~mask]), labels[~mask])
        for part, where in (("train", ~mask), ("validation", mask)):
            score = model.score(features(images[where]), labels[where])
            assert one[f"{part}_accuracy"] == pytest.approx(score, abs=1e-12)
        assert one["train_accuracy"] != one["validation_accuracy"]


def test_no_candidate_depends_on_another(caplog: pytest.LogCaptureFixture):
    """To the last digit of each step that is logged, near rate 1 and far from it."""
    caplog.set_level(logging.INFO, "workflow")

    def steps(*rates: float) -> dict[float, list[str]]:
        caplog.clear()
        sweep(*SETS["ten classes"], list(rates), 0.25, "newton", 42, 1, Candidates(None))
        lines = [re.sub(r", \S+ s$", "", line) for line in caplog.messages]
        found = {rate: [x for x in lines if x.startswith(f"rate {rate:g}, ")] for rate in rates}
        assert all(found.values())
        return found

    together = steps(0.001, 0.06, 0.5, 2, 19, 300)
    for rate, lines in together.items():
        assert steps(rate)[rate] == lines


@pytest.mark.parametrize(
    ("rate", "name"), [(2, "2"), (2.0, "2"), (0.5, "0.5"), (1e-5, "1e-05"), (1e6, "1000000")]
)
def test_equal_rates_have_one_file(rate: float, name: str):
    assert text(rate) == name


# ---- The picture ---------------------------------------------------------------------------


TRIED = candidate(1e-3, 0.7, 0.99), candidate(0.5, 0.9, 0.95), candidate(2000, 0.6, 0.65)
SWEEP = {"regularization_rate": 0.5, "n_train": 5000, "n_validation": 1000, "candidates": TRIED}


def test_the_picture_has_one_point_a_rate():
    (axes,) = draw_sweep.draw(SWEEP).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {
        "training part, 5,000 images": [[1e-3, 0.99], [0.5, 0.95], [2000, 0.65]],
        "validation part, 1,000 images": [[1e-3, 0.7], [0.5, 0.9], [2000, 0.6]],
        "chosen: 0.5": [[0.5, 0.9]],
    }
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)


@pytest.mark.parametrize("rates", [[1e-3, 0.5, 2000], [0.5, 0.8]])
def test_rates_stand_on_a_logarithmic_axis_as_they_were_given(rates: list[float]):
    tried = [candidate(rate, 0.9) for rate in rates]
    (axes,) = draw_sweep.draw(SWEEP | {"regularization_rate": 0.5, "candidates": tried}).axes
    axes.figure.canvas.draw()
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == rates
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"{rate:g}" for rate in rates]
    assert not any(tick.get_text() for tick in axes.get_xticklabels(minor=True))
    assert all(tick.get_text().endswith("%") for tick in axes.get_yticklabels())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("regularization rate", "accuracy")


def test_the_bytes_of_the_picture_depend_on_the_sweep_alone(tmp_path: Path):
    def png(sweep: dict) -> bytes:
        write_json(tmp_path / "sweep.json", sweep)
        paths = {"sweep": tmp_path / "sweep.json", "output": tmp_path / "sweep.png"}
        options = Namespace(**paths, record=None)
        draw_sweep.main(options)
        return options.output.read_bytes()

    first = png(SWEEP)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png(SWEEP) == first
    assert png(SWEEP | {"regularization_rate": 2000}) != first


# ---- The workflow --------------------------------------------------------------------------


def sweep_of(checkout: Checkout) -> dict:
    return json.loads((checkout.path / "results/sweep.json").read_text())


def candidates_of(checkout: Checkout) -> dict[str, tuple[bytes, int]]:
    """Return content and time of each candidate's file."""
    files = (checkout.path / "results/candidates").iterdir()
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def fitted(checkout: Checkout) -> list[str]:
    """Return the rates that the training fitted, each once and in order."""
    log = (checkout.path / "results/logs/train.log").read_text()
    return list(dict.fromkeys(re.findall(r" rate (\S+), step ", log)))


def test_one_rate_more_is_one_fit_more(finished: Checkout):
    before = candidates_of(finished)
    more = {"dataset": "digits", "regularization": [*RATES, 500]}
    assert finished.planned(**more) == RETRAINED
    finished.finish("results/model.pkl", **more)
    after = candidates_of(finished)
    assert after.keys() == before.keys() | {"500.json"}
    assert {name: after[name] for name in before} == before
    assert [one["regularization_rate"] for one in sweep_of(finished)["candidates"]] == [*RATES, 500]
    assert fitted(finished) == ["500", f"{sweep_of(finished)['regularization_rate']:g}"]


def test_a_rate_less_fits_no_candidate(finished: Checkout):
    before = candidates_of(finished)
    fewer = {"dataset": "digits", "regularization": "[0.5,10]"}
    assert finished.planned(**fewer) == RETRAINED
    finished.finish("results/model.pkl", **fewer)
    assert candidates_of(finished) == before
    assert [one["regularization_rate"] for one in sweep_of(finished)["candidates"]] == [0.5, 10]
    assert fitted(finished) == [f"{sweep_of(finished)['regularization_rate']:g}"]


def test_an_edit_of_the_training_fits_every_candidate(finished: Checkout):
    before = candidates_of(finished)
    with open(finished.path / "workflow/scripts/lib/newton/rows.py", "a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    finished.finish("results/model.pkl", dataset="digits")
    after = candidates_of(finished)
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


@pytest.mark.parametrize(
    "rates",
    [
        [10, 2, 0.5, 0.1],
        [0.1, 0.5, 2.0, 10.0],
        [0.1, 0.1, 0.5, 2, 2.0, 10],
        "[1e-1,5e-1,2e0,1e1]",
    ],
)
def test_the_same_rates_run_nothing(digits_run: Checkout, rates):
    assert digits_run.planned(dataset="digits", regularization=rates) == {}


def test_a_list_in_the_file_is_one_on_the_command_line(finished: Checkout):
    settings = finished.path / "config/config.yaml"
    text = settings.read_text().replace("[0.1, 0.5, 2, 10]", "[0.5, 2]")
    settings.write_text(text)
    assert finished.planned(dataset="digits") == RETRAINED
    assert finished.planned(dataset="digits", regularization="[0.1,0.5,2,10]") == {}


def test_a_list_after_a_single_rate_trains_anew_whatever_is_asked_for(checkout: Checkout):
    checkout.finish("results/metrics.json", dataset="digits", regularization=0.5)
    retrained = {"train": 1, "evaluate": 1}
    for rates, planned in ((0.5, {}), (2, retrained), ("[0.5,2]", retrained)):
        asked = {"dataset": "digits", "regularization": rates}
        assert checkout.planned("results/metrics.json", **asked) == planned


@pytest.mark.parametrize("rate", [0.1, [0.1], "[0.1,1e-1]"])
def test_a_single_rate_needs_no_sweep(checkout: Checkout, rate):
    planned = checkout.planned(dataset="digits", regularization=rate)
    model = {"train": 1, "evaluate": 1, "register": 1}
    assert planned == {"download": 2, "parse": 2, "preview": 1} | model


def test_the_best_rate_given_alone_makes_the_same_model(finished: Checkout):
    model = finished.path / "results/model.pkl"
    before = model.read_bytes()
    rate = sweep_of(finished)["regularization_rate"]
    assert 1 / rate == joblib.load(model).estimator.C
    model.unlink()
    finished.finish("results/model.pkl", dataset="digits", regularization=rate)
    assert model.read_bytes() == before
    assert fitted(finished) == [f"{rate:g}"]


def test_the_test_set_has_no_part_in_the_choice(digits_run: Checkout, tmp_path: Path):
    """Neither has the number of threads, the order of the rates, or what was tried before."""
    for name in ("train-images.npy", "train-labels.npy"):
        (tmp_path / name).write_bytes((digits_run.path / "results/arrays" / name).read_bytes())
    command = [sys.executable, TOP / "workflow/scripts/train.py", "--data-folder", "."]
    command += ["--validation-fraction", "0.16667", "--seed", "42", "--threads", "1"]
    command += ["--regularization", "10", "0.1", "2", "0.5", "--output", "out/model.pkl"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["model.pkl", "sweep.json"]
    for name in ("sweep.json", "model.pkl"):
        ours = (digits_run.path / "results" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == ours, name


def test_the_scores_are_those_of_scikit_learns_own(digits_run: Checkout):
    arrays = digits_run.path / "results/arrays"
    images, labels = (np.load(arrays / f"train-{kind}.npy") for kind in ("images", "labels"))
    mask = held_out(labels, 0.16667, seed=42)
    found = sweep_of(digits_run)
    assert (found["n_train"], found["n_validation"]) == (1197, 240)
    for one in (found["candidates"][1], found["candidates"][-1]):
        rate = one["regularization_rate"]
        binary = LogisticRegression(solver="liblinear", C=1 / rate, tol=1e-8, max_iter=10_000)
        model = OneVsRestClassifier(binary).fit(features(images[~mask]), labels[~mask])
        scores = [model.score(features(images[of]), labels[of]) for of in (~mask, mask)]
        assert list(one.values()) == pytest.approx([rate, *scores], abs=1e-12)


# ---- What is registered --------------------------------------------------------------------


def test_the_receipt_and_the_run_tell_how_the_rate_was_chosen(digits_run: Checkout):
    found, receipt = sweep_of(digits_run), digits_run.receipt()
    assert receipt["sweep"] == found
    assert [one["regularization_rate"] for one in found["candidates"]] == RATES
    best = max(one["validation_accuracy"] for one in found["candidates"])
    last = [one for one in found["candidates"] if one["validation_accuracy"] == best][-1]
    rate = receipt["metrics"]["regularization_rate"]
    assert rate == found["regularization_rate"] == last["regularization_rate"]
    assert rate == float(receipt["parameters"]["regularization"])

    client = mlflow.MlflowClient(f"sqlite:///{digits_run.path}/registry/mlflow.db")
    run = client.get_run(receipt["run_id"])
    assert float(run.data.params["regularization"]) == rate
    logged = {found.path for found in client.list_artifacts(receipt["run_id"])}
    assert logged == {"model.pkl", "metrics.json", "preview.png", "sweep.json", "sweep.png"}
