"""Evaluate the run history service's filter language, as far as the SDK uses it."""

from __future__ import annotations

import re

#: A parenthesis, a logical operator, or a comparison. The value of a comparison may contain spaces
#: without quotation marks; it ends before a closing parenthesis or a logical operator.
TOKEN = re.compile(
    r"\s*(?:(\()|(\))|(and|or)\b"
    r'|([^()\s"]+)\s+(eq|ne|ge|gt)\s+("[^"]*"|[^()]+?)(?=\s*\)|\s+(?:and|or)\s|\s*$))'
)

COLUMNS = {
    "RunId": "runId",
    "Status": "status",
    "RunType": "runType",
    "ParentRunId": "parentRunId",
    "RootRunId": "rootRunId",
    "Target": "target",
    "CreatedUtc": "createdUtc",
    "Name": "name",
}


def matches(expression: str | None, run: dict) -> bool:
    """Tell whether a run satisfies a filter.

    Examples
    --------
    >>> matches('(Tags/kind eq "final") and (ParentRunId eq null)', {"tags": {"kind": "final"}})
    True
    >>> matches("(Tags/kind ne null or Tags/kind eq null)", {"tags": {}})
    False
    """
    tokens = _tokenize(expression or "")
    return _evaluate_or(tokens, run) if tokens else True


def _tokenize(expression: str) -> list[tuple]:
    tokens, position = [], 0
    while position < len(expression.rstrip()):
        token = TOKEN.match(expression, position)
        if not token:
            raise ValueError(f"cannot parse the filter {expression!r} at character {position}")
        tokens.append(token.groups())
        position = token.end()
    return tokens


def _evaluate_or(tokens: list[tuple], run: dict) -> bool:
    result = _evaluate_and(tokens, run)
    while tokens and tokens[0][2] == "or":
        tokens.pop(0)
        result = _evaluate_and(tokens, run) or result
    return result


def _evaluate_and(tokens: list[tuple], run: dict) -> bool:
    result = _evaluate_operand(tokens, run)
    while tokens and tokens[0][2] == "and":
        tokens.pop(0)
        result = _evaluate_operand(tokens, run) and result
    return result


def _evaluate_operand(tokens: list[tuple], run: dict) -> bool:
    opening, _, _, name, operator, value = tokens.pop(0)
    if not opening:
        return _evaluate_comparison(name, operator, value, run)
    result = _evaluate_or(tokens, run)
    tokens.pop(0)
    return result


def _evaluate_comparison(name: str, operator: str, text: str, run: dict) -> bool:
    operand = None if text == "null" else text.strip('"')
    group, _, key = name.partition("/")
    if key:
        # The SDK asks whether a tag exists with "ne null or eq null". A missing tag satisfies
        # neither comparison.
        entries = run.get(group.lower()) or {}
        return key in entries and _compare(entries[key], operator, operand)
    return _compare(run.get(COLUMNS[name]), operator, operand)


def _compare(value, operator: str, operand) -> bool:
    if operator == "eq":
        return value == operand
    if operator == "ne":
        return value != operand
    # Only times are compared by order. The SDK writes a space where the services write T.
    value, operand = (
        str(time).replace("T", " ").replace("Z", "+00:00") for time in (value, operand)
    )
    return value >= operand if operator == "ge" else value > operand
