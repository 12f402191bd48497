"""The versions that a conda environment file pins."""

import re
from pathlib import Path


def pinned(environment: Path) -> dict[str, str]:
    """Return the pinned versions in the file's pip section, by package."""
    text = environment.read_text(encoding="utf-8")
    return dict(re.findall(r"^ +- ([\w.\[\]-]+)==(\S+)$", text, re.MULTILINE))


def pinned_python(environment: Path) -> str:
    """Return the version of Python in the file."""
    line = next(text for text in environment.read_text().splitlines() if "- python=" in text)
    return line.split("=")[1]
