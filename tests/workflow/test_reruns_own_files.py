"""A change of the user's own files runs again exactly what depends on their content."""

import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from checkout import Checkout
from history import write_pictures
from job_graph import ON_DEMAND, repeated

NOTHING: set[str] = set()
ONE_RATE = {"regularization": 0.5}
TREES = {"dataset": "trees", **ONE_RATE}
WITHOUT = {*ON_DEMAND, "draw_sweep"}
CONVERT = repeated("convert", without=WITHOUT)
DESCRIBE = repeated("describe", without=WITHOUT)


def ids(value: object) -> str:
    """Return the name of a parameter. A set has no order, so it has no name."""
    return "" if isinstance(value, set) else str(value)


# ---- Images --------------------------------------------------------------------------------


def write_entry(checkout: Checkout, **options) -> None:
    """Write the entry of the trees, in which the options replace others."""
    entry = {"images": "data/trees", "size": 6} | options
    path = checkout.path / "config/my_datasets.yaml"
    path.write_text(yaml.safe_dump({"trees": entry}), encoding="utf-8")


@pytest.fixture(scope="module")
def trees_run(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with all results of a folder of pictures. Tests must not change it."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("trees") / "checkout")
    write_pictures(checkout.path / "data/trees", "first")
    write_entry(checkout)
    checkout.finish(**TREES)
    return checkout


@pytest.fixture
def trees(trees_run: Checkout, tmp_path: Path) -> Checkout:
    """A copy of this checkout, which a test may change."""
    return trees_run.copied(tmp_path / "trees")


def edit_quietly(folder: Path) -> None:
    """Change a picture, and keep its size and its modification time."""
    path = folder / "oak/1.bmp"
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_a_link(folder: Path) -> None:
    path = folder / "oak/1.bmp"
    path.rename(folder.parent / "real.bmp")
    path.symlink_to("../../real.bmp")


def touch(folder: Path, *time: float) -> None:
    for path in folder.rglob("*"):
        os.utime(path, time or None)


PICTURES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "added": (lambda folder: write_pictures(folder, "added"), CONVERT),
    "edited": (lambda folder: write_pictures(folder, "edited"), CONVERT),
    "removed": (lambda folder: write_pictures(folder, "removed"), CONVERT),
    "edited-quietly": (edit_quietly, CONVERT),
    "renamed": (lambda folder: (folder / "oak/1.bmp").rename(folder / "oak/x.bmp"), CONVERT),
    "another-class": (
        lambda folder: (folder / "oak/1.bmp").rename(folder / "birch/x.bmp"),
        CONVERT,
    ),
    "a-class-renamed": (lambda folder: (folder / "oak").rename(folder / "ash"), CONVERT),
    "a-class-removed": (lambda folder: shutil.rmtree(folder / "oak"), CONVERT),
    "a-copy": (lambda folder: shutil.copy(folder / "oak/1.bmp", folder / "oak/x.bmp"), CONVERT),
    "no-picture": (lambda folder: (folder / "oak/notes.txt").write_text("notes"), CONVERT),
    "unreadable": (lambda folder: (folder / "oak/1.bmp").write_bytes(b""), CONVERT),
    "touched": (touch, NOTHING),
    "old": (lambda folder: touch(folder, 0, 0), NOTHING),
    "future": (lambda folder: touch(folder, 4e9, 4e9), NOTHING),
    "protected": (lambda folder: (folder / "oak/1.bmp").chmod(0o444), NOTHING),
    "a-link": (replace_by_a_link, NOTHING),
    "a-hidden-file": (lambda folder: (folder / "oak/.DS_Store").write_bytes(b"x"), NOTHING),
    "a-system-file": (lambda folder: (folder / "Thumbs.db").write_bytes(b"x"), NOTHING),
    "an-empty-class": (lambda folder: (folder / "pine").mkdir(), NOTHING),
    "beside-it": (lambda folder: (folder.parent / "notes.txt").write_text("notes"), NOTHING),
}


@pytest.mark.parametrize("what", PICTURES)
def test_a_change_of_the_pictures_runs_what_depends_on_it(trees: Checkout, what: str):
    change, jobs = PICTURES[what]
    change(trees.path / "data/trees")
    assert trees.planned_jobs(**TREES) == jobs


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        ({"size": [6, 6]}, NOTHING),
        ({"size": 5}, CONVERT),
        ({"fit": "crop"}, CONVERT),
        ({"fit": "pad"}, NOTHING),
        ({"polarity": "light_on_dark"}, CONVERT),
        ({"test_share": 0.3}, CONVERT),
        ({"test_share": 0.2}, NOTHING),
        ({"split_seed": 1}, CONVERT),
        ({"skip_unreadable": True}, CONVERT),
        ({"transposed": True}, CONVERT),
        ({"classes": ["oak", "birch", "willow tree"]}, CONVERT),
        ({"description": "Trees"}, DESCRIBE),
        ({"license": "CC0"}, DESCRIBE),
        ({"images": "./data/trees/"}, NOTHING),
        ({"images": "$HOME/data/trees"}, NOTHING),
        ({"images": "~/data/trees"}, NOTHING),
    ],
    ids=ids,
)
def test_an_option_of_the_entry_runs_what_depends_on_it(trees: Checkout, options, jobs):
    trees.environment = {"HOME": str(trees.path)}
    write_entry(trees, **options)
    assert trees.planned_jobs(**TREES) == jobs


