"""A receipt of another folder is reproduced: the same commit, configuration, data and bytes."""

import json
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reproduce
from checkout import TOP, Checkout
from image_workflow.errors import UserError
from image_workflow.lineage.results import DataSet, Receipt, Training
from image_workflow.lineage.verification import read_receipt

PROGRAM = TOP / "tools/reproduce.py"
ESTIMATOR = """
from sklearn.neighbors import KNeighborsClassifier
from neighbours import COUNT

def build(p=2):
    return KNeighborsClassifier(n_neighbors=COUNT, p=p)
"""


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def as_repository(checkout: Checkout) -> str:
    """Make a git repository of a checkout, and return its commit."""
    shutil.copy(TOP / ".gitignore", checkout.path)
    git(checkout.path, "init", "--quiet")
    git(checkout.path, "add", "Snakefile", "workflow", "config", "profiles", ".gitignore")
    git(checkout.path, "commit", "--quiet", "-m", "the workflow")
    return git(checkout.path, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A git repository of the workflow, and its commit."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("repository"))
    return checkout.path, as_repository(checkout)


@pytest.fixture
def receipt_file(digits_run: Checkout, repository, tmp_path: Path) -> Path:
    """The receipt of the digits' run, whose code is in the repository."""
    path = tmp_path / "another machine/registered.json"
    path.parent.mkdir()
    git_state = {"commit": repository[1], "dirty": False}
    path.write_text(json.dumps(digits_run.receipt() | {"git": git_state}))
    return path


def changed(path: Path, change: object, *keys: str) -> Receipt:
    """Return a receipt after changing one value in its file."""
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = change
    path.write_text(json.dumps(content))
    return read_receipt(path)


def run(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def options(receipt: Path, **changes) -> Namespace:
    return Namespace(**{"receipt": receipt, "data": [], "estimator_file": None} | changes)


# ---- Whole runs ----------------------------------------------------------------------------


def test_the_digits_are_reproduced(receipt_file: Path, repository, tmp_path: Path):
    # The receipt was made with another version of one package.
    changed(receipt_file, "0.0.1", "environment", "tqdm")
    folder = tmp_path / "again"
    ended = run(receipt_file, "--repository", repository[0], "--folder", folder)
    assert ended.returncode == 0, ended.stderr
    assert " NO" not in ended.stdout and "model.pkl" in ended.stdout
    assert "another version: tqdm 0.0.1 in the receipt, " in ended.stderr
    assert ended.stderr.splitlines()[-1].endswith(
        "is reproduced: 10 of 10 hold, and the model has the same bytes."
    )
    assert git(folder, "rev-parse", "HEAD") == repository[1]


def test_own_images_and_an_own_estimator_are_reproduced(tmp_path: Path):
    checkout = Checkout.fresh(tmp_path / "first machine")
    as_repository(checkout)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 5), np.uint8)
    for name, pictures in zip(("apples", "pears"), pixels, strict=True):
        (checkout.path / "fruit" / name).mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(checkout.path / f"fruit/{name}/{number}.png")
    (checkout.path / "my_model.py").write_text(ESTIMATOR)
    (checkout.path / "neighbours.py").write_text("COUNT = 2\n")
    entry = "mine:\n  images: fruit\n  size: [4, 4]\n  license: my own\n"
    (checkout.path / "config/my_datasets.yaml").write_text(entry)
    own = {"dataset": "mine", "estimator": "my_model.py:build", "parameters": "{p: [1, 2]}"}
    checkout.finish("results/registered.json", **own)
    checkout.finish("verify", "--quiet", "all", estimator=own["estimator"])
    # Everything is somewhere else on the other machine.
    other = tmp_path / "other machine"
    (other / "code").mkdir(parents=True)
    receipt = other / "registered.json"
    shutil.copy(checkout.path / "results/registered.json", receipt)
    for name in ("my_model.py", "neighbours.py"):
        (checkout.path / name).rename(other / "code" / name)
    (checkout.path / "fruit").rename(other / "pictures")
    called = [receipt, "--repository", checkout.path, "--folder", other / "again"]
    model = ["--estimator-file", other / "code/my_model.py"]

    ended = run(*called, *model)
    assert ended.returncode == 1
    assert "mine is your own files, so say where it is: --data images=PATH" in ended.stderr
    shutil.rmtree(other / "again")
    ended = run(*called, *model, "--data", f"images={other / 'pictures'}")
    assert ended.returncode == 0, ended.stderr
    assert " NO" not in ended.stdout

    # Other data are refused before the training.
    shutil.rmtree(other / "again")
    (other / "pictures/apples/0.png").unlink()
    ended = run(*called, *model, "--data", f"images={other / 'pictures'}")
    assert ended.returncode == 1
    assert "the data are not the receipt's: expected " in ended.stderr.splitlines()[-1]
    assert not (other / "again/results/model.pkl").exists()


