"""The choice of the backend, and the search for the workspace's config.json."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.backends import choice
from image_workflow.backends.azureml import availability
from image_workflow.backends.azureml.availability import UnavailableError, find_workspace

WORKSPACE = {"subscription_id": "s", "resource_group": "g", "workspace_name": "w"}
AZUREML = {"workspace_config": "", "sdk": "auto"}
NO_SDK = "the Azure ML SDK is not installed in this environment"


def write_workspace(path: Path) -> Path:
    """Write the config.json of a workspace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(WORKSPACE))
    return path


@pytest.fixture
def with_sdk(monkeypatch):
    monkeypatch.setattr(availability, "is_installed", lambda module: True)


@pytest.fixture
def without_sdk(monkeypatch):
    monkeypatch.setattr(availability, "is_installed", lambda module: False)


# ---- Choice --------------------------------------------------------------------------------


def test_local_does_not_look_for_a_workspace(monkeypatch):
    monkeypatch.setattr(choice, "available_workspace", None)
    assert choice.choose("local", Path(), AZUREML).backend == "local"


def test_auto_chooses_the_cloud_if_a_workspace_is_configured(tmp_path, with_sdk):
    write_workspace(tmp_path / "config.json")
    found = choice.choose("auto", tmp_path, AZUREML)
    assert found == ("azureml", "a workspace is configured in config.json")


def test_auto_chooses_this_machine_without_a_workspace(tmp_path, with_sdk):
    assert choice.choose("auto", tmp_path, AZUREML) == ("local", "no workspace is configured")


def test_auto_chooses_this_machine_without_the_sdk(tmp_path, without_sdk):
    write_workspace(tmp_path / "config.json")
    assert choice.choose("auto", tmp_path, AZUREML) == ("local", NO_SDK)


def test_azureml_without_a_workspace_is_an_error(tmp_path, with_sdk):
    with pytest.raises(UnavailableError, match=r"no workspace is configured. Download config.json"):
        choice.choose("azureml", tmp_path, AZUREML)


def test_azureml_without_the_sdk_is_an_error(tmp_path, without_sdk):
    write_workspace(tmp_path / "config.json")
    with pytest.raises(UnavailableError, match=r"SDK is not installed.*make setup-azureml"):
        choice.choose("azureml", tmp_path, AZUREML)


def test_a_reason_names_no_folder_outside_the_project(tmp_path, with_sdk):
    inner = tmp_path / "project/inner"
    inner.mkdir(parents=True)
    named = write_workspace(tmp_path / "secret/config.json")
    found = choice.choose("auto", inner, AZUREML | {"workspace_config": str(named)})
    assert found.reason == "a workspace is configured in a config.json elsewhere"
    write_workspace(tmp_path / "config.json")
    reason = choice.choose("auto", inner, AZUREML).reason
    assert reason == "a workspace is configured in ../../config.json"


def test_choosing_does_not_import_the_sdk():
    code = (
        "import sys; from image_workflow.backends import choice; "
        "print(any(name.startswith('azureml') for name in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, cwd=TOP / "workflow/scripts", check=True, capture_output=True, text=True
    )
    assert ended.stdout == "False\n"


# ---- config.json ---------------------------------------------------------------------------


def test_the_workspace_is_searched_for_as_the_sdk_does(tmp_path):
    folder = tmp_path / "a/b"
    for place in ("a/b/config.json", "a/aml_config/config.json", ".azureml/config.json"):
        # Each place has precedence over the ones before, however far up it is.
        path = write_workspace(tmp_path / place)
        assert find_workspace(folder) == (path, "")
    named = tmp_path / "a/b/config.json"
    assert find_workspace(folder, str(named)) == (named, "")


def test_a_named_file_that_does_not_exist_is_a_problem(tmp_path):
    problem = "azureml.workspace_config names a file that does not exist"
    assert find_workspace(tmp_path, str(tmp_path / "missing.json")) == (None, problem)


FOREIGN = [
    ('{"theme": "dark"}', "has no subscription_id"),
    ('{"subscription_id": "s", "resource_group": "g"}', "has no workspace_name"),
    ('{"subscription_id": "s", "resource_group": "", "workspace_name": "w"}', "has no resource_gr"),
    ("", "is not JSON"),
    ("// settings\n{}", "is not JSON"),
    ("[]", "has no keys"),
    ('{"subscription_id": 5, "resource_group": "g", "workspace_name": "w"}', "has no subscription"),
    (
        '{"subscription_id": "<yours>", "resource_group": "g"}',
        "has the placeholder <yours> instead",
    ),
]


@pytest.mark.parametrize(("content", "fault"), FOREIGN)
def test_a_config_json_of_another_tool_is_skipped_and_named(tmp_path, content, fault, caplog):
    caplog.set_level(logging.INFO)
    folder = tmp_path / "project"
    folder.mkdir()
    workspace = write_workspace(tmp_path / "config.json")
    foreign = folder / ".azureml/config.json"
    foreign.parent.mkdir()
    foreign.write_text(content)
    assert find_workspace(folder) == (workspace, "")
    assert f"{foreign} is not the config.json of a workspace: it {fault}" in caplog.text


@pytest.mark.parametrize(("content", "fault"), FOREIGN)
def test_auto_ignores_a_config_json_of_another_tool(tmp_path, with_sdk, content, fault):
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "config.json").write_text(content)
    found = choice.choose("auto", folder, AZUREML)
    assert found.backend == "local"
    assert found.reason.startswith(f"no workspace is configured: ../config.json {fault}")
    with pytest.raises(UnavailableError, match=fault):
        choice.choose("azureml", folder, AZUREML)
