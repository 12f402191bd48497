"""Test the frame of every program: help, log, exit codes, and errors of one line."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from checkout import TOP, Checkout
from image_workflow import interrupts
from picture_checks import data_set_of
from training import write_training_file

SCRIPTS = TOP / "workflow/scripts"
# A server runs score.py.
PROGRAMS = sorted(path.name for path in SCRIPTS.glob("*.py") if path.name != "score.py")

# A program with the frame of the workflow's programs. Its argument decides what it does.
BREW = f"""
import argparse, errno, os, sys, time, warnings
sys.path.append({str(SCRIPTS)!r})
from image_workflow.command import log, run
from image_workflow.errors import UserError

def main(options):
    log.info("started")
    if options.action == "user-error":
        raise UserError("expected tea, found coffee.")
    if options.action == "unexpected":
        raise ZeroDivisionError("division by zero")
    if options.action == "unexpected-without-text":
        raise KeyError
    if options.action == "open":
        open("tea.txt")
    if options.action == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if options.action == "folder in the way":
        os.mkdir("tea")
        open("part", "w").close()
        os.replace("part", "tea")
    if options.action == "file in the way":
        open("tea", "w").close()
        os.makedirs("tea/pot")
    if options.action == "system-error-without-text":
        raise TimeoutError
    if options.action == "warn":
        warnings.warn("water is low")
    if options.action == "wait":
        time.sleep(60)
    if options.action == "swallow":
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            raise ImportError("numpy.core.multiarray failed to import")
    if options.action == "destroy":
        class Tea:
            def __del__(self):
                time.sleep(60)
        del [Tea()][0]
        time.sleep(60)
    if options.action == "clean up slowly":
        try:
            log.info("working")
            time.sleep(60)
        finally:
            log.info("cleaning up")
            time.sleep(60)

parser = argparse.ArgumentParser(prog="brew.py")
parser.add_argument("action")
run(parser, main)
"""


def run_program(line: str, folder: Path, scripts: Path = SCRIPTS) -> subprocess.CompletedProcess:
    """Run a command line of one of the workflow's programs."""
    name, *arguments = line.split()
    command = [sys.executable, scripts / name, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def brew(tmp_path: Path):
    """Return a function that runs the program above in ``tmp_path``."""
    (tmp_path / "brew.py").write_text(BREW)

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "brew.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


# ---- Messages ------------------------------------------------------------------------------


def test_messages_go_to_stderr_and_to_the_log(tmp_path: Path, brew):
    ended = brew("work", "--log", "logs/brew.log")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "started\n")
    assert (tmp_path / "logs/brew.log").read_text().endswith(" started\n")


def test_each_run_overwrites_the_log(tmp_path: Path, brew):
    brew("user-error", "--log", "brew.log")
    brew("work", "--log", "brew.log")
    assert len((tmp_path / "brew.log").read_text().splitlines()) == 1


def test_warnings_go_to_stderr_and_to_the_log(tmp_path: Path, brew):
    assert "water is low" in brew("warn", "--log", "brew.log").stderr
    assert "water is low" in (tmp_path / "brew.log").read_text()


# ---- Errors --------------------------------------------------------------------------------


def test_user_error_is_one_line_with_exit_code_1(tmp_path: Path, brew):
    for log in ([], ["--log", "brew.log"]):
        ended = brew("user-error", *log)
        assert ended.returncode == 1
        assert ended.stderr == "started\nbrew.py: expected tea, found coffee.\n"
    logged = (tmp_path / "brew.log").read_text()
    assert logged.endswith(" brew.py: expected tea, found coffee.\n")
    assert "Traceback" not in logged


def test_operating_system_error_is_one_line(tmp_path: Path, brew):
    for log in ([], ["--log", "brew.log"]):
        ended = brew("open", *log)
        assert ended.returncode == 1
        assert ended.stderr == "started\nbrew.py: tea.txt: No such file or directory.\n"
    assert "Traceback (most recent call last)" in (tmp_path / "brew.log").read_text()


@pytest.mark.parametrize(
    ("action", "line"),
    [
        (
            "full",
            "No space left on device. Free space on the disks of this folder and of TMPDIR, and "
            "run again.",
        ),
        (
            "folder in the way",
            "tea: Is a directory. A folder is in the way: move it, and run again.",
        ),
        (
            "file in the way",
            "tea/pot: Not a directory. A file is in the way of a folder: move it, and run again.",
        ),
    ],
)
def test_operating_system_error_ends_with_advice(brew, action: str, line: str):
    ended = brew(action)
    assert ended.returncode == 1
    assert ended.stderr == f"started\nbrew.py: {line}\n"


