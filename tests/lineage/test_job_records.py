"""Job records, and the comparison of results with them."""

import os
import shutil
from pathlib import Path

import pytest

from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import write_record
from image_workflow.lineage.steps import Step, steps_to_repeat

# A small workflow: two downloads, a result of the first, a result of both, and its metrics.
STEPS = [
    Step("get_a.json", "recipe", ["a"], []),
    Step("get_b.json", "recipe", ["b"], []),
    Step("draw.json", "recipe", ["picture"], ["a"]),
    Step("fit.json", "recipe", ["model", "log"], ["a", "b"]),
    Step("measure.json", "recipe", ["metrics"], ["model"]),
]


def make(step: Step, content: str = "") -> None:
    """Write the outputs and the record of a step."""
    for output in step.outputs:
        Path(output).write_text(f"{output}{content}")
    inputs = checked_inputs((step.record, step.recipe), map(Path, step.inputs))
    write_record((step.record, step.recipe), map(Path, step.outputs), inputs)


def repeated(steps: list[Step] = STEPS) -> list[str]:
    """Return the names of the steps to repeat."""
    return [record.removesuffix(".json") for record in steps_to_repeat(steps)]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every job has run."""
    monkeypatch.chdir(tmp_path)
    for step in STEPS:
        make(step)
    assert repeated() == []
    return tmp_path


def test_a_fresh_clone_repeats_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert repeated() == []


@pytest.mark.parametrize("count", range(len(STEPS)))
def test_an_incomplete_run_repeats_nothing(tmp_path, monkeypatch, count: int):
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
def test_a_missing_or_altered_file_repeats_its_step(made: Path, step: Step, damage):
    for name in (*step.outputs, step.record):
        shutil.copytree(made, made / "copy", ignore=shutil.ignore_patterns("copy"))
        damage(made / name)
        expected = [step.record.removesuffix(".json")]
        assert repeated() == expected, name
        shutil.copytree(made / "copy", made, dirs_exist_ok=True)
        shutil.rmtree(made / "copy")


def test_a_missing_step_is_repeated_if_later_results_exist(made: Path):
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


def test_an_old_file_that_replaces_a_new_one_is_altered(made: Path):
    old = made / "old model"
    shutil.copy2("model", old)
    make(STEPS[3], content=" of another rate")
    make(STEPS[4])
    shutil.move(old, "model")
    assert repeated() == ["fit"]


def test_a_changed_input_repeats_its_users_whatever_the_times(made: Path):
    make(STEPS[0], content=" of another data set")
    for path in ("model", "log", "picture", "metrics"):
        os.utime(path)
    assert repeated() == ["draw", "fit"]


def test_a_reason_that_is_known_beforehand_repeats_the_step(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = [*STEPS[:4], STEPS[4]._replace(reason="its picture is missing")]
    assert steps_to_repeat(steps) == {"measure.json": "its picture is missing"}


def test_another_recipe_repeats_the_step(made: Path):
    steps = [step._replace(recipe="another") if "fit" in step.record else step for step in STEPS]
    assert repeated(steps) == ["fit"]


def test_the_reasons_name_the_files(made: Path):
    other = STEPS[3]._replace(recipe="another")
    assert steps_to_repeat([*STEPS[:3], other, STEPS[4]]) == {
        "fit.json": "model was made with other source files, settings or code"
    }
    make(STEPS[0], content="another")
    (made / "model").unlink()
    (made / "measure.json").write_text("{")
    (made / "b").write_text("altered")
    steps = [
        step._replace(reason="it is Friday") if "draw" in step.record else step for step in STEPS
    ]
    assert steps_to_repeat(steps) == {
        "get_b.json": "b was altered",
        "draw.json": "it is Friday",
        "fit.json": "model is missing",
        "measure.json": "measure.json is missing or damaged",
    }
    assert steps_to_repeat(STEPS)["draw.json"] == "picture was made from another a"


def test_without_a_record_nothing_is_written(tmp_path: Path):
    write_record(None, [tmp_path / "model"])
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_one_writer(made: Path):
    """As raw files that were downloaded, and then converted from images of one's own."""
    convert = Step("convert.json", "1", ["a", "b"], [])
    make(convert, "other")
    assert not (made / "get_a.json").exists()
    assert (made / "draw.json").exists()
    make(STEPS[2])  # It reads the other a, and does not refuse it.
