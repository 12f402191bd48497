"""Test the training of the user's estimator: its bytes, its progress, its errors, its end."""

import io
import json
import logging
import pickle
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators

import fit
from checkout import TOP
from image_workflow.errors import UserError
from image_workflow.lineage import code
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.models import sweep
from image_workflow.models.estimator import features, predict
from image_workflow.models.own_estimator import check
from image_workflow.models.own_fit import (
    fit_own,
    interruptible,
    is_deterministic,
    same_for_any_threads,
)
from image_workflow.models.settings import TrainingSettings
from image_workflow.models.training import fingerprint
from samples import SETS, labelled_images
from training import own_class, own_settings, training_options, training_settings

# The tests train too short for a network to converge.
pytestmark = pytest.mark.filterwarnings("ignore")

MLP = "sklearn.neural_network.MLPClassifier"
SMALL = labelled_images(90, 4, 4, classes=[0, 3, 7])


@pytest.fixture(autouse=True)
def capture_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "image_workflow")


def fitted(settings: TrainingSettings, threads: int = 1):
    return fit_own(*SMALL, settings.points()[0], settings, threads)


def train(folder: Path, images: np.ndarray, labels: np.ndarray, **changes) -> bytes | None:
    """Run fit.py on images and labels, and return the bytes of the model."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    np.save(data / "train-images.npy", images)
    np.save(data / "train-labels.npy", labels)
    output = folder / "model.pkl"
    program = {"data_folder": data, "candidates": None, "threads": 1, "output": output}
    fit.main(training_options(**program | changes, metrics=None))
    return output.read_bytes()


# ---- The same model for any number of threads ----------------------------------------------

PIPELINES = """
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

def svc(): return make_pipeline(PCA(5), SVC())
def one_vs_rest(): return OneVsRestClassifier(LogisticRegression())
def clusters(): return make_pipeline(KMeans(5), LogisticRegression())
def boosted(): return make_pipeline(HistGradientBoostingClassifier(max_iter=2))
def bagged(): return BaggingClassifier(HistGradientBoostingClassifier(max_iter=2), n_estimators=2)
def bagged_clusters(): return BaggingClassifier(clusters(), n_estimators=2)
def stacked():
    return StackingClassifier([("a", LogisticRegression()), ("b", GaussianNB())])
"""
NYSTROEM = """
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline

