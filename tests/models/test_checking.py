"""Test the check of an estimator in a process of its own, whose result is kept: checking.py."""

import importlib.util
from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.errors import UserError
from image_workflow.lineage import code
from image_workflow.models import checking
from image_workflow.models.checking import checked_estimator
from image_workflow.models.settings import TrainingSettings
from training import own_settings, training_settings

PROGRAM = TOP / "workflow/scripts/check_estimator.py"
SVC = "from sklearn.svm import LinearSVC\ndef build():\n    return LinearSVC()\n"


def checked(settings: TrainingSettings, folder: Path, may_miss_packages=False, **others) -> dict:
    code._file_digest.cache_clear()
    return checked_estimator(settings, PROGRAM, folder / "facts", may_miss_packages, **others)


def refused(settings: TrainingSettings, folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        checked(settings, folder)
    assert not list(folder.glob("facts/*"))
    return str(raised.value)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args, **_options):
        raise AssertionError("the check ran once more")

    monkeypatch.setattr(checking.subprocess, "run", refuse)


def test_default_estimator_needs_no_check(tmp_path: Path, no_process: None):
    settings = training_settings(regularization=[0.5])
    assert checked(settings, tmp_path) == {"is_linear": True}
    assert not list(tmp_path.iterdir())


def test_check_runs_once_for_each_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = []

    def run(command, **_options):
        runs.append(command)
        command[command.index("--output") + 1].parent.mkdir(exist_ok=True)
        command[command.index("--output") + 1].write_text('{"is_linear": true}')
        return checking.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(checking.subprocess, "run", run)
    settings = own_settings(tmp_path, SVC, parameters={"C": 2})
    packages = {"extra_packages": "one"}
    for number, change in enumerate(
        [
            lambda: None,
            lambda: settings.file.write_text(f"{SVC}# edited\n"),
            lambda: settings.grid.update(C=[3]),
            lambda: packages.update(extra_packages="two"),
        ]
    ):
        change()
        for _ in range(2):
            assert checked(settings, tmp_path, **packages) == {"is_linear": True}
        assert len(runs) == number + 1


def test_result_of_the_check_is_kept(tmp_path: Path):
    settings = own_settings(tmp_path, SVC)
    assert checked(settings, tmp_path) == {"is_linear": True}
    assert len(list(tmp_path.glob("facts/*"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"print('noise')\n{SVC}", "parameters.C cannot be -1; it must be a float in the range"),
        (
            f"import atexit, sys\natexit.register(print, 'later noise', file=sys.stderr)\n{SVC}",
            "parameters.C cannot be -1; it must be a float in the range (0.0, inf).",
        ),
        ("import os\nos._exit(3)\n", "ended with exit code 3 and without a message. Look for"),
    ],
)
def test_process_that_fails_is_a_sentence(tmp_path: Path, text: str, message: str):
    settings = own_settings(tmp_path, text, parameters={"C": -1})
    error = refused(settings, tmp_path)
    assert message in error
    assert "noise" not in error


def test_file_that_takes_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checking, "SECONDS", 0.5)
    settings = own_settings(tmp_path, "import time\ntime.sleep(60)\n")
    expected = f"the estimator {settings.estimator} was not imported and made in 0.5 s. Do not load"
    assert refused(settings, tmp_path).startswith(expected)


def test_missing_package_is_left_to_the_training_if_its_environment_is_another(tmp_path: Path):
    settings = own_settings(tmp_path, "import gone\n")
    assert "the module gone is not installed. Install its package" in refused(settings, tmp_path)
    assert checked(settings, tmp_path, may_miss_packages=True) == {"is_linear": False}


def test_check_without_scikit_learn_is_left_to_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_process: None
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    settings = own_settings(tmp_path, SVC)
    assert checked(settings, tmp_path, may_miss_packages=True) == {"is_linear": False}


def test_a_check_that_ends_early_or_prints_anything_is_a_sentence(tmp_path: Path):
    ended = "import os\nos._exit(0)\n" + SVC
    assert "ended with exit code 0 and without a message" in refused(
        own_settings(tmp_path, ended), tmp_path
    )
    noisy = "import sys\nsys.stderr.buffer.write(b'\\xff')\n" + SVC
    assert checked(own_settings(tmp_path, noisy), tmp_path) == {"is_linear": True}


def test_a_file_may_change_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    text = "import os\nos.mkdir('other')\nos.chdir('other')\n" + SVC
    assert checked(own_settings(Path(), text), tmp_path) == {"is_linear": True}


def test_a_forgotten_suffix_is_guessed(tmp_path: Path):
    settings = own_settings(tmp_path, SVC)
    without = TrainingSettings(
        settings.estimator.replace(".py", ""), {}, 0.2, "newton", 42, tmp_path
    )
    name = settings.estimator.removesuffix(":build")
    assert refused(without, tmp_path).endswith(f"; did you mean {tmp_path / name}?")
