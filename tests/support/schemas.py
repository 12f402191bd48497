"""The JSON Schemas of the workflow's files."""

import jsonschema
import yaml

from checkout import TOP


def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the validator of a schema in workflow/schemas/, such as ``receipt``."""
    text = (TOP / f"workflow/schemas/{name}.schema.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    jsonschema.Draft202012Validator.check_schema(content)
    return jsonschema.Draft202012Validator(content)
