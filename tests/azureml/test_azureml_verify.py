"""Verify a model that was trained and registered in the workspace."""

import json
from collections.abc import Callable

import pytest

from azureml_client import JOB, RECEIPT, Cloud, needs_sdk, parsed  # noqa: F401
from azureml_emulator import Emulator

pytestmark = needs_sdk


@pytest.fixture(scope="module")
def registered(parsed, tmp_path_factory) -> Cloud:  # noqa: F811
    """A checkout whose model was trained and registered in the workspace."""
    folder = tmp_path_factory.mktemp("verified")
    with Emulator(folder / "emulator", python=JOB) as emulator:
        cloud = Cloud(parsed.copied(folder / "checkout"), emulator)
        cloud.succeed(RECEIPT, backend="azureml")
        yield cloud


def stored(cloud: Cloud) -> dict:
    """Return the registered version as the emulator stores it."""
    (model,) = cloud.emulator.models.models.values()
    return model


def rows(said: str) -> dict[str, str]:
    """Return the rows of the table that do not hold, by what they compare."""
    return {
        line.split("  ")[0]: line for line in said.splitlines() if line.endswith(("  NO", "  no"))
    }


def test_a_model_that_was_trained_in_the_workspace_is_verified(registered: Cloud):
    said = registered.succeed("verify", backend="azureml")
    assert "sklearn_digits version 1, file" in said
    assert rows(said) == {} and "hold." in said


def alter_file(cloud: Cloud) -> Callable[[], None]:
    """Alter a byte of the registered file, and return the function that restores it."""
    (file,) = (cloud.emulator.folder / "blobs").rglob("*_model.pkl")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    return lambda: file.write_bytes(content)


def change(key: str, name: str, value: str) -> Callable[[Cloud], Callable[[], None]]:
    """Return a manipulation that changes a tag or property of the registered version."""

    def manipulate(cloud: Cloud) -> Callable[[], None]:
        model = stored(cloud)
        before = dict(model[key])
        model[key] = before | {name: value}
        return lambda: model.update({key: before})

    return manipulate


def delete(cloud: Cloud) -> Callable[[], None]:
    """Delete the registered version."""
    models = cloud.emulator.models.models
    before = dict(models)
    models.clear()
    return lambda: models.update(before)


@pytest.mark.parametrize(
    ("manipulate", "what"),
    [
        (alter_file, "sklearn_digits version 1, file"),
        (change("kvTags", "accuracy", "0.99"), "sklearn_digits version 1, tag accuracy"),
        (change("kvTags", "class_names", "{}"), "sklearn_digits version 1, tag class_names"),
        (
            change("properties", "model_sha256", "0" * 64),
            "sklearn_digits version 1, model_sha256",
        ),
        (delete, "sklearn_digits version 1"),
    ],
    ids=["file edited", "accuracy edited", "class names edited", "checksum edited", "deleted"],
)
def test_a_manipulation_of_the_registered_version_is_found(registered: Cloud, manipulate, what):
    restore = manipulate(registered)
    try:
        said = registered.fail("verify", backend="azureml")
    finally:
        restore()
    assert list(rows(said)) == [what]


def test_an_altered_receipt_is_found(registered: Cloud):
    receipt = registered.path / RECEIPT
    content = receipt.read_bytes()
    altered = registered.json(RECEIPT) | {"artifact_sha256": "0" * 64}
    receipt.write_text(json.dumps(altered))
    try:
        said = registered.fail("verify", backend="azureml")
    finally:
        receipt.write_bytes(content)
    assert list(rows(said)) == [RECEIPT, "sklearn_digits version 1, file"]


def test_no_workspace_is_a_row_that_does_not_hold(registered: Cloud):
    config = registered.path / "config.json"
    content = config.read_text()
    config.write_text(json.dumps(json.loads(content) | {"workspace_name": "another"}))
    try:
        said = registered.fail("verify", backend="azureml")
    finally:
        config.write_text(content)
    assert list(rows(said)) == ["sklearn_digits version 1"]
