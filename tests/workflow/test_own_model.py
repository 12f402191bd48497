"""Another estimator than the default one, with the real Snakemake: what runs, and what is made."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from checkout import Checkout
from image_workflow.models.estimator import features
from schemas import schema

# As typed on the command line. Snakemake itself reads all values in it as text.
MLP = {
    "dataset": "digits",
    "estimator": "sklearn.neural_network.MLPClassifier",
    "parameters": "{hidden_layer_sizes: [[20], [40]], early_stopping: true}",
}
OWN_FILE = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from distances import distance

TAKES_IMAGES = True


class NearestMean(ClassifierMixin, BaseEstimator):
    def __init__(self, power=2):
        self.power = power

    def fit(self, images, labels):
        self.classes_ = np.unique(labels)
        self.means_ = np.array([images[labels == each].mean(axis=0) for each in self.classes_])
        return self

    def predict(self, images):
        found = [distance(images, mean, self.power).sum(axis=(1, 2)) for mean in self.means_]
        return self.classes_[np.argmin(found, axis=0)]


def build():
    return NearestMean()
"""
IMPORTED = "def distance(images, mean, power):\n    return abs(images - mean) ** power\n"


def result(checkout: Checkout, name: str) -> dict:
    """Return the content of a JSON file among the results."""
    return json.loads((checkout.path / "results" / name).read_text(encoding="utf-8"))


def said_in(log: Path) -> str:
    """Return the text of a log file, which need not exist yet."""
    return log.read_text(encoding="utf-8") if log.exists() else ""


def without_scikit_learn(checkout: Checkout) -> Checkout:
    """Return the checkout, with new processes that fail when they import scikit-learn."""
    found = Checkout(checkout.path)
    folder = checkout.path.parent / "no scikit-learn"
    folder.mkdir(exist_ok=True)
    # Python imports this module at its start.
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refusal:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'sklearn':\n"
        "            raise ImportError('imported once more')\n"
        "sys.meta_path.insert(0, Refusal)\n"
    )
    found.environment = {"PYTHONPATH": str(folder)}
    return found


# ---- An estimator by its import path ---------------------------------------------------------


