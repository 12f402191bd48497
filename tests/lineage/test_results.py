"""The JSON files among the results have the keys of their types and of their schemas."""

import dataclasses
import json
from pathlib import Path

import pytest

from checkout import Checkout
from image_workflow.errors import UserError
from image_workflow.lineage.results import DataSet, Metrics, Receipt, Sweep, Training
from schemas import schema

FILES = {
    "dataset": ("dataset.json", DataSet),
    "metrics": ("metrics.json", Metrics),
    "receipt": ("registered.json", Receipt),
    "sweep": ("sweep.json", Sweep),
    "training": ("training.json", Training),
}


@pytest.mark.parametrize("name", FILES)
def test_a_result_follows_its_schema(digits_run: Checkout, name: str):
    file, _ = FILES[name]
    content = json.loads((digits_run.path / "results" / file).read_text())
    schema(name).validate(content)
    assert list(content) == list(schema(name).schema["properties"])


@pytest.mark.parametrize("name", FILES)
def test_type_and_schema_have_the_same_keys(name: str):
    _, kind = FILES[name]
    fields = [field.name for field in dataclasses.fields(kind)]
    assert fields == list(schema(name).schema["properties"]) == schema(name).schema["required"]


@pytest.mark.parametrize("name", FILES)
def test_a_result_that_is_read_and_written_is_the_same(
    digits_run: Checkout, tmp_path: Path, name: str
):
    file, kind = FILES[name]
    original = digits_run.path / "results" / file
    kind.read(original).write(tmp_path / file)
    assert (tmp_path / file).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["added", "removed"])
def test_a_result_with_other_keys_is_refused(
    digits_run: Checkout, tmp_path: Path, name: str, change: str
):
    file, kind = FILES[name]
    content = json.loads((digits_run.path / "results" / file).read_text())
    if change == "added":
        content["another"] = 1
    elif name == "training":
        del content["backend"]
    else:
        content.popitem()
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{file} is damaged, or another version"):
        kind.read(tmp_path / file)


def test_a_result_that_does_not_exist_is_an_operating_system_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Metrics.read(tmp_path / "metrics.json")
