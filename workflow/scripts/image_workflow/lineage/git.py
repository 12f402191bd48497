"""The git state of the workflow's own code."""

import os
import subprocess
from pathlib import Path


def git_state(folder: Path) -> dict:
    """Return the commit of the checkout at ``folder``, and whether tracked files differ from it.

    Returns
    -------
    dict
        ``commit`` (40 hexadecimal digits) and ``dirty`` (bool). Both are None outside a git
        checkout, and in a checkout that tracks no file of the folder.
    """
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit.strip(), "dirty": bool(changed)}


def git_environment() -> dict[str, str]:
    """Return the environment without the variables that lead git to another repository.

    A hook sets such variables, for instance GIT_DIR.
    """
    return {key: text for key, text in os.environ.items() if not key.startswith("GIT_")}


def _git(folder: Path, *arguments: str) -> str:
    # Do not write to the checkout, not even to its index.
    environment = git_environment() | {"GIT_OPTIONAL_LOCKS": "0"}
    # git distrusts a checkout of another user. Its code is running already.
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout
