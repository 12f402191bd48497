"""Check the configuration against its schema; each error is one sentence."""

import re
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance
from jsonschema.validators import extend

from image_workflow.errors import UserError, nearest


class ConfigurationError(UserError):
    """A wrong key or value. The text names the key, the value, and the allowed values."""


# JSON Schema takes 42.0 for an integer and NaN for a number; the workflow accepts neither.
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
    """Return the content of a YAML file, or raise ConfigurationError if it cannot be read."""
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
    """Return ``values``, completed with the schema's defaults, or raise an error.

    Parameters
    ----------
    values : dict
        The content of a file, possibly changed by the command line.
    schema : dict
        A JSON Schema, draft 2020-12.
    where : str
        The name of the file, for error messages.

    Raises
    ------
    ConfigurationError
        If a key or a value is wrong.
    """
    if not isinstance(values, dict):
        raise ConfigurationError(f"{where}: expected keys with values, found {values!r}.")
    complete = with_numbers(with_defaults(values, schema), schema)
    errors = list(Validator(schema).iter_errors(complete))
    if errors:
        raise ConfigurationError(f"{where}: {sentence(max(errors, key=relevance))}")
    return complete


def with_defaults(values: dict, schema: dict) -> dict:
    """Add the schema's defaults for missing keys, also in nested sections.

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
    """Convert texts to numbers where the schema asks for numbers.

    YAML reads 1e-3 as text, and Snakemake what is in a list or section on the command line.

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
    if isinstance(value, str) and "string" not in schema.get("type", ""):
        for kind, number in (("integer", int), ("number", float)):
            if kind in schema.get("type", ""):
                with suppress(ValueError):
                    return number(value)
    return value


def typed(value: object) -> object:
    """Convert texts to the numbers, truth values and nulls that YAML would read them as.

    In a list or section on the command line, Snakemake reads all values as text.

    Examples
    --------
    >>> typed({"alpha": "1e-3", "early_stopping": "true", "layers": [["100"]], "solver": "adam"})
    {'alpha': 0.001, 'early_stopping': True, 'layers': [[100]], 'solver': 'adam'}
    """
    if isinstance(value, dict):
        return {typed(key): typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            found = yaml.safe_load(value)
            if found is None or type(found) in (bool, int, float):
                return found
        with suppress(ValueError):  # YAML takes 1e-3 for text.
            return float(value)
    return value


def sentence(error: ValidationError) -> str:
    """Describe an error: the key, its value, the allowed values, and the nearest valid name."""
    path = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        inside = f" in {path}" if path else ""
        return f"{unknown} is not a key{inside}; {nearest(unknown, known)}"
    if "propertyNames" in error.schema_path:
        return f"{error.instance!r} is not allowed as a name; use {allowed(error.schema)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path or 'it'} has no {missing}; it needs {', '.join(error.validator_value)}."
    if error.validator == "enum":
        options = [str(value) for value in error.validator_value]
        return f"{path} cannot be {error.instance!r}; {nearest(error.instance, options)}"
    # Do not print a user name and password that are part of a URL.
    found = re.sub("//[^/@]*@", "//***@", repr(error.instance))
    return f"{path} cannot be {found}; it must be {allowed(error.schema)}."


def allowed(schema: dict) -> str:
    """Describe the values that the schema of one key allows."""
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
    """Return a Markdown table of the schema's keys: key, default, allowed values, meaning."""
    rows = [
        f"| `{key}` | {_shown(spec.get('default', ''))} | {allowed(spec)} | {spec['description']} |"
        for key, spec in _keys(schema)
    ]
    return "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _keys(schema: dict, section: str = "") -> Iterator[tuple[str, dict]]:
    """Yield each key with its schema. Keys of a section are named ``section.key``."""
    for key, spec in schema["properties"].items():
        if "properties" in spec:
            yield from _keys(spec, f"{section}{key}.")
        else:
            yield f"{section}{key}", spec


def _shown(default) -> str:
    if isinstance(default, bool):
        default = str(default).lower()
    return f"`{default}`" if default != "" else "(empty)"
