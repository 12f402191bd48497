"""Test the sweep as a part of the workflow: the jobs that it needs, and its results."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from checkout import TOP, Checkout
from image_workflow.models.estimator import features
from image_workflow.models.sweep import held_out

RATES = [0.1, 0.5, 2, 10]
# The jobs that run again after a change of the rates.
OF_THE_MODEL = "train", "evaluate", "draw_confusion", "draw_mistakes", "draw_weights", "register"
RETRAINED = dict.fromkeys([*OF_THE_MODEL, "draw_sweep"], 1)


def read_sweep(checkout: Checkout) -> dict:
    return json.loads((checkout.path / "results/sweep.json").read_text())


def read_candidates(checkout: Checkout) -> dict[str, tuple[bytes, int]]:
    """Return the content and modification time of each candidate's file."""
    files = (checkout.path / "results/candidates").iterdir()
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def fitted_rates(checkout: Checkout) -> list[str]:
    """Return the rates that the training fitted, each once and in order."""
    log = (checkout.path / "results/logs/train.log").read_text()
    return list(dict.fromkeys(re.findall(r" rate (\S+), step ", log)))


# ---- A change of the rates -----------------------------------------------------------------


def test_added_rate_is_the_only_candidate_to_fit(finished: Checkout):
    before = read_candidates(finished)
    added = {"dataset": "digits", "regularization": [*RATES, 500]}
    assert finished.planned(**added) == RETRAINED
    finished.finish("results/model.pkl", **added)
    after = read_candidates(finished)
    assert after.keys() == before.keys() | {"500.json"}
    assert {name: after[name] for name in before} == before
    sweep = read_sweep(finished)
    assert [scored["regularization_rate"] for scored in sweep["candidates"]] == [*RATES, 500]
    assert fitted_rates(finished) == ["500", f"{sweep['regularization_rate']:g}"]


def test_removed_rates_leave_no_candidate_to_fit(finished: Checkout):
    before = read_candidates(finished)
    fewer = {"dataset": "digits", "regularization": "[0.5,10]"}
    assert finished.planned(**fewer) == RETRAINED
    finished.finish("results/model.pkl", **fewer)
    assert read_candidates(finished) == before
    sweep = read_sweep(finished)
    assert [scored["regularization_rate"] for scored in sweep["candidates"]] == [0.5, 10]
    assert fitted_rates(finished) == [f"{sweep['regularization_rate']:g}"]


def test_edit_of_the_training_code_refits_all_candidates(finished: Checkout):
    before = read_candidates(finished)
    module = finished.path / "workflow/scripts/image_workflow/newton/rows.py"
    with open(module, "a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    finished.finish("results/model.pkl", dataset="digits")
    after = read_candidates(finished)
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
def test_equal_rates_written_differently_run_nothing(digits_run: Checkout, rates):
    assert digits_run.planned(dataset="digits", regularization=rates) == {}


def test_list_on_the_command_line_equals_that_in_the_file(finished: Checkout):
    configuration = finished.path / "config/config.yaml"
    text = configuration.read_text().replace("[0.1, 0.5, 2, 10]", "[0.5, 2]")
    configuration.write_text(text)
    assert finished.planned(dataset="digits") == RETRAINED
    assert finished.planned(dataset="digits", regularization="[0.1,0.5,2,10]") == {}


def test_list_after_a_single_rate_retrains_for_any_target(checkout: Checkout):
    checkout.finish("results/metrics.json", dataset="digits", regularization=0.5)
    retrained = {"train": 1, "evaluate": 1}
    for rates, planned in ((0.5, {}), (2, retrained), ("[0.5,2]", retrained)):
        changed = {"dataset": "digits", "regularization": rates}
        assert checkout.planned("results/metrics.json", **changed) == planned


@pytest.mark.parametrize("rate", [0.1, [0.1], "[0.1,1e-1]"])
def test_single_rate_draws_no_sweep(checkout: Checkout, rate):
    planned = checkout.planned(dataset="digits", regularization=rate)
    assert planned == {
        "download": 2,
        "parse": 2,
        "describe": 1,
        "preview": 1,
        "draw_class_balance": 1,
        **dict.fromkeys(OF_THE_MODEL, 1),
    }


def test_best_rate_alone_gives_the_same_model(finished: Checkout):
    model = finished.path / "results/model.pkl"
    before = model.read_bytes()
    rate = read_sweep(finished)["regularization_rate"]
    assert 1 / rate == joblib.load(model).estimator.C
    model.unlink()
    finished.finish("results/model.pkl", dataset="digits", regularization=rate)
    assert model.read_bytes() == before
    assert fitted_rates(finished) == [f"{rate:g}"]


# ---- The results ---------------------------------------------------------------------------


def test_result_depends_only_on_training_set_and_settings(digits_run: Checkout, tmp_path: Path):
    """Train without the test set and without kept candidates, in another order, on one thread."""
    for name in ("train-images.npy", "train-labels.npy"):
        (tmp_path / name).write_bytes((digits_run.path / "results/arrays" / name).read_bytes())
    command = [sys.executable, TOP / "workflow/scripts/fit.py", "--data-folder", "."]
    command += ["--validation-fraction", "0.16667", "--seed", "42", "--threads", "1"]
    command += ["--regularization", "10", "0.1", "2", "0.5", "--output", "out/model.pkl"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["model.pkl", "sweep.json"]
    for name in ("sweep.json", "model.pkl"):
        expected = (digits_run.path / "results" / name).read_bytes()
        assert (tmp_path / "out" / name).read_bytes() == expected, name


def test_scores_of_the_digits_equal_those_of_scikit_learn(digits_run: Checkout):
    arrays = digits_run.path / "results/arrays"
    images, labels = (np.load(arrays / f"train-{kind}.npy") for kind in ("images", "labels"))
    mask = held_out(labels, 0.16667, seed=42)
    sweep = read_sweep(digits_run)
    assert (sweep["n_train"], sweep["n_validation"]) == (1197, 240)
    for scored in (sweep["candidates"][1], sweep["candidates"][-1]):
        rate = scored["regularization_rate"]
        binary = LogisticRegression(solver="liblinear", C=1 / rate, tol=1e-8, max_iter=10_000)
        model = OneVsRestClassifier(binary).fit(features(images[~mask]), labels[~mask])
        scores = [model.score(features(images[part]), labels[part]) for part in (~mask, mask)]
        assert list(scored.values()) == pytest.approx([rate, *scores], abs=1e-12)


def test_receipt_and_mlflow_run_contain_the_sweep(digits_run: Checkout):
    sweep, receipt = read_sweep(digits_run), digits_run.receipt()
    assert receipt["sweep"] == sweep
    assert [scored["regularization_rate"] for scored in sweep["candidates"]] == RATES
    best = max(scored["validation_accuracy"] for scored in sweep["candidates"])
    last = [scored for scored in sweep["candidates"] if scored["validation_accuracy"] == best][-1]
    rate = receipt["metrics"]["regularization_rate"]
    assert rate == sweep["regularization_rate"] == last["regularization_rate"]
    assert rate == float(receipt["parameters"]["regularization"])

    client = mlflow.MlflowClient(f"sqlite:///{digits_run.path}/registry/mlflow.db")
    run = client.get_run(receipt["run_id"])
    assert float(run.data.params["regularization"]) == rate
    logged = {artifact.path for artifact in client.list_artifacts(receipt["run_id"])}
    assert logged == {
        *("model.pkl", "dataset.json", "metrics.json", "sweep.json"),
        *("preview.png", "class_balance.png", "confusion.png", "mistakes.png", "weights.png"),
        "sweep.png",
    }
