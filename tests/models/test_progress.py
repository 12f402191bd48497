"""Test the training script's progress: a bar on a terminal, and plain lines elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np

from checkout import TOP
from samples import labelled_images


def training_command(folder: Path) -> list[str]:
    """Write a data set that takes a moment to train on, and return the command to do so."""
    images, labels = labelled_images(6000, 16, 16, classes=list(range(8)))
    (folder / "data").mkdir()
    np.save(folder / "data/train-images.npy", images)
    np.save(folder / "data/train-labels.npy", labels)
    command = [sys.executable, str(TOP / "workflow/scripts/fit.py"), "--data-folder", "data"]
    return [*command, "--regularization", "0.5", "2", "--output", "model.pkl", "--log", "fit.log"]


def run_on_a_terminal(command: list[str], folder: Path) -> str:
    """Run a command with a terminal as stdout and stderr; return everything that it writes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen(command, cwd=folder, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # On Linux, this is the end of the output: the process has ended.
                break
            if not part:
                break
            written += part
    os.close(ours)
    assert process.returncode == 0, written.decode()
    return written.decode()


def read_log(folder: Path) -> list[str]:
    """Return the lines of the log file, without their time stamps."""
    return [line.split(" ", 2)[2] for line in (folder / "fit.log").read_text().splitlines()]


def without_seconds(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+\.\d s$", "", line) for line in lines]


def test_terminal_shows_a_progress_bar_for_each_rate(tmp_path: Path):
    written = run_on_a_terminal(training_command(tmp_path), tmp_path)
    for rate in ("0.5", "2"):
        percentages = [int(number) for number in re.findall(rf"rate {rate}: +(\d+)%\|", written)]
        assert 50 < max(percentages) <= 100
    # A carriage return overwrites the line, so a line shows the text after its last one. The bar
    # is cleared before each message and at the end, so only the messages are left.
    lines = [line.rstrip("\r").split("\r")[-1] for line in written.split("\n")]
    assert [line for line in lines if line.strip()] == read_log(tmp_path)
    assert re.search(r"\r *\r$", written) or written.endswith("\n")


def test_pipe_gets_plain_lines_without_a_bar(tmp_path: Path):
    command = training_command(tmp_path)
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert ended.stdout == b""
    assert b"\r" not in ended.stderr
    assert b"%" not in ended.stderr
    lines = ended.stderr.decode().splitlines()
    assert lines == read_log(tmp_path)
    assert [line for line in lines if line.startswith("rate 0.5, step 1: ")]
    # A terminal gets the same lines.
    run_on_a_terminal(command, tmp_path)
    assert without_seconds(read_log(tmp_path)) == without_seconds(lines)