@pytest.fixture(scope="module")
def mlp_run(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout where the default estimator and then an MLP ran. Tests must not change it."""
    checkout = digits_run.copied(tmp_path_factory.mktemp("mlp") / "checkout")
    checkout.finish("results/registered.json", **MLP)
    return checkout


def test_the_parameters_have_their_types_in_every_result(mlp_run: Checkout):
    sweep, metrics, receipt = (
        result(mlp_run, f"{name}.json") for name in ("sweep", "metrics", "registered")
    )
    for name, content in (("sweep", sweep), ("metrics", metrics), ("receipt", receipt)):
        schema(name).validate(content)
    tried = [candidate["parameters"] for candidate in sweep["candidates"]]
    # Compared as text, because True equals 1 in Python.
    assert repr(tried) == repr(
        [{"early_stopping": True, "hidden_layer_sizes": [size]} for size in (20, 40)]
    )
    best = max(sweep["candidates"], key=lambda candidate: candidate["validation_accuracy"])
    assert sweep["parameters"] == metrics["parameters"] == best["parameters"]
    assert receipt["sweep"] == sweep
    assert receipt["parameters"] == {
        "estimator": MLP["estimator"],
        "early_stopping": "true",
        "hidden_layer_sizes": str(best["parameters"]["hidden_layer_sizes"]),
        "dataset": "digits",
        "seed": "42",
    }
    assert receipt["deterministic"] is True
    assert "estimator" not in receipt["sha256"]


def test_the_model_is_scikit_learns_own_and_has_the_measured_accuracy(mlp_run: Checkout):
    model = joblib.load(mlp_run.path / "results/model.pkl")
    assert type(model).__name__ == "MLPClassifier"
    assert (model.early_stopping, model.random_state) == (True, 42)
    assert model.hidden_layer_sizes in ((20,), (40,), [20], [40])
    images, labels = (
        np.load(mlp_run.path / f"results/arrays/test-{kind}.npy") for kind in ("images", "labels")
    )
    accuracy = float(np.mean(model.predict(features(images)) == labels))
    assert result(mlp_run, "metrics.json")["accuracy"] == accuracy > 0.75


def test_the_pictures_are_those_of_the_estimator(mlp_run: Checkout, digits_run: Checkout):
    results = mlp_run.path / "results"
    for name in ("weights.png", "records/draw_weights.json"):
        assert not (results / name).exists()
    for name in ("sweep.png", "mistakes.png", "confusion.png"):
        before = (digits_run.path / "results" / name).read_bytes()
        assert (results / name).read_bytes() != before
    # Nothing upstream ran again.
    for name in ("arrays/train-images.npy", "dataset.json", "preview.png", "class_balance.png"):
        before = (digits_run.path / "results" / name).stat()
        assert (results / name).stat().st_mtime_ns == before.st_mtime_ns


def test_a_start_with_nothing_to_do_does_not_import_scikit_learn(mlp_run: Checkout):
    checkout = without_scikit_learn(mlp_run)
    assert "Nothing to be done" in checkout.finish("results/registered.json", **MLP).stderr
    # Another configuration is checked.
    refused = checkout.snakemake("-n", **MLP | {"parameters": "{alpha: 1}"})
    assert "imported once more" in refused.stdout + refused.stderr


def test_a_linear_estimator_has_a_picture_of_its_weights(mlp_run: Checkout, tmp_path: Path):
    checkout = mlp_run.copied(tmp_path / "copy")
    ridge = {"dataset": "digits", "estimator": "sklearn.linear_model.RidgeClassifier"}
    checkout.finish("results/weights.png", **ridge)
    assert (checkout.path / "results/weights.png").stat().st_size > 1000
    # The picture of the comparison belongs to the MLP.
    assert not (checkout.path / "results/sweep.png").exists()


def test_the_call_after_ctrl_c_during_the_training_ends_with_the_same_results(
    digits_run: Checkout, mlp_run: Checkout, tmp_path: Path
):
    checkout = digits_run.copied(tmp_path / "copy")
    log = checkout.path / "results/logs/train.log"
    log.unlink()
    process = checkout.start("results/model.pkl", **MLP)
    try:
        # MLPClassifier itself would keep the half-trained second candidate.
        while not re.search("candidate 1 of 2.*Iteration 5", said_in(log), re.S):
            assert process.poll() is None, "Snakemake ended before the test saw the training"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() != 0
    finally:
        process.kill()
    results = checkout.path / "results"
    assert not (results / "model.pkl").exists()
    assert not list(results.rglob("*.part"))
    checkout.finish("results/model.pkl", **MLP)
    assert re.search("2 candidates to compare on .*, [12] of them as before", said_in(log))
    for name in ("model.pkl", "sweep.json"):
        assert (results / name).read_bytes() == (mlp_run.path / "results" / name).read_bytes()


def test_an_estimator_that_cannot_be_fitted_is_one_sentence(mlp_run: Checkout, tmp_path: Path):
    checkout = mlp_run.copied(tmp_path / "copy")
    svc = {"dataset": "digits", "estimator": "sklearn.svm.NuSVC", "parameters": "{nu: 1}"}
    ended = checkout.snakemake("results/metrics.json", **svc)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    sentence = (
        "train.py: NuSVC could not be fitted to 1,437 images of 64 pixels with nu=1: ValueError: "
        "specified nu is infeasible."
    )
    assert said.splitlines().count(sentence) == 1
    assert "Traceback" not in said
    log = (checkout.path / "results/logs/train.log").read_text()
    assert sentence in log and "Traceback" in log
    assert not (checkout.path / "results/model.pkl").exists()


# ---- An estimator in a file --------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_run(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with the model of a file of the user's own. Tests must not change it.

    The file is in a home folder with a blank in its path, beside a module that it imports.
    """
    checkout = digits_run.copied(tmp_path_factory.mktemp("own") / "checkout")
    folder = checkout.path / "home/my models"
    folder.mkdir(parents=True)
    (folder / "my_model.py").write_text(OWN_FILE)
    (folder / "distances.py").write_text(IMPORTED)
    checkout.environment = at_home(checkout)
    checkout.finish("results/metrics.json", "results/mistakes.png", **at("~/my models"))
    return checkout


@pytest.fixture
def own_copy(own_run: Checkout, tmp_path: Path) -> Checkout:
    """A copy of this checkout, which a test may change."""
    checkout = own_run.copied(tmp_path / "copy")
    checkout.environment = at_home(checkout)
    return checkout


def at_home(checkout: Checkout) -> dict[str, str]:
    """Return the variables of a user whose home folder is in the checkout."""
    # Without a value of the second one, Python caches bytecode.
    return {"HOME": str(checkout.path / "home"), "PYTHONDONTWRITEBYTECODE": ""}


def at(folder: Path | str) -> dict[str, str]:
    """Return the configuration of the user's file in a folder."""
    return {"dataset": "digits", "estimator": f"{folder}/my_model.py:build"}


def test_a_class_of_ones_own_that_takes_images(own_run: Checkout):
    assert result(own_run, "metrics.json")["accuracy"] > 0.8
    assert result(own_run, "metrics.json")["parameters"] == {}
    assert (own_run.path / "results/mistakes.png").exists()
    assert not (own_run.path / "results/weights.png").exists()
    # Nothing is written beside the user's file.
    found = {path.name for path in (own_run.path / "home/my models").iterdir()}
    assert found == {"my_model.py", "distances.py"}


def test_a_moved_or_touched_file_runs_nothing(own_copy: Checkout, tmp_path: Path):
    folder = tmp_path / "elsewhere"
    shutil.move(own_copy.path / "home/my models", folder)
    for path in folder.iterdir():
        os.utime(path)
    checkout = without_scikit_learn(own_copy)
    assert checkout.planned("results/metrics.json", **at(folder)) == {}
    assert checkout.planned("results/metrics.json", **at("../elsewhere")) == {}


def test_an_edit_of_the_file_trains_again(own_copy: Checkout):
    path = own_copy.path / "home/my models/my_model.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert set(own_copy.planned(**at("~/my models"))) == {
        *("train", "evaluate", "draw_confusion", "draw_mistakes", "register")
    }


