"""Checking the configuration against its schema, with errors that are one sentence each."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from math import isfinite
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance
from jsonschema.validators import extend


class ConfigurationError(Exception):
    """A wrong key or value: its text names the key, the value, and what is allowed."""


# JSON has neither NaN nor 42.0 for 42, and a number here is used as it was written.
_TYPES = Draft202012Validator.TYPE_CHECKER.redefine_many(
    {
        "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
        "number": lambda checker, value: (
            checker.is_type(value, "integer") or (isinstance(value, float) and isfinite(value))
        ),
    }
)
Validator = extend(Draft202012Validator, type_checker=_TYPES)


def load(path: Path) -> dict:
    """Return the content of a YAML file; raise ConfigurationError if it cannot be read."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8.") from error
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        line = f", line {at.line + 1}" if at else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigurationError(f"{path}{line} is not valid YAML: {problem}.") from error


def checked(values: dict, schema: dict, where: str) -> dict:
    """Return ``values`` with the schema's defaults for the keys that are missing.

    Parameters
    ----------
    values : dict
        What was read from a file, or from there and the command line.
    schema : dict
        A JSON Schema, draft 2020-12.
    where : str
        The file, for messages.

    Raises
    ------
    ConfigurationError
        With one sentence, if a key or value is wrong.
    """
    if not isinstance(values, dict):
        raise ConfigurationError(f"{where}: expected keys with values, found {values!r}.")
    complete = with_numbers(with_defaults(values, schema), schema)
    errors = list(Validator(schema).iter_errors(complete))
    if errors:
        raise ConfigurationError(f"{where}: {sentence(max(errors, key=relevance))}")
    return complete


def with_defaults(values: dict, schema: dict) -> dict:
    """Return ``values`` with the schema's defaults for missing keys, in nested sections as well.

    Examples
    --------
    >>> size = {"default": {}, "properties": {"rows": {"default": 28}}}
    >>> with_defaults({}, {"properties": {"size": size}})
    {'size': {'rows': 28}}
    """
    properties = schema.get("properties", {})
    complete = {key: spec["default"] for key, spec in properties.items() if "default" in spec}
    complete |= values
    return {
        key: with_defaults(value, properties[key])
        if key in properties and isinstance(value, dict)
        else value
        for key, value in complete.items()
    }


def with_numbers(value, schema: dict):
    """Return ``value`` with numbers for the texts where the schema wants numbers.

    YAML reads 1e-3 as text, and Snakemake the items of a list that is given on the command line.

    Examples
    --------
    >>> with_numbers(["0.5", "1e-3", "x"], {"type": "array", "items": {"type": "number"}})
    [0.5, 0.001, 'x']
    """
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: with_numbers(item, properties.get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [with_numbers(item, schema.get("items", {})) for item in value]
    if isinstance(value, str) and "number" in schema.get("type", ""):
        try:
            return float(value)
        except ValueError:
            pass
    return value


def sentence(error: ValidationError) -> str:
    """Say what is wrong: the key's path, the value, what is allowed, the nearest valid name."""
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        inside = f" in {path}" if path else ""
        return f"{unknown} is not a key{inside}; {_nearest(unknown, known)}"
    if "propertyNames" in error.schema_path:
        return f"{error.instance!r} is not allowed as a name; use {allowed(error.schema)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path} has no {missing}; it needs {', '.join(error.validator_value)}."
    if error.validator == "enum":
        options = [str(value) for value in error.validator_value]
        return f"{path} cannot be {error.instance!r}; {_nearest(error.instance, options)}"
    # A user name and password in a URL are not repeated.
    found = re.sub("//[^/@]*@", "//***@", repr(error.instance))
    return f"{path} cannot be {found}; it must be {allowed(error.schema)}."


def allowed(schema: dict) -> str:
    """Say in words which values a schema of one key allows."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "x-allowed" in schema:
        return schema["x-allowed"]
    kind = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "array": "a list",
        "object": "a mapping",
    }[schema["type"]]
    bounds = [
        f"{words} {schema[key]:,}"
        for key, words in [
            ("exclusiveMinimum", "above"),
            ("minimum", "from"),
            ("maximum", "to"),
        ]
        if key in schema
    ]
    return " ".join([kind, *bounds])


def table(schema: dict) -> str:
    """Return the schema's keys as a Markdown table: key, default, allowed, meaning."""
    rows = [
        f"| `{key}` | {_shown(spec['default'])} | {allowed(spec)} | {spec['description']} |"
        for key, spec in _keys(schema)
    ]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _keys(schema: dict, section: str = "") -> Iterator[tuple[str, dict]]:
    """Give each key with its schema; those of a section as ``section.key``."""
    for key, spec in schema["properties"].items():
        if "properties" in spec:
            yield from _keys(spec, f"{section}{key}.")
        else:
            yield f"{section}{key}", spec


def _shown(default) -> str:
    return f"`{default}`" if default != "" else "(empty)"


def _nearest(name: object, known: list[str]) -> str:
    close = get_close_matches(str(name), known, 1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}allowed: {', '.join(known)}."
