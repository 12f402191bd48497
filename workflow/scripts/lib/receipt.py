"""The registration receipt: the state of the code that it names, and what it says to a reader."""

import subprocess
from pathlib import Path


def git_state(folder: Path) -> dict:
    """Return the commit of the checkout at ``folder``, and whether tracked files differ from it.

    Returns
    -------
    dict
        ``commit`` (40 hexadecimal digits) and ``dirty`` (bool); both None where there is no git
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


def summary(receipt: dict, mlflow: str) -> str:
    """Say in three lines what was registered, how good it is, and how to look at it.

    Parameters
    ----------
    receipt : dict
        The content of registered.json.
    mlflow : str
        The path of the mlflow command.
    """
    uri = receipt["registry_uri"]
    look = uri if uri.startswith("http") else f"{mlflow} ui --backend-store-uri {uri}"
    return (
        f"registered  {receipt['name']} version {receipt['version']}\n"
        f"accuracy    {receipt['metrics']['accuracy']:.4f} on the test set, "
        f"at regularization rate {receipt['metrics']['regularization_rate']:g}\n"
        f"look at it  {look}"
    )
