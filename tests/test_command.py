"""The frame of every script: help, log, exit codes, and errors that are one line."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from checkout import TOP, Checkout

SCRIPTS = TOP / "workflow/scripts"
COMMANDS = sorted(path.name for path in SCRIPTS.glob("*.py"))

# A script of our kind whose main does what its first argument says.
SCRIPT = f"""
import argparse, sys, time, warnings
sys.path.append({str(SCRIPTS)!r})
from lib.command import UserError, log, run

def main(options):
    log.info("at work")
    if options.what == "user-error":
        raise UserError("expected tea, found coffee.")
    if options.what == "unexpected":
        raise ZeroDivisionError("division by zero")
    if options.what == "open":
        open("tea.txt")
    if options.what == "warn":
        warnings.warn("rather slow")
    if options.what == "wait":
        time.sleep(60)

parser = argparse.ArgumentParser(prog="brew.py")
parser.add_argument("what")
run(parser, main)
"""


def script(line: str, folder: Path, scripts: Path = SCRIPTS) -> subprocess.CompletedProcess:
    """Run a command line of one of the workflow's scripts, as a rule or a person does."""
    name, *arguments = line.split()
    command = [sys.executable, scripts / name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def brew(tmp_path: Path):
    """Run the script above in ``tmp_path``."""
    (tmp_path / "brew.py").write_text(SCRIPT)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "brew.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


# ---- The frame -----------------------------------------------------------------------------


def test_messages_go_to_stderr_and_into_the_log(tmp_path: Path, brew):
    ended = brew("work", "--log", "logs/brew.log")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "at work\n")
    assert (tmp_path / "logs/brew.log").read_text().endswith(" at work\n")


def test_a_log_is_begun_anew(tmp_path: Path, brew):
    brew("user-error", "--log", "brew.log")
    brew("work", "--log", "brew.log")
    assert len((tmp_path / "brew.log").read_text().splitlines()) == 1


def test_a_user_error_is_one_line_and_exit_code_1(tmp_path: Path, brew):
    for log in ([], ["--log", "brew.log"]):
        ended = brew("user-error", *log)
        assert ended.returncode == 1
        assert ended.stderr == "at work\nbrew.py: expected tea, found coffee.\n"
    logged = (tmp_path / "brew.log").read_text()
    assert logged.endswith(" brew.py: expected tea, found coffee.\n")
    assert "Traceback" not in logged


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path, brew):
    for log in ([], ["--log", "brew.log"]):
        ended = brew("open", *log)
        assert ended.returncode == 1
        assert ended.stderr == "at work\nbrew.py: tea.txt: No such file or directory.\n"
    assert "Traceback (most recent call last)" in (tmp_path / "brew.log").read_text()


def test_an_unexpected_errors_traceback_is_in_the_log_alone(tmp_path: Path, brew):
    ended = brew("unexpected", "--log", "brew.log")
    assert ended.returncode == 1
    assert ended.stderr == (
        "at work\n"
        "brew.py: unexpected ZeroDivisionError: division by zero. The traceback is in brew.log.\n"
    )
    logged = (tmp_path / "brew.log").read_text()
    assert "Traceback (most recent call last)" in logged
    assert 'raise ZeroDivisionError("division by zero")' in logged


def test_without_a_log_the_traceback_is_not_lost(brew):
    ended = brew("unexpected")
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr


def test_warnings_go_to_stderr_and_into_the_log(tmp_path: Path, brew):
    assert "rather slow" in brew("warn", "--log", "brew.log").stderr
    assert "rather slow" in (tmp_path / "brew.log").read_text()


def test_an_interrupted_script_says_so(tmp_path: Path):
    (tmp_path / "brew.py").write_text(SCRIPT)
    command = [sys.executable, "brew.py", "wait"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert said == "brew.py: interrupted; nothing is left half-written.\n"
    assert process.returncode == 130


# ---- The scripts ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_each_script_tells_how_it_is_used(tmp_path: Path, checkout: Checkout, name: str):
    # In a copy, so that a script which does not look at its options does no harm.
    (tmp_path / "empty").mkdir()
    ended = script(f"{name} --help", tmp_path / "empty", checkout.path / "workflow/scripts")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: {name} ")
    assert list((tmp_path / "empty").iterdir()) == []


def refusal(line: str, folder: Path) -> str:
    """Return the last line of what a script says when it refuses; the log has it all."""
    ended = script(f"{line} --log script.log", folder)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    logged = (folder / "script.log").read_text()
    assert all(said in logged for said in ended.stderr.splitlines())
    return ended.stderr.splitlines()[-1]


def test_parse_refuses_with_one_line(tmp_path: Path):
    (tmp_path / "images.gz").write_text("no image")
    said = refusal(
        "parse.py --images images.gz --labels labels.gz"
        " --images-out images.npy --labels-out labels.npy",
        tmp_path,
    )
    assert said.startswith("parse.py: images.gz cannot be parsed: it is not an undamaged gzip file")


def test_train_refuses_with_one_line(tmp_path: Path):
    said = refusal("train.py --data-folder . --regularization 0.5 --output model.pkl", tmp_path)
    assert said == "train.py: expected train-images.npy in the data folder ., found none."
    assert not (tmp_path / "model.pkl").exists()


def test_download_refuses_with_every_reason(tmp_path: Path):
    entry = {"files": {"labels": "0" * 64}, "sources": [{"folder": "nowhere"}]}
    (tmp_path / "datasets.yaml").write_text(json.dumps({"mine": entry}))  # JSON is YAML
    said = refusal("download.py --datasets datasets.yaml --dataset mine raw/labels.gz", tmp_path)
    assert said.startswith("To go on without a network, put the data set's four files into a")


@pytest.mark.parametrize(
    "line",
    [
        "preview.py --images broken.npy --labels labels.npy --output preview.png",
        "evaluate.py --model broken.npy --test-images broken.npy --test-labels labels.npy"
        " --train-labels labels.npy --output metrics.json",
    ],
)
def test_a_broken_array_is_unexpected(tmp_path: Path, line: str):
    """Only another program can have damaged it: the traceback is for whoever looks into that."""
    (tmp_path / "broken.npy").write_text("broken")
    np.save(tmp_path / "labels.npy", np.zeros(3, np.uint8))
    ended = script(f"{line} --log script.log", tmp_path)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.endswith(" The traceback is in script.log.\n")
    assert "Traceback (most recent call last)" in (tmp_path / "script.log").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"broken.npy", "labels.npy", "script.log"}
