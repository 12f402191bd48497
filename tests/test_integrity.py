"""Results are compared with the records of the jobs: lib/record.py, lib/integrity.py."""

import json
import os
import shutil
from pathlib import Path

import pytest

from lib.integrity import Step, steps_to_repeat
from lib.record import read_record, sha256, write_record

# As the workflow's, in small: two files, what is made of each, and of both.
STEPS = [
    Step("get_a.json", "recipe", ["a"], []),
    Step("get_b.json", "recipe", ["b"], []),
    Step("draw.json", "recipe", ["picture"], ["a"], absent=["orphan"]),
    Step("fit.json", "recipe", ["model", "log"], ["a", "b"]),
    Step("measure.json", "recipe", ["metrics"], ["model"]),
]


def make(step: Step, content: str = "") -> None:
    """Do the job of a step."""
    for output in step.outputs:
        Path(output).write_text(f"{output}{content}")
    write_record((step.record, step.recipe), map(Path, step.outputs), map(Path, step.inputs))


def repeated(steps: list[Step] = STEPS) -> list[str]:
    """Return the records of the steps that are to be repeated."""
    return [record.removesuffix(".json") for record in steps_to_repeat(steps)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every job was done."""
    monkeypatch.chdir(tmp_path)
    for step in STEPS:
        make(step)
    assert repeated() == []
    return tmp_path


def test_a_fresh_clone_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert repeated() == []


@pytest.mark.parametrize("count", range(len(STEPS)))
def test_a_run_that_was_cut_short_repeats_nothing(tmp_path, monkeypatch, count: int):
    monkeypatch.chdir(tmp_path)
    for step in STEPS[:count]:
        make(step)
    assert repeated() == []


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.record)
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"X" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(b"null"),
        lambda path: path.write_bytes(b'{"outputs": {"a": 1}, "inputs": {}}'),
    ],
    ids=["deleted", "emptied", "truncated", "edited", "null", "other JSON"],
)
def test_what_is_missing_or_altered_is_repeated(made: Path, step: Step, damage):
    for name in (*step.outputs, step.record):
        shutil.copytree(made, made / "copy", ignore=shutil.ignore_patterns("copy"))
        damage(made / name)
        # A last result that is missing altogether is Snakemake's own concern.
        expected = [step.record.removesuffix(".json")]
        assert repeated() == expected, name
        shutil.copytree(made / "copy", made, dirs_exist_ok=True)
        shutil.rmtree(made / "copy")


def test_what_is_missing_altogether_is_repeated_if_something_was_made_from_it(made: Path):
    for name in ("model", "log", "fit.json", "b", "get_b.json"):
        (made / name).unlink()
    assert repeated() == ["get_b", "fit"]
    for name in ("metrics", "measure.json"):
        (made / name).unlink()
    assert repeated() == []


def test_a_touched_or_copied_file_is_intact(made: Path):
    for path in made.iterdir():
        path.write_bytes(path.read_bytes())
        os.utime(path)
    assert repeated() == []


def test_an_old_file_is_altered_though_its_time_is_old(made: Path):
    old = made / "old model"
    shutil.copy2("model", old)
    make(STEPS[3], content=" of another rate")
    make(STEPS[4])
    shutil.move(old, "model")
    assert repeated() == ["fit"]


def test_what_was_made_from_another_file_is_repeated_whatever_the_times(made: Path):
    make(STEPS[0], content=" of another data set")
    for path in ("model", "log", "picture", "metrics"):
        os.utime(path)
    assert repeated() == ["draw", "fit"]


def test_an_orphan_is_repeated_by_who_removes_it(made: Path):
    (made / "orphan").touch()
    assert repeated() == ["draw"]


def test_what_was_made_by_another_recipe_is_repeated(made: Path):
    steps = [step._replace(recipe="another") if "fit" in step.record else step for step in STEPS]
    assert repeated(steps) == ["fit"]


def test_the_reasons_name_the_files(made: Path):
    other = STEPS[3]._replace(recipe="another")
    assert steps_to_repeat([*STEPS[:3], other, STEPS[4]]) == {
        "fit.json": "model was made with other settings or code"
    }
    make(STEPS[0], content="another")
    (made / "model").unlink()
    (made / "measure.json").write_text("{")
    (made / "b").write_text("altered")
    (made / "orphan").touch()
    assert steps_to_repeat(STEPS) == {
        "get_b.json": "b was altered",
        "draw.json": "orphan is of another configuration",
        "fit.json": "model is missing",
        "measure.json": "measure.json is missing or damaged",
    }
    (made / "orphan").unlink()
    assert steps_to_repeat(STEPS)["draw.json"] == "picture was made from another a"


def test_the_checksum_of_an_input_is_taken_from_its_record(made: Path):
    """An input of gigabytes is not read again; one that was altered is."""
    recorded = json.loads((made / "get_a.json").read_text())
    recorded["outputs"]["a"]["sha256"] = "0" * 64
    (made / "get_a.json").write_text(json.dumps(recorded))
    make(STEPS[2])
    assert read_record(made / "draw.json")["inputs"] == {"a": "0" * 64}
    (made / "a").write_text("altered")
    make(STEPS[2])
    assert read_record(made / "draw.json")["inputs"] == {"a": sha256(made / "a")}


def test_without_a_record_nothing_is_written(tmp_path: Path):
    write_record(None, [tmp_path / "model"])
    assert list(tmp_path.iterdir()) == []
