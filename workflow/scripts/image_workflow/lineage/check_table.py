"""Print comparisons as a table with aligned columns."""

import json
import re
from contextlib import suppress
from textwrap import shorten

from image_workflow.backends.interface import Check
from image_workflow.lineage.checksums import sha256_of_json

WIDTH = 34  # characters of a column


def table(checks: list[Check]) -> list[str]:
    """Return the lines of a table with aligned columns. Checksums and long texts are shortened.

    Examples
    --------
    >>> table([Check("model", "a" * 64, "b" * 64), Check("rows", "28", "28")])
    ... # doctest: +NORMALIZE_WHITESPACE
    ['what   expected      found         holds',
     'model  aaaaaaaaaaaa  bbbbbbbbbbbb  NO',
     'rows   28            28            yes']
    """
    cells = [("what", "expected", "found")]
    cells += [
        (printable(check.what), shown(check.expected), shown(check.found)) for check in checks
    ]
    holds = ["holds", *("yes" if check.holds else "NO" for check in checks)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + f"  {last}"
        for row, last in zip(cells, holds, strict=True)
    ]


def shown(text: str) -> str:
    """Return an expected or found value for the table, on one line and short."""
    if text.startswith(("{", "[")):
        with suppress(ValueError):
            text = f"{len(json.loads(text))} values, {sha256_of_json(json.loads(text))}"
    short = re.sub(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b", r"\1", text)
    plain = printable(short)
    return shorten(plain, WIDTH, placeholder="…") if " " in plain else plain[:WIDTH]


def printable(text: str) -> str:
    """Return a text with spaces in place of line breaks and control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
