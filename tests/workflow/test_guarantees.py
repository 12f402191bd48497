"""docs/guarantees.md has no promise without a test."""

from documented_tests import faulty_rows, rows

DOCUMENT = "docs/guarantees.md"


def test_each_promise_names_a_test_that_exists():
    assert len(rows(DOCUMENT)) > 10
    assert faulty_rows(DOCUMENT) == []
