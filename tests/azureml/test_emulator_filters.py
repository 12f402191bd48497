"""Test the filter language of the emulated run history service."""

from __future__ import annotations

import doctest

import pytest

from azureml_emulator import odata

RUN = {
    "runId": "mine",
    "status": "Failed",
    "tags": {"a": "x y"},
    "createdUtc": "2026-02-01T10:00:00Z",
    "properties": {"azureml.git.dirty": "True"},
}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (None, True),
        ('(Tags/a eq "x y")', True),
        ('((Tags/a eq "x y") and (Tags/b eq "2"))', False),
        ('(Tags/a eq "z") or (Status eq Failed)', True),
        ("(Status eq Failed) and (Status ne Failed)", False),
        (
            "(RunType eq azureml.scriptrun or Properties/azureml.runsource eq azureml.scriptrun)",
            False,
        ),
        ("(Properties/azureml.git.dirty ne null or Properties/azureml.git.dirty eq null)", True),
        ("(ParentRunId eq null)", True),
        ("(CreatedUtc ge 2026-01-01 00:00:00+00:00)", True),
        ("RunId eq other or RunId eq mine", True),
    ],
)
def test_run_matches_filter(expression, expected):
    assert odata.matches(expression, RUN) is expected


def test_docstring_examples_of_filters():
    assert doctest.testmod(odata).failed == 0
