"""The versions that a conda environment file pins, and those that are installed.

The files are not parsed as YAML, because a training has only the pinned packages. In all of them
the pip section comes last.
"""

import importlib.metadata
import re
import sys
from contextlib import suppress
from pathlib import Path

PIP_PIN = re.compile(r"^ +- ([\w.,\[\]-]+)==(\S+)$", re.MULTILINE)
CONDA_PIN = re.compile(r"^ +- (?:\S+::)?([\w.-]+)==?([^\s=]+)$", re.MULTILINE)


def pinned_packages(environment: Path) -> dict[str, str]:
    """Return the versions in the file's pip section, by package."""
    return dict(PIP_PIN.findall(_sections(environment)[1]))


def pinned_versions(environment: Path) -> dict[str, str]:
    """Return the version of Python, under ``python``, and those of all packages."""
    conda, pip = _sections(environment)
    return dict(CONDA_PIN.findall(conda)) | dict(PIP_PIN.findall(pip))


def installed_version(package: str) -> str | None:
    """Return the installed version of a package of pip or conda, or None."""
    name = package.partition("[")[0]
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    # conda describes each package in NAME-VERSION-BUILD.json.
    for path in Path(sys.prefix, "conda-meta").glob(f"{name}-*-*.json"):
        found, version, _ = path.stem.rsplit("-", 2)
        if found == name:
            return version
    return None


def _sections(environment: Path) -> tuple[str, str]:
    """Return the file's text before the pip section, and the pip section."""
    conda, _, pip = environment.read_text(encoding="utf-8").partition("- pip:\n")
    return conda, pip