def test_a_log_on_a_full_disk_is_no_error(brew):
    ended = brew("work", "--log", "/dev/full")
    assert (ended.returncode, ended.stderr) == (0, "started\n")


def test_operating_system_error_without_text_is_reported_by_its_type(brew):
    ended = brew("system-error-without-text")
    assert ended.returncode == 1
    assert ended.stderr == "started\nbrew.py: TimeoutError.\n"


def test_traceback_of_an_unexpected_error_goes_only_to_the_log(tmp_path: Path, brew):
    ended = brew("unexpected", "--log", "brew.log")
    assert ended.returncode == 1
    assert ended.stderr == (
        "started\n"
        "brew.py: unexpected ZeroDivisionError: division by zero. The traceback is in brew.log.\n"
    )
    logged = (tmp_path / "brew.log").read_text()
    assert "Traceback (most recent call last)" in logged
    assert 'raise ZeroDivisionError("division by zero")' in logged


def test_unexpected_error_without_text_is_reported_by_its_type(tmp_path: Path, brew):
    ended = brew("unexpected-without-text", "--log", "brew.log")
    assert ended.returncode == 1
    assert ended.stderr == (
        "started\nbrew.py: unexpected KeyError. The traceback is in brew.log.\n"
    )
    assert "Traceback (most recent call last)" in (tmp_path / "brew.log").read_text()


def test_traceback_goes_to_stderr_if_there_is_no_log(brew):
    ended = brew("unexpected")
    assert ended.returncode == 1
    assert "Traceback (most recent call last)" in ended.stderr


# ---- Interruptions -------------------------------------------------------------------------

INTERRUPTED = "brew.py: interrupted; no file is half-written.\n"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def interrupted(
    command: list, folder: Path, line: str, *signals: signal.Signals, **options
) -> tuple[str, int]:
    """Send a signal each time the program has printed a line; return the rest and the exit code."""
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, **options
    ) as process:
        for expected, number in zip(line.splitlines(True), signals, strict=True):
            assert process.stderr.readline() == expected
            process.send_signal(number)
        return process.stderr.read(), process.wait()


@pytest.mark.parametrize("number", CODES)
def test_interruption_is_one_line(tmp_path: Path, number: signal.Signals):
    (tmp_path / "brew.py").write_text(BREW)
    command = [sys.executable, "brew.py", "wait"]
    assert interrupted(command, tmp_path, "started\n", number) == (INTERRUPTED, CODES[number])


@pytest.mark.parametrize("action", ["swallow", "destroy"])
def test_interruption_that_a_library_swallows_is_one_line(tmp_path: Path, action: str):
    (tmp_path / "brew.py").write_text(BREW)
    command = [sys.executable, "brew.py", action]
    assert interrupted(command, tmp_path, "started\n", signal.SIGINT) == (INTERRUPTED, 130)


def test_second_interruption_ends_a_program_that_takes_long_to_end(tmp_path: Path):
    (tmp_path / "brew.py").write_text(BREW)
    command = [sys.executable, "brew.py", "clean up slowly"]
    signals = signal.SIGCONT, signal.SIGINT, signal.SIGTERM
    ended = interrupted(command, tmp_path, "started\nworking\ncleaning up\n", *signals)
    assert ended == (INTERRUPTED, 143)


@pytest.mark.parametrize("number", CODES)
def test_interruption_of_an_import_is_one_line(tmp_path: Path, number: signal.Signals):
    slow = "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    scripts = shutil.copytree(SCRIPTS, tmp_path / "scripts")
    (scripts / "tqdm.py").write_text(slow)
    command = [sys.executable, scripts / "download.py"]
    ended = interrupted(command, tmp_path, "importing\n", number)
    assert ended == ("download.py: interrupted; no file is half-written.\n", CODES[number])


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_imports_the_module_of_its_start_first(name: str):
    first, *_ = (
        node for node in ast.parse((SCRIPTS / name).read_text()).body if type(node) is not ast.Expr
    )
    assert ast.unparse(first) == "import image_workflow.start"