def test_a_folder_that_moves_runs_nothing(trees: Checkout, tmp_path: Path):
    (trees.path / "data/trees").rename(tmp_path / "elsewhere")
    write_entry(trees, images=str(tmp_path / "elsewhere"))
    assert trees.planned_jobs(**TREES) == NOTHING


def test_a_deleted_index_of_the_pictures_runs_nothing(trees: Checkout):
    shutil.rmtree(trees.path / ".snakemake/images")
    assert trees.planned_jobs(**TREES) == NOTHING


def test_a_deleted_description_of_the_conversion_is_made_again(trees: Checkout):
    (trees.path / "results/raw/conversion.json").unlink()
    assert trees.planned_jobs(**TREES) == CONVERT


# ---- An estimator --------------------------------------------------------------------------

MODEL = """
from scaling import SCALE
from sklearn.naive_bayes import BernoulliNB


def build():
    return BernoulliNB(alpha=SCALE)


def other():
    return BernoulliNB()
"""
OWN = {"dataset": "digits", "estimator": "mine/my_model.py:build"}
NOT_LINEAR = {*WITHOUT, "draw_weights"}
# The user's code is read by each program that loads the model.
TRAIN = repeated("train", without=NOT_LINEAR)


@pytest.fixture(scope="module")
def own_run(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with the model of a file of the user's own. Tests must not change it."""
    checkout = digits_run.copied(tmp_path_factory.mktemp("own") / "checkout")
    (checkout.path / "mine").mkdir()
    (checkout.path / "mine/my_model.py").write_text(MODEL)
    (checkout.path / "mine/scaling.py").write_text("SCALE = 1\n")
    (checkout.path / "mine.txt").write_text(f"packaging=={version('packaging')}\n")
    checkout.finish("results/metrics.json", "results/mistakes.png", **OWN)
    return checkout


@pytest.fixture
def own(own_run: Checkout, tmp_path: Path) -> Checkout:
    """A copy of this checkout, which a test may change."""
    return own_run.copied(tmp_path / "own")


def rewrite(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


FILES: dict[str, tuple[Callable[[Path], object], bool]] = {
    "edited": (lambda mine: rewrite(mine / "my_model.py", "BernoulliNB()", "BernoulliNB(2)"), True),
    "a-comment": (
        lambda mine: rewrite(mine / "my_model.py", "def o", "# more\ndef o"),
        True,
    ),
    "line-ends": (lambda mine: rewrite(mine / "my_model.py", "\n", "\r\n"), True),
    "import-edited": (lambda mine: rewrite(mine / "scaling.py", "1", "2"), True),
    "import-added": (lambda mine: rewrite(mine / "scaling.py", "S", "import more\nS"), True),
    "touched": (touch, False),
    "old": (lambda mine: touch(mine, 0, 0), False),
    "future": (lambda mine: touch(mine, 4e9, 4e9), False),
    "another-module": (lambda mine: (mine / "unused.py").write_text("X = 1\n"), False),
    "another-file": (lambda mine: (mine / "weights.npy").write_bytes(b"x"), False),
}


@pytest.mark.parametrize("what", FILES)
def test_a_change_of_the_estimator_runs_what_depends_on_it(own: Checkout, what: str):
    change, is_other = FILES[what]
    (own.path / "mine/more.py").write_text("X = 1\n")
    change(own.path / "mine")
    assert own.planned_jobs("results/metrics.json", "results/mistakes.png", **OWN) == (
        {"train", "evaluate", "draw_mistakes"} if is_other else NOTHING
    )


@pytest.mark.parametrize(
    ("changed", "jobs"),
    [
        ({"estimator": "mine/my_model.py:other"}, {"train", "evaluate", "draw_mistakes"}),
        ({"parameters": "{alpha: 2}"}, {"train", "evaluate", "draw_mistakes"}),
        ({"parameters": "{}"}, NOTHING),
        ({"estimator": "./mine/my_model.py:build"}, NOTHING),
        ({"estimator": "$HOME/mine/my_model.py:build"}, NOTHING),
        # A regression of another kind has neither a rate nor this solver.
        ({"solver": "liblinear"}, NOTHING),
        ({"regularization": 3}, NOTHING),
        ({"validation_fraction": 0.3}, NOTHING),
        ({"seed": 7}, {"train", "evaluate", "draw_mistakes"}),
        ({"extra_packages": "mine.txt"}, {"train", "evaluate", "draw_mistakes"}),
        ({"dataset": "mnist"}, repeated("download_train", "download_t10k", without=NOT_LINEAR)),
    ],
    ids=ids,
)
def test_a_setting_of_the_estimator_runs_what_depends_on_it(own: Checkout, changed, jobs):
    own.environment = {"HOME": str(own.path)}
    targets = "results/metrics.json", "results/mistakes.png"
    wanted = jobs - {"preview", "draw_class_balance", "draw_confusion", "register"}
    assert own.planned_jobs(*targets, **OWN | changed) == wanted


def test_a_file_that_moves_runs_nothing(own: Checkout, tmp_path: Path):
    (own.path / "mine").rename(tmp_path / "elsewhere")
    moved = {"estimator": f"{tmp_path}/elsewhere/my_model.py:build"}
    targets = "results/metrics.json", "results/mistakes.png"
    assert own.planned_jobs(*targets, **OWN | moved) == NOTHING
