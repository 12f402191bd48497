"""The table that ``make faults`` prints: each injected fault, and what the user saw."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from checkout import Checkout

COLUMNS = "injected", "message", "exit code", "the next plain run"
WIDTHS = 48, 88, 9, 40


@pytest.fixture
def report_fault(record_property: Callable) -> Callable[..., None]:
    """Return a function that adds a row to the table. A test calls it after its assertions.

    Its arguments are the fault (``injected``) and how often it was injected (``count``), the
    ``message`` that the user saw, the ``exit_code`` or several, what the next plain run ended with
    (``then``), and how many files or versions were ``lost`` or registered twice (``duplicates``),
    as the test counted them.
    """

    def report(
        injected: str,
        message: str,
        exit_code: int | str,
        then: str,
        lost: int = 0,
        duplicates: int = 0,
        count: int = 1,
    ) -> None:
        row = injected, " ".join(message.split()), str(exit_code), then
        record_property("fault", (row, lost, duplicates, count))

    return report


@pytest.fixture
def check_as_fresh(digits_run: Checkout) -> Callable[[Checkout], str]:
    """Return a function that asserts that a checkout has what the digits give a fresh clone.

    It returns what it found, for the table.
    """
    expected = results(digits_run)

    def check(checkout: Checkout) -> str:
        found = results(checkout)
        assert sorted(found) == sorted(expected)
        assert [name for name in found if found[name] != expected[name]] == []
        assert list(checkout.path.rglob(".*.part")) == []
        hidden = [path.name for path in (checkout.path / "registry").glob(".*")]
        assert set(hidden) <= {".mlflow.db.lock"}
        with closing(sqlite3.connect(checkout.path / "registry/mlflow.db")) as database:
            versions = database.execute("SELECT version FROM model_versions").fetchall()
            unfinished = database.execute(
                "SELECT run_uuid FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'"
                " UNION SELECT model_id FROM logged_models"
                " WHERE status = 1 AND lifecycle_stage = 'active'"  # pending
            ).fetchall()
        assert (versions, unfinished) == ([(1,)], [])
        return "fresh clone's bytes, one version"

    return check


def results(checkout: Checkout) -> dict[str, bytes | dict]:
    """Return the content of each result, and the receipt without what differs in each registry."""
    folder = checkout.path / "results"
    paths = [path for path in folder.rglob("*") if path.is_file()]
    kept = [path for path in paths if path.parent.name not in ("logs", "benchmarks", "records")]
    contents = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    receipt = json.loads(contents["registered.json"])
    others = {"run_id", "artifact_sha256"}
    return contents | {"registered.json": {key: receipt[key] for key in receipt.keys() - others}}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table and its sums."""
    ended = [
        report
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if report.nodeid.startswith("tests/faults/")
    ]
    rows = [
        (Path(report.nodeid.split("::")[0]).stem.removeprefix("test_"), *value)
        for report in ended
        for name, value in report.user_properties
        if name == "fault"
    ]
    if not rows:
        return
    write = terminalreporter.write_line
    for subject in sorted({subject for subject, *_ in rows}):
        terminalreporter.section(subject)
        write(_line(COLUMNS))
        for row in sorted(tuple(row) for found, row, *_ in rows if found == subject):
            write(_line(row))
    failed = sum(report.failed for report in ended)
    terminalreporter.section("sum")
    survived = sum(count for *_, count in rows)
    write(f"faults injected  {survived + failed}")
    write(f"survived         {survived}")
    write(f"data lost        {sum(lost for *_, lost, _, _ in rows)}")
    write(f"duplicates       {sum(duplicates for *_, duplicates, _ in rows)}")


def _line(cells: tuple[str, ...]) -> str:
    cut = (
        cell if len(cell) <= width else f"{cell[: width - 3]}..."
        for cell, width in zip(cells, WIDTHS, strict=True)
    )
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cut, WIDTHS, strict=True)).rstrip()
