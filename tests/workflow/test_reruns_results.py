"""Altered results are made again, with all that follows from them."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from checkout import Checkout
from job_graph import MAKERS, OUTPUTS, repeated

YEAR = 365 * 24 * 3600
DIGITS = {"dataset": "digits"}
#: A file of the same format for each result.
OTHERS = {
    **{name: f"raw/t10k-{name[10:]}" for name in OUTPUTS["download_train"]},
    **{name: f"raw/train-{name[9:]}" for name in OUTPUTS["download_t10k"]},
    **{name: f"arrays/test-{name[13:]}" for name in OUTPUTS["parse_train"]},
    **{name: f"arrays/train-{name[12:]}" for name in OUTPUTS["parse_test"]},
    **{name: "metrics.json" for name in MAKERS if name.endswith(".json")},
    **{name: "weights.png" for name in MAKERS if name.endswith(".png")},
    "metrics.json": "sweep.json",
    "weights.png": "sweep.png",
    "model.pkl": "other.pkl",
}


# ---- Content -------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_quietly(path: Path) -> None:
    """Do the same, and keep the time stamps, as a failing disk does."""
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


ALTERATIONS: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "edited": flip,
    "edited-quietly": flip_quietly,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("how", ALTERATIONS)
def test_an_altered_result_is_made_again(finished: Checkout, name: str, how: str):
    ALTERATIONS[how](finished.path / "results" / name)
    assert finished.planned_jobs(**DIGITS) == repeated(MAKERS[name])


@pytest.mark.parametrize("name", MAKERS)
def test_a_result_that_was_replaced_by_another_valid_file_is_made_again(
    finished: Checkout, name: str
):
    results = finished.path / "results"
    joblib.dump(joblib.load(results / "model.pkl"), results / "other.pkl", compress=3)
    shutil.copyfile(results / OTHERS[name], results / name)
    assert finished.planned_jobs(**DIGITS) == repeated(MAKERS[name])


@pytest.mark.parametrize("name", ["arrays/test-images.npy", "preview.png", "registered.json"])
@pytest.mark.parametrize("how", [empty, replace_by_a_folder])
def test_a_result_that_is_no_file_of_its_kind_is_made_again(
    finished: Checkout, name: str, how: Callable[[Path], object]
):
    how(finished.path / "results" / name)
    assert finished.planned_jobs(**DIGITS) == repeated(MAKERS[name])


@pytest.mark.parametrize("folder", ["raw", "arrays", "records", ""])
def test_a_deleted_folder_is_made_again(finished: Checkout, folder: str):
    shutil.rmtree(finished.path / "results" / folder)
    jobs = {"arrays": ["parse_train", "parse_test"]}.get(folder, OUTPUTS)
    assert finished.planned_jobs(**DIGITS) == repeated(*jobs)


# ---- Content that is the same --------------------------------------------------------------


def replace_by_a_link(path: Path) -> None:
    target = path.with_name(f"{path.name}.real")
    path.rename(target)
    path.symlink_to(target.name)


def rewrite(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


SAME: dict[str, Callable[[Path], object]] = {
    "touched": os.utime,
    "old": lambda path: os.utime(path, (0, 0)),
    "future": lambda path: os.utime(path, (path.stat().st_mtime + YEAR,) * 2),
    "rewritten": rewrite,
    "protected": lambda path: path.chmod(0o444),
    "link": replace_by_a_link,
}


@pytest.mark.parametrize("how", SAME)
@pytest.mark.parametrize("name", ["raw/train-images-idx3-ubyte.gz", "model.pkl", "metrics.json"])
def test_a_result_with_the_same_content_runs_nothing(finished: Checkout, name: str, how: str):
    SAME[how](finished.path / "results" / name)
    assert finished.planned_jobs(**DIGITS) == set()


@pytest.mark.parametrize("how", SAME)
def test_all_results_with_the_same_content_run_nothing(finished: Checkout, how: str):
    # In the reverse order, so that each file is older than those that it was made from.
    for name in reversed(MAKERS):
        SAME[how](finished.path / "results" / name)
    assert finished.planned_jobs(**DIGITS) == set()


@pytest.mark.parametrize("folder", ["logs", "benchmarks", "candidates"])
def test_files_that_are_no_results_run_nothing(finished: Checkout, folder: str):
    shutil.rmtree(finished.path / "results" / folder)
    (finished.path / "results/mine.txt").write_text("a note")
    assert finished.planned_jobs(**DIGITS) == set()


@pytest.mark.parametrize("name", ["preview.png", "records/train.json"])
def test_a_link_to_nowhere_is_named(finished: Checkout, name: str):
    """As after a restart without the disk that the link leads to."""
    path = finished.path / "results" / name
    path.rename(finished.path / "elsewhere")
    path.symlink_to("/nowhere/at/all")
    ended = finished.snakemake("-n", **DIGITS)
    assert ended.returncode == 1
    said = f"{Path('results', name)} is a link to /nowhere/at/all, which does not exist. Connect"
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


# ---- Records -------------------------------------------------------------------------------


def edited_record(change: Callable[[dict], object]) -> Callable[[Path], object]:
    """Return a function that changes the content of a record."""

    def edit(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def change_output(content: dict) -> None:
    next(iter(content["outputs"].values()))["sha256"] = "0" * 64


RECORDS: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "recipe": edited_record(lambda content: content.update(recipe="other")),
    "output": edited_record(change_output),
}


@pytest.mark.parametrize("job", OUTPUTS)
@pytest.mark.parametrize("how", RECORDS)
def test_a_job_whose_record_was_altered_runs_again(finished: Checkout, job: str, how: str):
    RECORDS[how](finished.path / "results/records" / f"{job}.json")
    assert finished.planned_jobs(**DIGITS) == repeated(job)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["outputs"].clear(),
        lambda content: content.pop("inputs"),
        lambda content: content["inputs"].update({"results/sweep.json": "0" * 64}),
        lambda content: content["outputs"]["results/metrics.json"].update(size=1),
    ],
)
def test_a_record_that_was_damaged_is_noticed(finished: Checkout, change: Callable):
    edited_record(change)(finished.path / "results/records/evaluate.json")
    assert finished.planned_jobs(**DIGITS) == repeated("evaluate")


@pytest.mark.parametrize("content", ["", "[]", "null", '{"recipe": 1', "\0"])
def test_a_record_that_is_no_record_is_noticed(finished: Checkout, content: str):
    (finished.path / "results/records/draw_confusion.json").write_text(content)
    assert finished.planned_jobs(**DIGITS) == repeated("draw_confusion")


# ---- Targets and earlier results -----------------------------------------------------------


def test_only_results_that_the_target_needs_are_made_again(finished: Checkout):
    for name in ("preview.png", "model.pkl", "registered.json"):
        (finished.path / "results" / name).write_bytes(b"altered")
    assert finished.planned_jobs("results/preview.png", **DIGITS) == {"preview"}
    assert finished.planned_jobs("results/metrics.json", **DIGITS) == {"train", "evaluate"}


def test_restored_earlier_results_are_not_mistaken_for_new_ones(finished: Checkout, tmp_path: Path):
    earlier = tmp_path / "earlier"
    shutil.copytree(finished.path / "results", earlier)
    finished.finish("results/metrics.json", seed=7, **DIGITS)
    shutil.rmtree(finished.path / "results")
    shutil.copytree(earlier, finished.path / "results")
    expected = repeated("preview", "train")
    assert finished.planned_jobs(seed=7, **DIGITS) == expected
    # The same holds if Snakemake is told that they are up to date.
    finished.finish("--touch", seed=7, **DIGITS)
    assert finished.planned_jobs(seed=7, **DIGITS) == expected