@pytest.mark.parametrize("name", ["numpy", "random"])
def test_a_module_in_pythonpath_or_in_the_folder_replaces_none_of_the_environment(
    tmp_path: Path, name: str
):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('foreign')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    # describe.py needs numpy, and tempfile, which needs random.
    command = [sys.executable, SCRIPTS / "describe.py", "--help"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_worker_processes_leave_ctrl_c_to_the_program():
    before = signal.getsignal(signal.SIGINT)
    asked = "import signal; print(signal.getsignal(signal.SIGINT) == signal.SIG_IGN)"
    with interrupts.ignored():
        answer = subprocess.check_output([sys.executable, "-c", asked], text=True)
    assert answer == "True\n"
    assert signal.getsignal(signal.SIGINT) == before


def test_a_program_in_the_background_ignores_ctrl_c_and_a_job_of_snakemake_does_not(tmp_path: Path):
    (tmp_path / "brew.py").write_text(BREW)
    command = ["sh", "-c", f"trap '' INT HUP; exec {sys.executable} brew.py wait"]
    job = os.environ | {"HEED_SIGINT": "1"}
    assert interrupted(command, tmp_path, "started\n", signal.SIGINT, env=job)[1] == 130
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGHUP)  # nohup
        time.sleep(0.2)
        assert process.poll() is None
        process.terminate()
        assert process.stderr.read() == INTERRUPTED


# ---- The programs --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_has_a_help_text(tmp_path: Path, checkout: Checkout, name: str):
    # Run a copy, so that a program that ignores its options cannot do harm.
    (tmp_path / "empty").mkdir()
    ended = run_program(f"{name} --help", tmp_path / "empty", checkout.path / "workflow/scripts")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"usage: {name} ")
    assert list((tmp_path / "empty").iterdir()) == []


def error_line(line: str, folder: Path) -> str:
    """Run a program that must fail, check its log, and return the last line on stderr."""
    ended = run_program(f"{line} --log program.log", folder)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    logged = (folder / "program.log").read_text()
    assert all(message in logged for message in ended.stderr.splitlines())
    return ended.stderr.splitlines()[-1]


def test_parse_reports_a_damaged_file_in_one_line(tmp_path: Path):
    (tmp_path / "images.gz").write_text("no image")
    message = error_line(
        "parse.py --images images.gz --labels labels.gz"
        " --images-out images.npy --labels-out labels.npy",
        tmp_path,
    )
    assert message == (
        "parse.py: images.gz cannot be parsed: expected an IDX header (00 00 08 ..), "
        "found a text that begins with 'no image'. If it is a table of pixels, let its name end "
        "in .csv: see docs/your-own-images.md."
    )


def test_fit_reports_a_missing_array_in_one_line(tmp_path: Path):
    message = error_line("fit.py --data-folder . --regularization 0.5 --output model.pkl", tmp_path)
    assert message == "fit.py: expected train-images.npy in the data folder ., found none."
    assert not (tmp_path / "model.pkl").exists()


def test_download_ends_its_error_with_advice(tmp_path: Path):
    entry = {"files": {"labels": "0" * 64}, "sources": [{"folder": "nowhere"}]}
    words = json.dumps(entry, separators=(",", ":"))
    message = error_line(f"download.py --entry {words} raw/labels.gz", tmp_path)
    assert message == "Please put the data set's four files into the folder nowhere."


@pytest.mark.parametrize(
    "line",
    [
        "preview.py --images broken.npy --labels labels.npy --dataset-file dataset.json"
        " --output preview.png",
        "evaluate.py --model broken.npy --training training.json --sweep sweep.json"
        " --test-images broken.npy --test-labels labels.npy"
        " --dataset-file dataset.json --output metrics.json",
    ],
)
def test_damaged_array_is_an_unexpected_error(tmp_path: Path, line: str):
    # The workflow's own programs write no damaged arrays, so the traceback may help to find out
    # where this one came from.
    (tmp_path / "broken.npy").write_text("broken")
    write_training_file(tmp_path / "broken.npy")
    np.save(tmp_path / "labels.npy", np.zeros(3, np.uint8))
    data_set_of(["zero", "one"], [3, 0], [3, 0]).write(tmp_path / "dataset.json")
    before = set(tmp_path.iterdir())
    ended = run_program(f"{line} --log program.log", tmp_path)
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.endswith(" The traceback is in program.log.\n")
    assert "Traceback (most recent call last)" in (tmp_path / "program.log").read_text()
    assert set(tmp_path.iterdir()) == before | {tmp_path / "program.log"}
