"""Check the user's own estimator before anything runs, once for each version of it.

The check imports scikit-learn and the user's code, so it runs in a process of its own. What it
found is kept in a file, because a start with nothing to do must not take a second longer.
"""

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import code_digests
from image_workflow.models.settings import TrainingSettings

SECONDS = 120  # the longest time that the check may take


def checked_estimator(
    settings: TrainingSettings,
    program: Path,
    folder: Path,
    may_miss_packages: bool,
    extra_packages: str = "",
) -> dict[str, bool]:
    """Return what the workflow must know of the estimator.

    Parameters
    ----------
    settings : TrainingSettings
    program : pathlib.Path
        check_estimator.py.
    folder : pathlib.Path
        Keeps the results of successful checks.
    may_miss_packages : bool
        Whether a package that the estimator needs may be missing in this environment.
    extra_packages : str
        The digest of the user's packages. With others, the check is repeated.

    Returns
    -------
    dict
        ``is_linear``: whether the fitted model will have a coefficient for each pixel.

    Raises
    ------
    UserError
        If the estimator or a parameter is wrong.
    """
    if not settings.is_own:
        return {"is_linear": True}
    if may_miss_packages and not importlib.util.find_spec("sklearn"):
        return {"is_linear": False}
    facts = folder / f"{_digest(settings, program, may_miss_packages, extra_packages)}.json"
    if not facts.exists():
        _run(settings, program, facts, may_miss_packages)
    return json.loads(facts.read_text(encoding="utf-8"))


def _digest(settings: TrainingSettings, program: Path, *packages) -> str:
    """Return a digest of everything that decides the result of the check."""
    return sha256_of_json(
        {
            "arguments": settings.arguments(),
            "estimator": settings.estimator_digests(),
            "code": code_digests(program),
            "packages": [sys.version, version("scikit-learn"), *packages],
        }
    )


def _run(settings: TrainingSettings, program: Path, facts: Path, may_miss_packages: bool) -> None:
    command = [sys.executable, program, *settings.arguments(), "--output", facts]
    command += ["--estimator-folder", settings.estimator_folder]
    command += ["--may-miss-packages"] if may_miss_packages else []
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"the estimator {settings.estimator} was not imported and made in {SECONDS} s. Do not "
            "load data or train at the top level of its file."
        ) from None
    if ended.returncode or not facts.exists():
        lines = ended.stderr.strip().splitlines()
        # The user's code may write to stderr as well.
        sentences = [line for line in lines if line.startswith(f"{program.name}: ")] or lines
        if not sentences:
            raise UserError(
                f"the check of the estimator {settings.estimator} ended with exit code "
                f"{ended.returncode} and without a message. Look for what ends Python, in its file "
                "or in the modules that it imports."
            )
        raise UserError(sentences[-1].removeprefix(f"{program.name}: "))
