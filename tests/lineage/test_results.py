"""The JSON files among the results have the keys of their types and of their schemas."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest

from checkout import Checkout
from image_workflow.errors import UserError
from image_workflow.lineage.results import RATE, DataSet, Metrics, Receipt, Sweep, Training
from schemas import schema

FILES = {
    "dataset": ("dataset.json", DataSet),
    "metrics": ("metrics.json", Metrics),
    "receipt": ("registered.json", Receipt),
    "sweep": ("sweep.json", Sweep),
    "training": ("training.json", Training),
}
#: The chosen parameters of another estimator than logistic_regression.
PARAMETERS = {"alpha": 0.1, "class_weight": None, "hidden_layer_sizes": [50, 20], "solver": "adam"}


def result(digits_run: Checkout, name: str) -> dict:
    """Return the content of a result of the run with the digits."""
    return json.loads((digits_run.path / "results" / FILES[name][0]).read_text())


def of_another_estimator(content: dict) -> dict:
    """Return a result, or a part of it, with parameters in place of the regularization rate."""
    if isinstance(content, list):
        return [of_another_estimator(part) for part in content]
    if not isinstance(content, dict):
        return content
    return {
        ("parameters" if key == RATE else key): (
            PARAMETERS if key == RATE else of_another_estimator(value)
        )
        for key, value in content.items()
    }


def receipt_of_another_estimator(digits_run: Checkout) -> dict:
    """Return a receipt of a file with an estimator."""
    content = result(digits_run, "receipt")
    metrics = {key: value for key, value in content["metrics"].items() if key != RATE}
    settings = {"estimator": "my_model.py:build", "dataset": "digits", "seed": "42"}
    return of_another_estimator(content) | {
        "metrics": metrics,
        "parameters": {"alpha": "0.1"} | settings,
        "sha256": content["sha256"] | {"estimator": content["sha256"]["code"]},
        "deterministic": None,
    }


@pytest.mark.parametrize("name", FILES)
def test_a_result_follows_its_schema(digits_run: Checkout, name: str):
    content = result(digits_run, name)
    schema(name).validate(content)
    keys = list(schema(name).schema["properties"])
    assert list(content) == [key for key in keys if key in content]


@pytest.mark.parametrize("name", FILES)
def test_type_and_schema_have_the_same_keys(name: str):
    _, kind = FILES[name]
    fields = [field.name for field in dataclasses.fields(kind)]
    optional = {"promotion"} if name == "receipt" else set()
    described = schema(name).schema
    # The estimator logistic_regression has regularization_rate in place of parameters.
    assert fields == [key for key in described["properties"] if key != RATE]
    either = described["oneOf"] if RATE in described["properties"] else []
    required = {key for one in either for key in one["required"]} | {*described["required"]}
    assert required == described["properties"].keys() - optional


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
    content = result(digits_run, name)
    if change == "added":
        content["another"] = 1
    elif name == "training":
        del content["backend"]
    else:
        content.pop("promotion", None)  # Older receipts have no such key.
        content.popitem()
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{file} is damaged, or another version"):
        kind.read(tmp_path / file)


def test_a_result_that_does_not_exist_is_an_operating_system_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Metrics.read(tmp_path / "metrics.json")


# ---- Another estimator ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["metrics", "receipt", "sweep"])
def test_a_result_of_another_estimator_is_read_and_written_and_follows_its_schema(
    digits_run: Checkout, tmp_path: Path, name: str
):
    file, kind = FILES[name]
    if name == "receipt":
        content = receipt_of_another_estimator(digits_run)
    else:
        content = of_another_estimator(result(digits_run, name))
    schema(name).validate(content)
    found = kind.from_json(content)
    found.write(tmp_path / file)
    assert json.loads((tmp_path / file).read_text()) == content
    assert kind.read(tmp_path / file) == found
    if name == "receipt":
        single = content | {"sweep": None}
        schema(name).validate(single)
        assert kind.from_json(single).to_json() == single
    comparison = found.sweep if name == "receipt" else found
    assert comparison.parameters == PARAMETERS
    if name == "metrics":
        assert found.summary() == {key: content[key] for key in ("accuracy", "n_train", "n_test")}
    else:
        assert len(comparison.candidates) == 4
        assert all(candidate.parameters == PARAMETERS for candidate in comparison.candidates)


@pytest.mark.parametrize("where", ["sweep", "candidate", "metrics", "receipt", "receipt candidate"])
@pytest.mark.parametrize("other", [False, True])
def test_a_result_has_either_a_rate_or_parameters(digits_run: Checkout, where: str, other: bool):
    name = {"candidate": "sweep", "receipt candidate": "receipt"}.get(where, where)
    content = result(digits_run, name)
    if other:
        is_receipt = name == "receipt"
        content = (
            receipt_of_another_estimator(digits_run)
            if is_receipt
            else of_another_estimator(content)
        )
    part = content["sweep"] if name == "receipt" else content
    part = part["candidates"][-1] if "candidate" in where else part
    schema(name).validate(content)
    both = {RATE: 0.5, "parameters": PARAMETERS}
    part |= both
    assert_refused(name, content)
    with pytest.raises(TypeError):
        FILES[name][1].from_json(content)
    for key in both:
        del part[key]
    assert_refused(name, content)


def assert_refused(name: str, content: dict) -> None:
    with pytest.raises(jsonschema.ValidationError) as raised:
        schema(name).validate(content)
    assert raised.value.validator == "oneOf"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("metrics", RATE),
        *[("parameters", key) for key in ("regularization", "solver", "estimator", "seed")],
    ],
)
def test_a_receipt_of_the_default_estimator_has_its_settings(
    digits_run: Checkout, section: str, key: str
):
    content = result(digits_run, "receipt")
    del content[section][key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        schema("receipt").validate(content)


def test_a_comparison_tells_which_parameters_differ(digits_run: Checkout):
    assert Sweep.from_json(result(digits_run, "sweep")).varied() == [RATE]
    content = of_another_estimator(result(digits_run, "sweep"))
    assert Sweep.from_json(content).varied() == []
    content["candidates"][2]["parameters"] = PARAMETERS | {"alpha": 1, "solver": "sgd"}
    assert Sweep.from_json(content).varied() == ["alpha", "solver"]
    for candidate, value in zip(content["candidates"], [1, True, 1, 1], strict=True):
        candidate["parameters"] = {"alpha": 0.1, "l1_ratio": value}
    assert Sweep.from_json(content).varied() == ["l1_ratio"]
    assert Sweep.from_json(content | {"candidates": []}).varied() == []
