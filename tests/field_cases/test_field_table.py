"""docs/field-cases.md has a row for each field case, and each row names its test."""

from documented_tests import all_tests, faulty_rows, named_tests, rows

DOCUMENT = "docs/field-cases.md"


def test_each_row_names_a_test_that_exists():
    assert len(rows(DOCUMENT)) >= 24
    assert faulty_rows(DOCUMENT) == []


def test_every_field_case_is_in_a_row():
    cases = {test for test in all_tests() if test.split("::")[1].startswith("test_field_case_")}
    named = {test for row in rows(DOCUMENT) for test in named_tests(row)}
    assert cases - named == set()
    assert named - cases == set()
