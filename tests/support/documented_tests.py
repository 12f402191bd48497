"""Tables in documents whose last column names tests."""

import ast
import re
from pathlib import Path

from checkout import TOP

TESTS = TOP / "tests"


def rows(document: str) -> list[list[str]]:
    """Return the cells of all rows of a document's tables, without headings."""
    lines = (TOP / document).read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("| ") and not line.endswith("| test |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in tables]


def named_tests(row: list[str]) -> list[str]:
    """Return the tests in the last cell of a row, such as ``test_parse.py::test_labels``."""
    return re.findall(r"`([^`]+)`", row[-1])


def all_tests(folder: Path = TESTS) -> set[str]:
    """Return each test below a folder with its file, such as ``test_parse.py::test_labels``."""
    found = set()
    for path in folder.rglob("test_*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.add(f"{path.name}::{node.name}")
    return found


def faulty_rows(document: str) -> list[list[str]]:
    """Return the rows of a document with an empty cell, or without a test that exists."""
    existing = all_tests()
    return [
        row
        for row in rows(document)
        if not all(row) or not named_tests(row) or not existing.issuperset(named_tests(row))
    ]
