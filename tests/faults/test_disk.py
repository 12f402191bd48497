"""Disks that are full, read-only or without locks, things in the way, and odd paths."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkout import Checkout

DIGITS = {"dataset": "digits"}
FULL = "No space left on device. Free space on the disks of this folder and of TMPDIR, and run"
#: The same, said by the registry.
FULL_REGISTRY = "registry/mlflow.db. Free some, and run again: nothing is half-written."
#: A result of each step that runs on a full disk.
STEPS = {
    "parse": "results/arrays/train-images.npy",
    "train": "results/model.pkl",
    "evaluate": "results/metrics.json",
    "preview": "results/preview.png",
    "register": "results/registered.json",
}
# Python runs this at the start of each program.
FILL = """
import os, sys
if any(argument.endswith("/{step}.py") for argument in sys.orig_argv[1:2]):
    for size in (65536, 1):
        try:
            with open("filler", "ab", buffering=0) as filler:
                while filler.write(bytes(size)):
                    pass
        except OSError:
            pass
"""


def line_with(text: str, said: subprocess.CompletedProcess) -> str:
    """Return the only line with the text, after a look for tracebacks."""
    assert "Traceback" not in said.stdout + said.stderr
    (line,) = {line for line in (said.stdout + said.stderr).splitlines() if text in line}
    return line


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Mount a disk of 64 MB, and unmount it after the tests."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def on_disk(disk: Path, digits_run: Checkout) -> Checkout:
    """A checkout on the small disk, with all results of the digits."""
    return digits_run.copied(disk / "checkout")


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk(
    on_disk: Checkout,
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
    step: str,
):
    (on_disk.path / STEPS[step]).unlink()
    ended = on_disk.snakemake_with_patch(FILL.format(step=step), **DIGITS)
    (on_disk.path / "filler").unlink()
    assert ended.returncode == 1
    line = line_with(f"{step}.py: ", ended)
    assert (FULL_REGISTRY if step == "register" else FULL) in line
    on_disk.finish(**DIGITS)
    report_fault(f"disk full in {step}", line, 1, check_as_fresh(on_disk))


def test_a_read_only_disk(
    disk: Path,
    on_disk: Checkout,
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
):
    (on_disk.path / "results/metrics.json").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        ended = on_disk.snakemake(**DIGITS)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert ended.returncode == 1
    line = line_with(".snakemake/running: Read-only file system; run in a folder", ended)
    on_disk.finish(**DIGITS)
    report_fault("read-only folder", line, 1, check_as_fresh(on_disk))


@pytest.mark.parametrize("path", ["results/metrics.json", "results/registered.json"])
def test_a_folder_in_the_way_of_a_file(
    finished: Checkout,
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
    path: str,
):
    (finished.path / path).unlink()
    (finished.path / path).mkdir()
    (finished.path / path / "mine").touch()
    ended = finished.snakemake(**DIGITS)
    assert ended.returncode == 1
    line = line_with(f"{path}: Is a directory. A folder is in the way: move it, and run", ended)
    assert (finished.path / path / "mine").exists()
    shutil.rmtree(finished.path / path)
    finished.finish(**DIGITS)
    report_fault(f"folder in the way of {path}", line, 1, check_as_fresh(finished))


@pytest.mark.parametrize("folder", [".snakemake", "results", "results/arrays"])
@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_a_file_in_the_way_of_a_folder(
    finished: Checkout,
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
    folder: str,
    kind: str,
):
    path, aside = finished.path / folder, finished.path / "aside"
    path.rename(aside)
    path.touch() if kind == "file" else path.symlink_to("missing")
    for arguments in (["-n"], []):
        ended = finished.snakemake(*arguments, **DIGITS)
        assert ended.returncode == 1
        line = line_with(f"expected a folder {folder}, found a file or a broken link; mo", ended)
    path.unlink()
    aside.rename(path)
    finished.finish(**DIGITS)
    report_fault(f"{kind} in the way of {folder}", line, 1, check_as_fresh(finished))


def test_odd_paths(
    tmp_path: Path,
    check_as_fresh: Callable[[Checkout], str],
    report_fault: Callable,
):
    folder = tmp_path / 'it\'s a "größe" $HOME & (日本)'
    while len(os.fsencode(folder)) < 400:  # SQLite takes 512 bytes at most.
        folder /= "a folder with a long name"
    checkout = Checkout.fresh(folder)
    elsewhere = tmp_path / "another disk"
    elsewhere.mkdir()
    (checkout.path / "results").symlink_to(elsewhere)
    checkout.environment = {"TMPDIR": str(tmp_path / "missing")}
    checkout.finish(**DIGITS)
    then = check_as_fresh(checkout)
    injected = "odd and long path, results a link, no TMPDIR"
    report_fault(injected, "none", 0, then, count=3)


def test_a_brace_in_the_path(tmp_path: Path, report_fault: Callable):
    checkout = Checkout.fresh(tmp_path / "a {brace}")
    ended = checkout.snakemake(**DIGITS)
    assert ended.returncode == 1
    line = line_with("Snakemake takes a brace in this path for a wildcard; move the wor", ended)
    report_fault("a brace in the path", line, 1, "not run")


def test_a_file_system_without_locks(
    finished: Checkout, check_as_fresh: Callable[[Checkout], str], report_fault: Callable
):
    (finished.path / "results/preview.png").unlink()
    patch = "import fcntl\ndef flock(*_):\n    raise OSError(38, 'Function not implemented')\n"
    ended = finished.snakemake_with_patch(f"{patch}fcntl.flock = flock\n", **DIGITS)
    assert ended.returncode == 0, ended.stderr
    line = line_with("This file system has no locks", ended)
    report_fault("file system without flock", line, 0, check_as_fresh(finished))
