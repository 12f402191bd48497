"""The versions that a conda environment file pins."""

import re
from pathlib import Path


def pinned_packages(environment: Path) -> dict[str, str]:
    """Return the versions in the file's pip section, by package."""
    text = environment.read_text(encoding="utf-8")
    return dict(re.findall(r"^ +- ([\w.\[\]-]+)==(\S+)$", text, re.MULTILINE))


def pinned_versions(environment: Path) -> dict[str, str]:
    """Return the version of Python, under ``python``, and those of the packages."""
    text = environment.read_text(encoding="utf-8")
    python = re.search(r"^ +- python=(\S+)$", text, re.MULTILINE)
    return {"python": python[1]} | pinned_packages(environment)
