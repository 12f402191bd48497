"""The registration receipt: its content, the state of the code that it names, and its summary."""

import json
import subprocess
from pathlib import Path

NUMBERS = "accuracy", "regularization_rate", "n_train", "n_test"


def receipt(
    version: dict,
    registry: dict,
    training: dict,
    measured: dict,
    sweep: dict | None,
    parameters: dict[str, str],
    sha256: dict[str, str],
    git: dict,
    cluster: dict | None = None,
) -> dict:
    """Return what registered.json has, in its order, whichever backend and registry.

    Parameters
    ----------
    version : dict
        The model version: ``name``, ``version`` and the registry's ``id`` of it, if it has one.
    registry : dict
        ``registry`` and ``registry_uri``.
    training : dict
        The content of training.json.
    measured : dict
        The content of metrics.json.
    sweep : dict or None
        The content of sweep.json, if the rate was chosen from several.
    parameters : dict of str
        What the model was trained with.
    sha256 : dict of str
        See :func:`lib.provenance.provenance`.
    git : dict
        See :func:`git_state`.
    cluster : dict, optional
        The cluster's ``name``, and whether this workflow ``created`` it.
    """
    return {
        **version,
        **registry,
        "backend": training["backend"],
        "backend_reason": training["backend_reason"],
        "workspace": training["workspace"],
        "cluster": cluster,
        "run_id": training["run_id"],
        "portal_url": training["portal_url"],
        "metrics": {key: measured[key] for key in NUMBERS},
        "sweep": sweep,
        "parameters": parameters,
        "sha256": sha256,
        "environment": training["environment"],
        "machine": training["machine"],
        "git": git,
    }


def with_rate(parameters: list[str], measured: dict) -> dict[str, str]:
    """Return ``KEY=VALUE`` parameters as a dict, and among them the rate that was measured."""
    rate = {"regularization": f"{measured['regularization_rate']:.15g}"}
    return rate | dict(parameter.split("=", 1) for parameter in parameters)


def read_sweep(path: Path) -> dict | None:
    """Return the content of sweep.json, None if the rate was given and nothing compared."""
    sweep = json.loads(path.read_text(encoding="utf-8"))
    return sweep if sweep["candidates"] else None


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
    uri = receipt.get("portal_url") or receipt["registry_uri"]
    look = uri if uri.startswith("http") else f"{mlflow} ui --backend-store-uri {uri}"
    return (
        f"registered  {receipt['name']} version {receipt['version']}\n"
        f"accuracy    {receipt['metrics']['accuracy']:.4f} on the test set, "
        f"at regularization rate {receipt['metrics']['regularization_rate']:g}\n"
        f"look at it  {look}"
    )
