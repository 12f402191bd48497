"""The training: it gives what scikit-learn's own fit gives, whatever the number of threads."""

import logging
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

import train
from checkout import TOP
from lib.command import UserError
from lib.model import features, unfitted
from samples import labelled_images

SETS = {
    "two classes": labelled_images(60, 5, 4, classes=[4, 9]),
    "three classes": labelled_images(90, 5, 4, classes=[0, 7, 255]),
    "ten classes": labelled_images(300, 8, 8, classes=list(range(10))),
}


def assert_equal(one, other) -> None:
    """Compare two fitted attributes, estimators by all that they hold."""
    assert type(one) is type(other)
    if isinstance(one, BaseEstimator):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            assert_equal(value, vars(other)[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for item, expected in zip(one, other, strict=True):
            assert_equal(item, expected)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other, strict=True)
    else:
        assert one == other


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", SETS)
def test_the_model_is_what_scikit_learn_fits(name: str, threads: int):
    images, labels = SETS[name]
    model = train.fit_liblinear(images, labels, rate=0.8, seed=7, threads=threads)
    binary = LogisticRegression(solver="liblinear", C=1 / 0.8, random_state=7)
    expected = OneVsRestClassifier(binary).fit(features(images), labels)
    assert_equal(model, expected)
    probabilities = model.predict_proba(features(images))
    np.testing.assert_array_equal(probabilities, expected.predict_proba(features(images)))


def test_one_class_is_refused():
    images, _ = SETS["two classes"]
    with pytest.raises(UserError, match="at least two classes, found only label 4"):
        train.fit_liblinear(images, np.full(len(images), 4, np.uint8), rate=0.5, seed=42, threads=1)


def test_each_class_has_a_progress_line(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "workflow")
    train.fit_liblinear(*SETS["three classes"], rate=0.5, seed=42, threads=1)
    assert [message.split(" fitted")[0].split("; ")[1] for message in caplog.messages] == [
        "1 of 3",
        "2 of 3",
        "3 of 3",
    ]
    assert {message.split(":")[0] for message in caplog.messages} == {
        "class 0",
        "class 7",
        "class 255",
    }


@pytest.mark.parametrize("threads", [1, 2])
def test_a_class_that_does_not_converge_is_named(monkeypatch: pytest.MonkeyPatch, threads: int):
    monkeypatch.setattr(
        train, "unfitted", lambda *of: unfitted(*of).set_params(estimator__max_iter=2)
    )
    with pytest.warns(ConvergenceWarning, match="class 9 did not converge in 2 iterations"):
        train.fit_liblinear(*SETS["two classes"], rate=0.5, seed=42, threads=threads)


def trained(folder: Path, images: np.ndarray, labels: np.ndarray, **changes) -> bytes:
    """Train as the rule does and return the bytes of the model's file."""
    data = folder / "data" / "anywhere"
    data.mkdir(parents=True, exist_ok=True)
    np.save(data / "train-images.npy", images)
    np.save(data / "train-labels.npy", labels)
    options = Namespace(
        data_folder=folder / "data",
        regularization=0.5,
        solver="liblinear",
        seed=42,
        threads=1,
        output=folder / "outputs" / "model.pkl",
    )
    vars(options).update(changes)
    train.main(options)
    assert list(options.output.parent.iterdir()) == [options.output]
    return options.output.read_bytes()


@pytest.mark.parametrize("name", SETS)
def test_newton_finds_the_model_that_liblinear_finds(name: str):
    images, labels = SETS[name]
    reference = unfitted(0.5, 42).set_params(estimator__tol=1e-8).fit(features(images), labels)
    found = train.fit_newton(images, labels, rate=0.5, seed=42, threads=2)
    assert vars(found).keys() == vars(reference).keys()
    assert repr(found) == repr(unfitted(0.5, 42))
    for binary, expected in zip(found.estimators_, reference.estimators_, strict=True):
        np.testing.assert_allclose(binary.coef_, expected.coef_, atol=1e-4)
        np.testing.assert_allclose(binary.intercept_, expected.intercept_, atol=1e-4)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("solver", train.SOLVERS)
def test_the_bytes_of_the_model_do_not_depend_on_the_threads(
    tmp_path: Path, name: str, solver: str
):
    one, two = (
        trained(tmp_path, *SETS[name], threads=threads, solver=solver) for threads in (1, 2)
    )
    assert one == two


@pytest.mark.parametrize("solver", train.SOLVERS)
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
        trained(tmp_path, *images, regularization=0.8),
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
        trained(tmp_path, *SETS["two classes"], regularization=rate)


@pytest.mark.parametrize("missing", ["train-images.npy", "train-labels.npy"])
def test_a_folder_without_the_training_set_is_named(tmp_path: Path, missing: str):
    for name in {"train-images.npy", "train-labels.npy"} - {missing}:
        np.save(tmp_path / name, np.zeros(1))
    with pytest.raises(UserError) as refused:
        train.load_training_set(tmp_path)
    assert str(refused.value) == f"expected {missing} in the data folder {tmp_path}, found none."
