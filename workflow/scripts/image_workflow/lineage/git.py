"""The git state of the workflow's own code."""

import subprocess
from pathlib import Path


def git_state(folder: Path) -> dict:
    """Return the commit of the checkout at ``folder``, and whether tracked files differ from it.

    Returns
    -------
    dict
        ``commit`` (40 hexadecimal digits) and ``dirty`` (bool). Both are None outside a git
        checkout.
    """
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit.strip(), "dirty": bool(changed)}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