def nystroem(): return make_pipeline(Nystroem(n_components=200), RidgeClassifier())
"""


@pytest.mark.parametrize(
    "function",
    ["svc", "one_vs_rest", "clusters", "boosted", "bagged", "bagged_clusters", "stacked"],
)
def test_threads_do_not_change_the_bytes_of_a_pipeline(tmp_path: Path, function: str):
    settings = own_settings(tmp_path, PIPELINES, function)
    check(settings)
    first, second = (fitted(settings, threads) for threads in (1, 2))
    assert pickle.dumps(first) == pickle.dumps(second)


def test_steps_that_cut_the_data_into_as_many_parts_as_threads_give_the_same_bytes(tmp_path: Path):
    settings = own_settings(tmp_path, NYSTROEM, "nystroem")
    images = np.random.default_rng(0).integers(0, 256, (1500, 8, 8), np.uint8)
    labels = (images.mean(axis=(1, 2)) > 127).astype(np.uint8)
    first, second = (fit_own(images, labels, {}, settings, threads) for threads in (1, 2))
    assert pickle.dumps(first) == pickle.dumps(second)


def test_tasks_run_in_as_many_threads_as_there_are():
    barrier = threading.Barrier(2)
    with same_for_any_threads(BaseEstimator(), 2):
        joblib.Parallel()(joblib.delayed(barrier.wait)(10) for _ in range(2))


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        (MLP, {"max_iter": 5, "hidden_layer_sizes": [[5], [6]]}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 4, "max_depth": [1, 5]}),
        ("sklearn.ensemble.HistGradientBoostingClassifier", {"max_iter": [1, 2]}),
    ],
)
def test_bytes_are_the_same_with_other_threads_and_after_a_sweep(
    tmp_path: Path, estimator: str, parameters: dict
):
    options = {"estimator": estimator, "parameters": parameters}
    model = train(tmp_path, *SMALL, **options)
    assert train(tmp_path, *SMALL, **options, threads=2) == model
    chosen = json.loads((tmp_path / "sweep.json").read_text())["parameters"]
    alone = {name: [value] for name, value in chosen.items()}
    assert train(tmp_path / "alone", *SMALL, estimator=estimator, parameters=alone) == model


@pytest.mark.parametrize("threads", [1, 2])
def test_matrices_are_multiplied_by_one_thread(tmp_path: Path, threads: int):
    # With another number of threads, the last bits of large products would differ.
    lines = (
        "import joblib; from threadpoolctl import threadpool_info\n"
        "        found = joblib.Parallel()(joblib.delayed(threadpool_info)() for _ in range(2))\n"
        "        self.threads = {library['num_threads'] for one in found for library in one}"
    )
    assert fitted(own_settings(tmp_path, own_class(lines), "Own"), threads).threads == {1}


def test_class_of_the_user_is_loaded_from_its_folder(tmp_path: Path):
    text = own_class("self.brightest = X.mean()", "return np.where(X.mean(1) > 0.5, 7, 0)")
    settings = own_settings(tmp_path, text, "Own")
    options = {"estimator": settings.estimator, "estimator_folder": tmp_path}
    assert train(tmp_path, *SMALL, **options) == train(tmp_path, *SMALL, **options, threads=2)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from pathlib import Path; from image_workflow.models.estimator import load_model;"
        "print(load_model(Path('model.pkl'), sys.argv[2], Path('.')).brightest)"
    )
    sha256 = sha256_of_file(tmp_path / "model.pkl")
    command = [sys.executable, "-c", code, TOP / "workflow/scripts", sha256]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert float(printed.stdout) == features(SMALL[0]).mean()


# ---- Deterministic -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pass", True),
        ("self.noise = np.random.rand()", False),
        ("self.noise = np.random.default_rng(3).random()", True),
        ("assert len(X) > 100, 'too few'", None),
        ("self.place = lambda: 1", None),
    ],
)
def test_two_fits_tell_whether_a_class_is_deterministic(tmp_path: Path, line: str, expected):
    settings = own_settings(tmp_path, own_class(line), "Own")
    assert is_deterministic(*SETS["ten classes"], {}, settings) is expected


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [({}, True), ({"random_state": None}, False), ({"random_state": 5}, True)],
)
def test_seed_makes_a_network_deterministic(parameters: dict, expected: bool):
    settings = training_settings(estimator=MLP, parameters=parameters | {"max_iter": 3})
    assert is_deterministic(*SMALL, settings.points()[0], settings) is expected


# ---- Progress ------------------------------------------------------------------------------


def test_own_progress_is_logged_and_leaves_no_trace_in_the_model(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
):
    settings = training_settings(estimator=MLP, parameters={"max_iter": 3})
    model = fitted(settings)
    lines = [line for line in caplog.messages if line.startswith("MLPClassifier: Iteration ")]
    assert len(lines) == 3
    assert model.verbose is False
    silent = training_settings(estimator=MLP, parameters={"max_iter": 3, "verbose": True})
    assert fitted(silent).verbose is True
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        ("sklearn.linear_model.LogisticRegression", {"solver": "liblinear"}),
        ("sklearn.linear_model.LogisticRegression", {"solver": "saga"}),
        ("sklearn.svm.LinearSVC", {}),
        ("sklearn.svm.SVC", {}),
        ("sklearn.linear_model.SGDClassifier", {}),
        ("sklearn.ensemble.RandomForestClassifier", {"n_estimators": 2}),
    ],
)
def test_estimators_write_nothing_past_the_log(
    capfd: pytest.CaptureFixture, estimator: str, parameters: dict
):
    images, labels = SETS["two classes"]
    settings = training_settings(estimator=estimator, parameters=parameters)
    assert fit_own(images, labels, settings.points()[0], settings, 2).verbose == 0
    assert capfd.readouterr() == ("", "")


def test_what_a_class_prints_is_logged_line_by_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture
):
    line = "import sys; print('a', 1); print('b\\rc\\n\\nd', end='', file=sys.stderr)"
    settings = own_settings(tmp_path, own_class(line), "Own")
    fitted(settings)
    lines = "fit 90 images of 16 pixels", "a 1", "b", "c", "d"
    assert caplog.messages == [f"{settings.estimator}: {line}" for line in lines]
    assert capfd.readouterr() == ("", "")


def test_verbose_that_is_no_number_is_left_alone(tmp_path: Path):
    text = own_class("assert self.verbose is None").replace("power=1", "power=1, verbose=None")
    text = text.replace("= power\n", "= power\n        self.verbose = verbose\n")
    assert fitted(own_settings(tmp_path, text, "Own")).verbose is None


# ---- Errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 / 0", "could not be fitted to 90 images of 16 pixels: ZeroDivisionError: division"),
        ("1 / 0", "division by zero, in FILE line 11."),
        ("exit(3)", "could not be fitted to 90 images of 16 pixels: SystemExit: 3, in FILE line"),
        ("np.ones((10**7, 10**6))", "Own needs more memory than there is for 90 images of 16 pix"),
        ("bytearray(10**15)", "Choose an estimator or parameters that need less, or use fewer im"),
    ],
)
def test_fit_that_fails_is_a_sentence(tmp_path: Path, line: str, message: str):
    settings = own_settings(tmp_path, own_class(line), "Own")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(UserError) as raised:
        fitted(settings)
    assert message in str(raised.value).replace(settings.file.name, "FILE")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("estimator", "parameters", "message"),
    [
        (
            "sklearn.linear_model.LogisticRegression",
            {"l1_ratio": 1, "solver": "lbfgs"},
            "LogisticRegression could not be fitted to 90 images of 16 pixels with l1_ratio=1, "
            "solver=lbfgs: ValueError: Solver",
        ),
        (
            MLP,
            {"hidden_layer_sizes": [[0]]},
            "ValueError: hidden_layer_sizes must be > 0, got [0].",
        ),
    ],
)
def test_parameters_that_do_not_fit_together_are_a_sentence(
    estimator: str, parameters: dict, message: str
):
    settings = training_settings(estimator=estimator, parameters=parameters)
    check(settings)
    with pytest.raises(UserError) as raised:
        fitted(settings)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "predict_line",
    ["return np.zeros((len(X), 2))", "return None", "return ['a'] * len(X)", "1 / 0"],
)
def test_wrong_predictions_are_a_sentence(tmp_path: Path, predict_line: str):
    settings = own_settings(tmp_path, own_class(predict=predict_line), "Own")
    with pytest.raises(UserError, match="the estimator's predict"):
        predict(fitted(settings), SMALL[0])


@pytest.mark.parametrize("line", ["self.f = lambda: 1", "self.f = open(__file__)"])
def test_model_that_cannot_be_pickled_leaves_the_old_one(tmp_path: Path, line: str):
    (tmp_path / "model.pkl").write_bytes(b"old")
    settings = own_settings(tmp_path, own_class(line), "Own")
    with pytest.raises(UserError, match=f"the fitted {settings.estimator} cannot be pickled: "):
        train(tmp_path, *SMALL, estimator=settings.estimator, estimator_folder=tmp_path)
    assert (tmp_path / "model.pkl").read_bytes() == b"old"
    assert not list(tmp_path.glob(".model*"))


def test_single_class_is_refused():
    settings = training_settings(estimator=MLP)
    with pytest.raises(UserError, match="at least two classes, found only label 4"):
        fit_own(SMALL[0], np.full(90, 4, np.uint8), {}, settings, threads=1)


# ---- Any classifier ------------------------------------------------------------------------

CLASSIFIERS = {
    name: f"{found.__module__.split('._')[0]}.{name}"
    for name, found in all_estimators("classifier")
}
FEWER = {
    "HistGradientBoostingClassifier": {"max_iter": 2},
    "GradientBoostingClassifier": {"n_estimators": 2},
    "RandomForestClassifier": {"n_estimators": 2},
    "ExtraTreesClassifier": {"n_estimators": 2},
    "AdaBoostClassifier": {"n_estimators": 2},
    "LogisticRegressionCV": {"cv": 2, "Cs": 2, "max_iter": 10},
    "MLPClassifier": {"max_iter": 3},
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_each_classifier_is_trained_or_refused_with_a_sentence(name: str):
    parameters = FEWER.get(name, {})
    settings = training_settings(estimator=CLASSIFIERS[name], parameters=parameters)
    try:
        check(settings)
        model = fitted(settings)
    except UserError as error:
        assert re.search(
            "needs estimators?. Give them|is no classifier|could not be fitted", str(error)
        )
        return
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    loaded = joblib.load(file)
    np.testing.assert_array_equal(predict(loaded, SMALL[0]), predict(model, SMALL[0]))


# ---- The sweep -----------------------------------------------------------------------------


def grid_settings(folder: Path, powers: list, **changes) -> TrainingSettings:
    """Return settings of a class whose score is best for all powers above 1."""
    text = own_class(predict="return np.where((X.mean(1) > 0.5) & (self.power > 1), 7, 0)")
    return own_settings(folder, text, "Own", parameters={"power": powers}, **changes)


def test_first_of_equal_points_is_chosen(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = grid_settings(tmp_path, [1, 5, 2, 3])
    found = sweep.sweep(*SMALL, settings, threads=1, kept=sweep.Candidates(None))
    scores = [candidate.validation_accuracy for candidate in found.candidates]
    assert scores[0] < scores[1] == scores[2] == scores[3]
    assert found.parameters == {"power": 5}
    lines = [line for line in caplog.messages if line.startswith("candidate ")]
    assert [line.split(": accuracy")[0] for line in lines] == [
        f"candidate {number} of 4, power={power}"
        for number, power in enumerate([1, 5, 2, 3], start=1)
    ]


def kept_files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_only_a_new_point_is_fitted(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    settings = grid_settings(tmp_path, [1, 2])
    options = {"estimator": settings.estimator, "estimator_folder": tmp_path}
    options["candidates"] = tmp_path / "candidates"
    train(tmp_path, *SMALL, **options, parameters={"power": [1, 2]})
    before = kept_files(tmp_path / "candidates")
    train(tmp_path, *SMALL, **options, parameters={"power": [1, 9, 2]})
    after = kept_files(tmp_path / "candidates")
    assert len(before) == 2 and len(after) == 3 and before.items() <= after.items()
    assert "3 candidates to compare on 22 of 90 images, 2 of them as before" in caplog.messages
    found = json.loads((tmp_path / "sweep.json").read_text())
    assert found["parameters"] == {"power": 9}
    assert [candidate["parameters"]["power"] for candidate in found["candidates"]] == [1, 9, 2]


def test_edit_of_the_file_or_of_its_imports_makes_scores_invalid(tmp_path: Path):
    (tmp_path / "steps_c.py").write_text("x = 1\n")
    settings = own_settings(tmp_path, "import steps_c\n" + own_class(), "Own")

    def current() -> str:
        # Within a process, the digest of a file is computed once.
        code._file_digest.cache_clear()
        return fingerprint(*SMALL, settings, TOP / "workflow/scripts/fit.py")

    found = [current()]
    (tmp_path / "steps_c.py").write_text("x = 2\n")
    found.append(current())
    settings.file.write_text(settings.file.read_text() + "# edited\n")
    found.append(current())
    (tmp_path / "unused.py").write_text("x = 3\n")
    assert len(set(found)) == 3
    assert current() == found[-1]


# ---- Interruption --------------------------------------------------------------------------

SLOW = """
from pathlib import Path
import time