def test_an_edit_of_an_imported_module_trains_again_with_the_new_code(own_copy: Checkout):
    path = own_copy.path / "home/my models/distances.py"
    before = path.stat()
    path.write_text(IMPORTED.replace("abs(", "0 *("))
    # Python compares only the size and the time stamp with those of cached bytecode.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert own_copy.planned("results/metrics.json", **at("~/my models")) == {
        "train": 1,
        "evaluate": 1,
    }
    own_copy.finish("results/metrics.json", **at("~/my models"))
    assert result(own_copy, "metrics.json")["accuracy"] < 0.2


# ---- Wrong configurations ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"parameters": "{hidden_layer_size: [20]}"},
            "parameters.hidden_layer_size is not a parameter of MLPClassifier; did you mean "
            "hidden_layer_sizes? allowed: activation, alpha, ",
        ),
        (
            {"parameters": "{alpha: [0.1, high]}"},
            "parameters.alpha cannot be 'high'; it must be a float in the range [0.0, inf).",
        ),
        (
            {"estimator": "sklearn.linear_model.Ridge", "parameters": "{}"},
            "estimator cannot be 'sklearn.linear_model.Ridge'; Ridge is no classifier. ",
        ),
        (
            {"estimator": "models/my_model.py:build"},
            "the estimator's file models/my_model.py does not exist. Correct its path.",
        ),
        (
            {"estimator": "logistic_regression"},
            "parameters cannot be set for logistic_regression, which has regularization and "
            "solver; set those, or choose another estimator.",
        ),
        (
            {"parameters": "high"},
            "config: parameters cannot be 'high'; it must be names of parameters with values, or "
            "lists of values.",
        ),
    ],
)
def test_a_wrong_estimator_is_refused_before_anything_runs(
    checkout: Checkout, changed: dict, sentence: str
):
    ended = checkout.snakemake("-n", **MLP | changed)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert any(line.startswith(sentence) for line in said.splitlines()), said
    assert "Traceback" not in said
    assert not (checkout.path / "results").exists()


def test_an_estimator_of_the_call_replaces_the_parameters_in_the_file(checkout: Checkout):
    path = checkout.path / "config/config.yaml"
    text = path.read_text()
    assert "estimator: logistic_regression\n" in text and "parameters: {}\n" in text
    text = text.replace("estimator: logistic_regression\n", f"estimator: {MLP['estimator']}\n")
    path.write_text(text.replace("parameters: {}\n", "parameters:\n  alpha: [0.1, 1e-3]\n"))
    assert "draw_sweep" in checkout.planned(dataset="digits")
    ridge = {"estimator": "sklearn.linear_model.RidgeClassifier", "parameters": "{alpha: 2}"}
    planned = checkout.planned(dataset="digits", **ridge)
    assert "draw_weights" in planned and "draw_sweep" not in planned
    assert "draw_weights" in checkout.planned(estimator="logistic_regression")
    path.write_text(text.replace("parameters: {}\n", "parameters:\n"))  # an empty section
    assert "draw_sweep" not in checkout.planned(dataset="digits")
