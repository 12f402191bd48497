"""Test the choice among several regularization rates: models/sweep.py."""

import logging
import re
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from image_workflow.lineage.results import RATE, Candidate, Sweep
from image_workflow.models.estimator import features
from image_workflow.models.settings import SOLVER_NAMES, TrainingSettings
from image_workflow.models.sweep import Candidates, file_name, held_out, sweep
from samples import SETS, labelled_images
from training import training_settings


def settings(rates: list[float], solver: str = "newton") -> TrainingSettings:
    return training_settings(regularization=rates, solver=solver)


def candidate(rate: float, validation: float, train: float = 1.0) -> Candidate:
    return Candidate({RATE: rate}, train_accuracy=train, validation_accuracy=validation)


def choose(*candidates: Candidate, folder: Path) -> Sweep:
    """Keep the scores of candidates as an earlier call would, and return the sweep over them."""
    kept = Candidates(folder, "fingerprint")
    for one in candidates:
        kept.keep(one)
    rates = [one.parameters[RATE] for one in candidates]
    return sweep(*SETS["ten classes"], settings(rates), threads=1, kept=kept)


# ---- The choice ----------------------------------------------------------------------------


def test_sweep_chooses_the_best_validation_accuracy(tmp_path: Path):
    candidates = candidate(1, 0.8, 0.99), candidate(2, 0.9, 0.7), candidate(3, 0.85)
    found = choose(*candidates, folder=tmp_path)
    assert found.parameters == {RATE: 2}
    assert list(found.to_json()) == [RATE, "n_train", "n_validation", "candidates"]
    assert found.candidates == list(candidates)


def test_sweep_chooses_the_stronger_regularization_among_equals(tmp_path: Path):
    candidates = candidate(0.1, 0.9), candidate(10, 0.9), candidate(2, 0.9), candidate(50, 0.8)
    assert choose(*candidates, folder=tmp_path).parameters == {RATE: 10}


def test_candidates_are_sorted_by_rate(tmp_path: Path):
    candidates = [candidate(rate, 0.9) for rate in (0.1, 0.5, 2, 10, 100)]
    expected = choose(*candidates, folder=tmp_path)
    assert expected.candidates == candidates
    assert choose(*candidates[::-1], folder=tmp_path) == expected
    assert choose(*candidates[2:], *candidates[:2], folder=tmp_path) == expected


def test_an_altered_score_is_not_used(tmp_path: Path):
    kept = Candidates(tmp_path, "fingerprint")
    kept.keep(candidate(1, 0.8))
    (file,) = tmp_path.iterdir()
    assert kept.find({RATE: 1}) == candidate(1, 0.8)
    assert Candidates(tmp_path, "another").find({RATE: 1}) is None
    file.write_text(file.read_text().replace("0.8", "0.9"))
    assert kept.find({RATE: 1}) is None


# ---- The scores ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVER_NAMES)
def test_scores_equal_those_of_scikit_learn_on_both_parts(solver: str):
    images, labels = labelled_images(400, 6, 6, classes=list(range(8)))
    found = sweep(images, labels, settings([3, 500], solver), 2, Candidates(None))
    mask = held_out(labels, 0.25, 42)
    assert (found.n_train, found.n_validation) == ((~mask).sum(), mask.sum())
    for scored in found.candidates:
        rate = scored.parameters[RATE]
        binary = LogisticRegression(solver="liblinear", C=1 / rate, tol=1e-8, max_iter=10_000)
        model = OneVsRestClassifier(binary).fit(features(images[~mask]), labels[~mask])
        for part, members in (("train", ~mask), ("validation", mask)):
            accuracy = model.score(features(images[members]), labels[members])
            assert getattr(scored, f"{part}_accuracy") == pytest.approx(accuracy, abs=1e-12)
        assert scored.train_accuracy != scored.validation_accuracy


def test_candidates_do_not_depend_on_each_other(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "image_workflow")

    def logged_steps(*rates: float) -> dict[float, list[str]]:
        """Return the log lines of each rate's steps, without the seconds."""
        caplog.clear()
        sweep(*SETS["ten classes"], settings(list(rates)), 1, Candidates(None))
        lines = [re.sub(r", \S+ s$", "", line) for line in caplog.messages]
        steps = {
            rate: [line for line in lines if line.startswith(f"rate {rate:g}, ")] for rate in rates
        }
        assert all(steps.values())
        return steps

    together = logged_steps(0.001, 0.06, 0.5, 2, 19, 300)
    for rate, steps in together.items():
        assert logged_steps(rate)[rate] == steps


@pytest.mark.parametrize(
    ("rate", "name"), [(2, "2"), (2.0, "2"), (0.5, "0.5"), (1e-5, "1e-05"), (1e6, "1000000")]
)
def test_equal_rates_have_equal_file_names(rate: float, name: str):
    assert file_name({RATE: rate}, "logistic_regression") == f"{name}.json"
