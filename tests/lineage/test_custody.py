"""The chain of custody: a program reads only what the program before it wrote."""

import os
import pickle
import re
import subprocess
from pathlib import Path

import pytest
from test_job_records import STEPS, make

from checkout import Checkout
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.custody import check_chain, checked_inputs
from image_workflow.lineage.job_records import write_record
from image_workflow.models.estimator import load_model

MEASURE = STEPS[-1]
RECORD = MEASURE.record, MEASURE.recipe


def change_a_byte(path: Path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which every job of the small workflow has run."""
    monkeypatch.chdir(tmp_path)
    for step in STEPS:
        make(step)
    return tmp_path


# ---- Inputs of a program -------------------------------------------------------------------


def test_the_inputs_as_written_are_accepted(made: Path):
    expected = {"model": sha256_of_file(made / "model")}
    assert checked_inputs(RECORD, [Path("model")]) == expected
    assert check_chain(RECORD, [Path("model")]) == expected


def test_a_changed_input_is_named_with_both_checksums(made: Path):
    expected = sha256_of_file(made / "model")
    change_a_byte(made / "model")
    for check in (checked_inputs, check_chain):
        with pytest.raises(UserError) as refused:
            check(RECORD, [Path("model")])
        assert str(refused.value) == (
            f"model is not the file that fit wrote: expected sha256 {expected}, found "
            f"{sha256_of_file(made / 'model')}. Run again to repeat fit."
        )


@pytest.mark.parametrize("name", ["a", "b", "log", "picture"])
def test_only_register_looks_at_what_the_inputs_were_made_from(made: Path, name: str):
    change_a_byte(made / name)
    checked_inputs(RECORD, [Path("model")])
    # Nothing that the model was made from has to do with the picture and the log.
    if name in ("log", "picture"):
        check_chain(RECORD, [Path("model")])
        return
    with pytest.raises(UserError, match=rf"^{name} is not the file that get_{name} wrote: "):
        check_chain(RECORD, [Path("model")])


def test_a_result_of_an_earlier_input_is_refused(made: Path):
    earlier, now = sha256_of_file(made / "b"), STEPS[1]
    make(now, content=" of another data set")
    with pytest.raises(UserError) as refused:
        check_chain(RECORD, [Path("model")])
    assert str(refused.value) == (
        f"model was made from another b: expected sha256 {sha256_of_file(made / 'b')}, found "
        f"{earlier} in the record of fit. Run again to repeat fit."
    )


def test_files_that_no_job_wrote_are_accepted(made: Path):
    (made / "mine").write_text("mine")
    assert checked_inputs(RECORD, [Path("mine")]) == {"mine": sha256_of_file(made / "mine")}


def test_a_program_that_is_run_by_hand_checks_nothing(made: Path):
    change_a_byte(made / "model")
    assert checked_inputs(None, [Path("model")]) == check_chain(None, [Path("model")]) == {}
    write_record(None, [Path("model")], {})


# ---- The programs --------------------------------------------------------------------------

# For each program: one of its inputs, and the job that wrote the input.
INPUTS = {
    "parse_train": ("raw/train-images-idx3-ubyte.gz", "download_train"),
    "describe": ("arrays/test-labels.npy", "parse_test"),
    "preview": ("arrays/train-images.npy", "parse_train"),
    "draw_class_balance": ("dataset.json", "describe"),
    "train": ("arrays/train-images.npy", "parse_train"),
    "draw_sweep": ("sweep.json", "train"),
    "evaluate": ("model.pkl", "train"),
    "draw_confusion": ("metrics.json", "evaluate"),
    "draw_mistakes": ("arrays/test-images.npy", "parse_test"),
    "draw_weights": ("training.json", "train"),
    "register": ("raw/t10k-labels-idx1-ubyte.gz", "download_t10k"),
}
OUTPUTS = {
    "parse_train": "arrays/train-images.npy",
    "describe": "dataset.json",
    "preview": "preview.png",
    "draw_class_balance": "class_balance.png",
    "train": "model.pkl",
    "draw_sweep": "sweep.png",
    "evaluate": "metrics.json",
    "draw_confusion": "confusion.png",
    "draw_mistakes": "mistakes.png",
    "draw_weights": "weights.png",
    "register": "registered.json",
}


@pytest.fixture(scope="module")
def commands(digits_run: Checkout) -> dict[str, str]:
    """The command of each job, by its record. Without Snakemake, a test takes a second."""
    ended = digits_run.finish("-n", "-p", "--forceall", dataset="digits")
    said = ended.stdout + ended.stderr
    found = re.findall(r"Shell command: (.* --record results/records/(\w+)\.json .*)", said)
    return {record: command for command, record in found}


def run_command(command: str, checkout: Checkout) -> subprocess.CompletedProcess:
    """Run the command of a rule in a checkout, whose results may be damaged."""
    return subprocess.run(
        command, shell=True, cwd=checkout.path, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("rule", INPUTS)
def test_each_program_refuses_an_input_that_was_changed_during_the_run(
    finished: Checkout, commands: dict[str, str], rule: str
):
    name, writer = INPUTS[rule]
    results = finished.path / "results"
    before = (results / OUTPUTS[rule]).read_bytes()
    change_a_byte(results / name)
    ended = run_command(commands[rule], finished)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert f"results/{name} is not the file that {writer} wrote: expected sha256 " in line
    assert line.endswith(f" Run again to repeat {writer}.")
    assert (results / OUTPUTS[rule]).read_bytes() == before


def test_the_advice_helps(finished: Checkout):
    """The start of the next run sees the change, even if size and time stamp are kept."""
    model = finished.path / "results/model.pkl"
    before = model.stat()
    change_a_byte(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))
    planned = finished.planned(dataset="digits")
    assert planned.keys() >= {"train", "evaluate", "register"}
    assert not planned.keys() & {"download", "parse", "describe"}


# ---- Pickles -------------------------------------------------------------------------------


class Command:
    """Runs a command when its pickle is loaded."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_a_pickle_that_our_training_did_not_write_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("model.pkl").write_bytes(pickle.dumps(Command()))
    with pytest.raises(UserError, match=r"^model\.pkl is not the model of our training, and is "):
        load_model(Path("model.pkl"), "0" * 64, None)
    assert not Path("ran").exists()
    load_model(Path("model.pkl"), sha256_of_file(Path("model.pkl")), None)
    assert Path("ran").exists(), "the pickle runs no command, so this test proves nothing"


@pytest.mark.parametrize("has_record", [True, False])
@pytest.mark.parametrize("rule", ["evaluate", "draw_mistakes", "draw_weights", "register"])
def test_no_program_loads_a_pickle_that_was_put_in_place_of_the_model(
    finished: Checkout, commands: dict[str, str], rule: str, has_record: bool
):
    model = finished.path / "results/model.pkl"
    model.write_bytes(pickle.dumps(Command()))
    command = commands[rule]
    if not has_record:  # as when a user runs the program by hand
        command = re.sub(r"--record \S+ \S+", "", command)
    ended = run_command(command, finished)
    assert ended.returncode == 1
    assert "results/model.pkl is not the " in ended.stderr
    assert not (finished.path / "ran").exists()
