"""The tables in docs/azure-faults.md name the tests that prove them, and leave none out."""

import ast
import re
from pathlib import Path

from checkout import TOP

HERE = Path(__file__).parent
LINES = (TOP / "docs/azure-faults.md").read_text(encoding="utf-8").splitlines()
#: The cells of each row, without the headings and the lines below them.
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in LINES
    if line.startswith("| ") and not line.endswith("| test |")
]
#: All tests in these files are in a table.
COMPLETE = [f"test_azureml_{name}.py" for name in ("faults", "interrupted", "network", "both")]
#: SDK v1 skips the tests in this file.
ONLY_V2 = "test_azureml_network.py"


def names_of_tests(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {name for name in functions if name.startswith("test_")}


TESTS = {path.name: names_of_tests(path) for path in HERE.glob("test_*.py")}


def test_each_row_names_a_test_that_exists():
    existing = set().union(*TESTS.values())
    named = [re.fullmatch(r"`(\w+)`", row[-1]) for row in ROWS]
    assert len(ROWS) > 40
    assert [
        row
        for row, name in zip(ROWS, named, strict=True)
        if not name or name[1] not in existing or not all(row)
    ] == []


def test_every_test_of_a_fault_is_in_a_row():
    named = {row[-1].strip("`") for row in ROWS}
    assert set().union(*(TESTS[name] for name in COMPLETE)) - named == set()


def test_a_row_has_a_dash_if_sdk_v1_skips_the_test():
    dashes = {row[-1].strip("`") for row in ROWS if row[-2] == "-"}
    assert dashes == TESTS[ONLY_V2]
