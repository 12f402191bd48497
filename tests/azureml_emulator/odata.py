"""The filter language of the run history service, as far as the SDK speaks it."""

from __future__ import annotations

import re

#: A parenthesis, a joint, or a comparison: a bare value ends before the next of the others.
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
    tokens = _tokens(expression or "")
    return _any(tokens, run) if tokens else True


def _tokens(expression: str) -> list[tuple]:
    tokens, at = [], 0
    while at < len(expression.rstrip()):
        found = TOKEN.match(expression, at)
        if not found:
            raise ValueError(f"cannot read the filter {expression!r} at character {at}")
        tokens.append(found.groups())
        at = found.end()
    return tokens


def _any(tokens: list[tuple], run: dict) -> bool:
    result = _all(tokens, run)
    while tokens and tokens[0][2] == "or":
        tokens.pop(0)
        result = _all(tokens, run) or result
    return result


def _all(tokens: list[tuple], run: dict) -> bool:
    result = _one(tokens, run)
    while tokens and tokens[0][2] == "and":
        tokens.pop(0)
        result = _one(tokens, run) and result
    return result


def _one(tokens: list[tuple], run: dict) -> bool:
    opening, _, _, name, operator, value = tokens.pop(0)
    if not opening:
        return _compare(name, operator, value, run)
    result = _any(tokens, run)
    tokens.pop(0)
    return result


def _compare(name: str, operator: str, value: str, run: dict) -> bool:
    wanted = None if value == "null" else value.strip('"')
    group, _, key = name.partition("/")
    if key:
        # "ne null or eq null" is how the SDK asks whether a tag exists: one that does not exist
        # satisfies neither.
        entries = run.get(group.lower()) or {}
        return key in entries and _holds(entries[key], operator, wanted)
    return _holds(run.get(COLUMNS[name]), operator, wanted)


def _holds(value, operator: str, wanted) -> bool:
    if operator == "eq":
        return value == wanted
    if operator == "ne":
        return value != wanted
    # Times: the SDK writes a space where the services write T.
    value, wanted = (str(text).replace("T", " ").replace("Z", "+00:00") for text in (value, wanted))
    return value >= wanted if operator == "ge" else value > wanted
