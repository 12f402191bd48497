"""The table that ``make faults`` prints: each injected fault, and what the user saw."""

from collections.abc import Callable
from pathlib import Path

import pytest

COLUMNS = "injected", "message", "exit code", "the next plain run"
WIDTHS = 48, 88, 9, 40


@pytest.fixture
def report_fault(record_property: Callable) -> Callable[..., None]:
    """Return a function that adds a row to the table. A test calls it after its assertions.

    Its arguments are the fault (``injected``), the ``message`` that the user saw, the
    ``exit_code``, what the next plain run ended with (``then``), and how many files or versions
    were ``lost`` or registered twice (``duplicates``), as the test counted them.
    """

    def report(
        injected: str, message: str, exit_code: int, then: str, lost: int = 0, duplicates: int = 0
    ) -> None:
        row = injected, " ".join(message.split()), str(exit_code), then
        record_property("fault", (row, lost, duplicates))

    return report


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
    write(f"faults injected  {len(rows) + failed}")
    write(f"survived         {len(rows)}")
    write(f"data lost        {sum(lost for *_, lost, _ in rows)}")
    write(f"duplicates       {sum(duplicates for *_, duplicates in rows)}")


def _line(cells: tuple[str, ...]) -> str:
    cut = (
        cell if len(cell) <= width else f"{cell[: width - 3]}..."
        for cell, width in zip(cells, WIDTHS, strict=True)
    )
    return "  ".join(f"{cell:{width}}" for cell, width in zip(cut, WIDTHS, strict=True)).rstrip()