# ---- What cannot be reproduced -------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"commit": None, "dirty": None}, "the receipt has no commit"),
        ({"commit": "--upload-pack=touch ran", "dirty": False}, "the receipt has no commit"),
        ({"commit": "1" * 40, "dirty": False}, f"the receipt's commit {'1' * 40} is not in the"),
    ],
)
def test_code_that_is_in_no_commit_cannot_be_reproduced(
    receipt_file: Path, repository, tmp_path: Path, state: dict, message: str
):
    receipt = changed(receipt_file, state, "git")
    with pytest.raises(UserError, match=message):
        reproduce.check_out(receipt, repository[0], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_edits_that_are_in_no_commit_must_not_be_in_the_code_of_the_training(
    receipt_file: Path, repository, tmp_path: Path
):
    folder = tmp_path / "again"
    # Somebody has edited config.yaml.
    receipt = changed(receipt_file, True, "git", "dirty")
    reproduce.check_out(receipt, repository[0], folder)
    shutil.rmtree(folder)
    receipt = changed(receipt_file, "0" * 64, "sha256", "code")
    with pytest.raises(UserError, match="was trained with code that differed from commit"):
        reproduce.check_out(receipt, repository[0], folder)
    assert not folder.exists()


def test_a_folder_that_exists_is_kept(receipt_file: Path, repository, tmp_path: Path):
    with pytest.raises(UserError, match=r"exists\. Delete it, or name another with --folder"):
        reproduce.check_out(read_receipt(receipt_file), repository[0], tmp_path)


def test_a_folder_that_is_no_repository_is_named(receipt_file: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is no git checkout"):
        reproduce.check_out(read_receipt(receipt_file), tmp_path, tmp_path / "again")


def test_variables_of_git_lead_nowhere_else(receipt_file, repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(TOP / ".git"))
    reproduce.check_out(read_receipt(receipt_file), repository[0], tmp_path / "again")
    assert (tmp_path / "again/Snakefile").exists()


@pytest.mark.parametrize("damage", ["{", "{}"])
def test_a_damaged_receipt_is_one_sentence(tmp_path: Path, damage: str):
    (tmp_path / "registered.json").write_text(damage)
    ended = run(tmp_path / "registered.json", "--folder", tmp_path / "again")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "is damaged" in ended.stderr


# ---- The configuration ---------------------------------------------------------------------


def restored(receipt_file: Path, repository, **changes) -> dict:
    """Return the configuration that is restored from a receipt."""
    receipt = read_receipt(receipt_file)
    path = reproduce.restore(receipt, repository[0], options(receipt_file, **changes))
    return json.loads(path.read_text())


def test_the_configuration_is_that_of_the_receipt(receipt_file: Path, repository):
    assert restored(receipt_file, repository) == {
        "estimator": "logistic_regression",
        "regularization": [0.1, 0.5, 2.0, 10.0],
        "solver": "newton",
        "validation_fraction": 0.16667,
        "seed": 42,
        "dataset": "digits",
        "preview_images": 30,
        "backend": "local",
    }


def test_checksums_that_the_commit_does_not_have_are_refused(receipt_file: Path, repository):
    changed(receipt_file, {}, "configuration", "entry", "files")
    with pytest.raises(UserError, match=r"checksums of digits are not those of config/datasets"):
        restored(receipt_file, repository)


def test_a_data_set_that_the_commit_does_not_have_needs_a_folder(receipt_file, repository):
    changed(receipt_file, "elsewhere", "configuration", "dataset")
    with pytest.raises(UserError, match=r"so say where it is: --data folder=PATH$"):
        restored(receipt_file, repository)
    with pytest.raises(UserError, match=r"--data names /not/there, which does not exist"):
        restored(receipt_file, repository, data=[("folder", "/not/there")])
    restored(receipt_file, repository, data=[("folder", str(repository[0]))])
    entries = repository[0] / "config/my_datasets.yaml"
    assert f"folder: {repository[0]}" in entries.read_text()
    entries.unlink()


@pytest.mark.parametrize("estimator", ["../my_model.py:build", "/tmp/my_model.py:build"])
def test_the_place_of_a_file_in_the_receipt_is_not_used(receipt_file, repository, estimator):
    changed(receipt_file, estimator, "configuration", "estimator")
    changed(receipt_file, {}, "configuration", "parameters")
    with pytest.raises(UserError, match="is damaged: its estimator is a path"):
        restored(receipt_file, repository)


def test_another_file_with_the_estimator_is_refused(receipt_file, repository, tmp_path):
    changed(receipt_file, "my_model.py:build", "configuration", "estimator")
    changed(receipt_file, {}, "configuration", "parameters")
    changed(receipt_file, "0" * 64, "sha256", "estimator")
    with pytest.raises(UserError, match=r"the commit has no such file\. Name the file: --estim"):
        restored(receipt_file, repository)
    (tmp_path / "my_model.py").write_text("edited = True\n")
    with pytest.raises(UserError, match=f"sha256 {'0' * 64} together .*; found "):
        restored(receipt_file, repository, estimator_file=tmp_path / "my_model.py")


# ---- The comparison ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "keys", "what"),
    [
        ("0" * 64, ("sha256", "model"), "model.pkl"),
        ("0" * 64, ("sha256", "code"), "code of the training"),
        ("0" * 64, ("sha256", "data"), "all arrays"),
        (0.99, ("metrics", "accuracy"), "metrics.accuracy"),
        ("0" * 64, ("idx_sha256", "train-images-idx3-ubyte"), "train-images-idx3-ubyte"),
        (None, ("sweep",), "sweep"),
    ],
)
def test_each_difference_is_found(digits_run, receipt_file, change, keys, what):
    assert all(
        check.holds for check in reproduce.checks_of(read_receipt(receipt_file), digits_run.path)
    )
    receipt = changed(receipt_file, change, *keys)
    checks = reproduce.checks_of(receipt, digits_run.path)
    assert [check.what for check in checks if not check.holds] == [what]


def test_other_data_are_refused(digits_run: Checkout, receipt_file: Path):
    data_set = DataSet.read(digits_run.path / "results/dataset.json")
    reproduce.check_data(read_receipt(receipt_file), data_set)
    receipt = changed(receipt_file, "0" * 64, "idx_sha256", "t10k-labels-idx1-ubyte")
    with pytest.raises(UserError, match=r"as idx_sha256\.t10k-labels-idx1-ubyte, found cf2c8a"):
        reproduce.check_data(receipt, data_set)


def test_reasons_of_a_difference(digits_run: Checkout, receipt_file: Path):
    training = Training.read(digits_run.path / "results/training.json")
    assert reproduce.reasons(read_receipt(receipt_file), [], training) == ""
    changed(receipt_file, None, "deterministic")
    receipt = changed(receipt_file, None, "machine")
    assert reproduce.reasons(receipt, ["numpy 1 in the receipt, 2 here"], training) == (
        " Possible reasons: packages differ: numpy 1 in the receipt, 2 here; the machine is "
        "another one; the receipt does not say that its training is deterministic."
    )


def test_the_versions_of_a_job_in_the_cloud_are_compared_with_those_here(receipt_file: Path):
    here = json.loads(receipt_file.read_text())["environment"]
    minor = here["python"].rpartition(".")[0]
    cloud = here | {"python": minor, "azureml-defaults": "1.62.0"}
    assert list(reproduce.other_versions(changed(receipt_file, cloud, "environment"))) == []
    receipt = changed(receipt_file, cloud | {"python": "3.7", "xgboost": "1"}, "environment")
    assert [text.split()[0] for text in reproduce.other_versions(receipt)] == ["python", "xgboost"]