class Interrupted(Own):
    def fit(self, X, y):
        super().fit(X, y)
        if self.power == 2:
            Path("started").touch()
            {wait}
        return self
"""
WAITS = {
    "compiled code": "hash(2 ** 10**9 // 3 ** (6 * 10**8))",
    "an estimator that goes on": "try: time.sleep(60)\n            except KeyboardInterrupt: pass",
}


@pytest.mark.parametrize("name", WAITS)
def test_interruption_ends_the_training_and_keeps_finished_candidates(tmp_path: Path, name: str):
    np.save(tmp_path / "train-images.npy", SMALL[0])
    np.save(tmp_path / "train-labels.npy", SMALL[1])
    (tmp_path / "model.pkl").write_bytes(b"old")
    (tmp_path / "mine.py").write_text(own_class() + SLOW.replace("{wait}", WAITS[name]))
    command = [sys.executable, TOP / "workflow/scripts/fit.py", "--data-folder", "."]
    command += ["--estimator", "mine.py:Interrupted", "--estimator-folder", "."]
    command += ["--parameters", '{"power": [1, 2]}', "--candidates", "kept"]
    command += ["--output", "model.pkl"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == -signal.SIGINT
    assert (tmp_path / "model.pkl").read_bytes() == b"old"
    assert len(list((tmp_path / "kept").iterdir())) == 1
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("train-")}
    assert left == {"model.pkl", "mine.py", "started", "kept"}


def test_network_does_not_keep_what_it_has_learnt_when_interrupted(tmp_path: Path):
    """MLPClassifier itself would go on: it takes an interruption for an early stop."""
    code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
import numpy as np
from sklearn.neural_network import _multilayer_perceptron as module
from image_workflow.models.own_fit import fit_own
from training import training_settings
loss = module.MLPClassifier._update_no_improvement_count
def interrupt(*given):
    os.kill(os.getpid(), signal.SIGINT)
    loss(*given)
module.MLPClassifier._update_no_improvement_count = interrupt
settings = training_settings(estimator={MLP!r})
fit_own(np.eye(20, dtype=np.uint8)[:, None], np.arange(20) % 2, {{}}, settings, 1)
print("went on")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (-signal.SIGINT, "")


def test_other_threads_are_trained_without_a_change_of_signals():
    found = []

    def enter():
        with interruptible():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
