"""Check the configuration against its schema; each error is one sentence."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path
from reprlib import Repr

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance
from jsonschema.validators import extend

from image_workflow.errors import UserError, nearest
from image_workflow.paths import UNFIT

#: All values become arguments of commands. Linux allows 131,072 bytes for one argument.
MOST_CHARACTERS = 100_000
MOST_VALUES = 30_000  # An alias of YAML can stand for any number of values.
MOST_LEVELS = 20  # of lists and sections in each other
MOST_BITS = 256  # of a whole number
#: Values of a URL's query that are secrets.
SECRETS = re.compile(r"(?i)((?:pass\w{0,9}|pwd|token|secret|sig|key)=)[^&\s]+")


class ConfigurationError(UserError):
    """A wrong key or value. The text names the key, the value, and the allowed values."""


# ---- Values in messages ----------------------------------------------------------------------


class _Short(Repr):
    """The repr of a value, with the middle of long texts left out, and without secrets."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = 100

    def repr_str(self, text: str, level: int) -> str:
        scheme, slashes, rest = text.partition("//")
        if "@" in rest:
            text = f"{scheme}{slashes}***@{rest.rpartition('@')[2]}"
        text = SECRETS.sub(r"\1***", text) if "=" in text else text
        return super().repr_str(text, level)


def shown(value: object) -> str:
    """Return a value for a message: short, on one line, without the secrets of a URL.

    Examples
    --------
    >>> shown("https://me:secret@host/?token=1"), len(shown("x" * 1_000_000))
    ("'https://***@host/?token=***'", 100)
    """
    return _Short().repr(value)


def _name(key: object) -> str:
    """Return a key for a message."""
    return shown(str(key))[1:-1]


def _dotted(path: Iterable) -> str:
    """Return the place of a value for a message."""
    return ".".join(map(_name, path))


# ---- Files and values ------------------------------------------------------------------------


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


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that is there twice."""

    def compose_mapping_node(self, anchor):
        node, keys = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in keys:
                problem = f"found the key {shown(key.value)} twice"
                raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
            keys.add((key.tag, str(key.value)))
        return node


def load(path: Path) -> dict:
    """Return the content of a YAML file, or raise ConfigurationError if it cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not text in UTF-8.") from error
    except yaml.YAMLError as error:
        at = getattr(error, "problem_mark", None)
        line = f", line {at.line + 1}" if at else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise ConfigurationError(f"{path}{line} is not valid YAML: {problem}.") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path} has too many lists or sections in each other.") from error
    except ValueError as error:  # such as a number of 5,000 digits, or the 30th of February
        raise ConfigurationError(f"{path} is not valid YAML: {error}.") from error


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
        raise ConfigurationError(f"{where}: expected keys with values, found {shown(values)}.")
    _check_plain(values, where)
    complete = with_types(with_defaults(values, schema), schema)
    errors = list(Validator(schema).iter_errors(complete))
    if errors:
        raise ConfigurationError(f"{where}: {sentence(max(errors, key=relevance))}")
    return complete


def _check_plain(values: dict, where: str) -> None:
    """Raise an error unless the values are plain data, and few and short enough for a command."""
    for number, (path, value) in enumerate(_walk(values)):
        if number == MOST_VALUES:
            raise ConfigurationError(f"{where}: expected at most {MOST_VALUES:,} values.")
        if problem := _problem(value):
            raise ConfigurationError(f"{where}: {_dotted(path) or 'a key'} {problem}.")
    length = len(shlex.quote(json.dumps(values)))
    if length > MOST_CHARACTERS:
        raise ConfigurationError(
            f"{where}: all values together must fit into a command, with at most "
            f"{MOST_CHARACTERS:,} characters, found {length:,}; use fewer or shorter values."
        )


def _problem(value: object) -> str | None:
    """Return what is wrong with a key, or with a value that is in no section."""
    if isinstance(value, str):
        if len(value) > MOST_CHARACTERS:
            found = f"{shown(value)}, which has {len(value):,} characters"
            return f"cannot be {found}; use at most {MOST_CHARACTERS:,}"
        if unfit := UNFIT.search(value.replace("\n", " ").replace("\t", " ")):
            found = f"the character U+{ord(unfit[0]):04X} in it does not show"
            return f"cannot be {shown(value)}, because {found}; remove it"
    elif isinstance(value, dict | list):
        return f"has lists or sections in more than {MOST_LEVELS} levels"
    elif not isinstance(value, int | float | None):
        usual = "texts in quotes, numbers, true, false, null, lists and sections"
        return f"cannot be of the type {type(value).__name__}; use {usual}"
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        return "is too large a number"
    return None


def _walk(value: object, path: tuple = ()) -> Iterator[tuple[tuple, object]]:
    """Yield each key and each value with its place. A list that is too deep is yielded as it is."""
    if not isinstance(value, dict | list) or len(path) > MOST_LEVELS:
        yield path, value
        return
    is_section = isinstance(value, dict)
    for key, item in value.items() if is_section else enumerate(value):
        if is_section:
            yield path, key
        yield from _walk(item, (*path, key))


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


def with_types(value, schema: dict):
    """Convert texts to numbers and truth values where the schema asks for them.

    YAML reads 1e-3 as text, and Snakemake the word true on the command line, and all that is in a
    list or section there.

    Examples
    --------
    >>> with_types(["0.5", "1e-3", "x"], {"type": "array", "items": {"type": "number"}})
    [0.5, 0.001, 'x']
    >>> with_types("true", {"type": "boolean"})
    True
    """
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return {key: with_types(item, properties.get(key, {})) for key, item in value.items()}
    if isinstance(value, list):
        return [with_types(item, schema.get("items", {})) for item in value]
    if isinstance(value, str) and "string" not in schema.get("type", ""):
        for kind, number in (("integer", int), ("number", float)):
            if kind in schema.get("type", ""):
                with suppress(ValueError):
                    return number(value)
        if schema.get("type") == "boolean" and value in ("true", "false"):
            return value == "true"
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
        with suppress(yaml.YAMLError, RecursionError, ValueError):
            found = yaml.safe_load(value)
            if found is None or type(found) in (bool, int, float):
                return found
        with suppress(ValueError):  # YAML takes 1e-3 for text.
            return float(value)
    return value


def sentence(error: ValidationError) -> str:
    """Describe an error: the key, its value, the allowed values, and the nearest valid name."""
    path = _dotted(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(key for key in error.instance if key not in known)
        inside = f" in {path}" if path else ""
        return f"{_name(unknown)} is not a key{inside}; {nearest(_name(unknown), known)}"
    if "propertyNames" in error.schema_path:
        return f"{shown(error.instance)} is not allowed as a name; use {allowed(error.schema)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{path or 'it'} has no {missing}; it needs {', '.join(error.validator_value)}."
    if error.validator == "enum":
        options = [str(value) for value in error.validator_value]
        guess = nearest(_name(error.instance), options)
        return f"{path} cannot be {shown(error.instance)}; {guess}"
    return f"{path} cannot be {shown(error.instance)}; it must be {allowed(error.schema)}."


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
