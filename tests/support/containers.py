"""Call podman, also where it may not raise its limits, as in a virtual machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

BASE, IMAGE = "localhost/image-workflow-test-base", "localhost/image-workflow-test"
# Podman sets higher limits than it has itself, which needs a capability.
LIMITS = ["--ulimit=nofile=4096:4096", "--ulimit=nproc=4096:4096"]
# crun refuses kernels that have both versions of control groups.
RUNTIME = ["--runtime=runc"] if shutil.which("runc") else []
#: A user without an entry in /etc/passwd.
STRANGER = 12345


def command(verb: str, *arguments: str) -> list[str]:
    """Return a command line of podman."""
    limits = LIMITS if verb in ("build", "run") else []
    return ["podman", *RUNTIME, verb, *limits, *arguments]


def podman(verb: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Call podman, and return what it said."""
    return subprocess.run(command(verb, *arguments), capture_output=True, text=True, **options)


def run(image: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the image as a stranger, without a network, and with nothing to write to but a folder.

    With Docker: --network none --read-only --tmpfs /tmp --user 12345:12345 --volume FOLDER:/work
    """
    where = ["--rm", "--network=none", "--read-only", "--tmpfs=/tmp", f"--volume={folder}:/work"]
    return podman("run", *where, f"--user={STRANGER}:{STRANGER}", image, *arguments)


def main(arguments: list[str]) -> None:
    """Run the command of `apptainer exec` in podman: a stand-in, because Debian has no Apptainer.

    It mounts less than Apptainer: only the folders that Snakemake names, and nothing at /tmp. The
    .sif file contains the name of podman's image.
    """
    if arguments == ["--version"]:
        print("apptainer version 1.3.4")
        return
    _, *options = arguments
    folders, environment = [], []
    while options[0].startswith("--"):
        option, folder, *options = options
        assert option in ("--home", "--bind"), option
        folders.append(f"--volume={folder}:{folder}")
    image, *inside = options
    for name in os.environ.keys() - {"PATH", "HOME"}:
        environment.append(f"--env={name}")
    where = ["--rm", "--network=none", "--read-only", f"--workdir={os.getcwd()}"]
    program = [f"--entrypoint={inside[0]}", Path(image).read_text(), *inside[1:]]
    ended = command("run", *where, *sorted(set(folders)), *environment, *program)
    os.execvp(ended[0], ended)


if __name__ == "__main__":
    main(sys.argv[1:])
