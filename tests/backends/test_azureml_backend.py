"""What the backend azureml does with a workspace, without an SDK."""

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import azureml_cancel
from checkout import TOP
from image_workflow.backends.azureml import failures, runs, state
from image_workflow.backends.azureml.backend import AzureML
from image_workflow.backends.azureml.v2 import environment
from image_workflow.backends.azureml.v2.runs import no_git_facts, place
from image_workflow.backends.azureml.workspace import Progress, Run
from image_workflow.errors import UserError

INFO = {"subscription_id": "s", "resource_group": "g", "name": "w", "location": "here"}
RUN = Run("a-run", "Completed", "https://ml.azure.com/runs/a-run", "e", {})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def workspace(**methods) -> SimpleNamespace:
    """Return a workspace with some methods."""
    return SimpleNamespace(info=INFO, **methods)


# ---- Submitting ------------------------------------------------------------------------------


def find_nothing(run_id: str) -> None:
    return None


def find_run(run_id: str) -> Run:
    return RUN


def find_no_answer(run_id: str):
    raise failures.CloudError("no answer", failures.CONNECTION)


@pytest.mark.parametrize(
    ("find", "expected"),
    [(find_nothing, "ended"), (find_run, "intended"), (find_no_answer, "intended")],
)
def test_a_handle_ends_only_if_the_service_knows_no_run(find, expected):
    state.write_handle(state.INTENDED, run_id="a-run", fingerprint="f", workspace=INFO)
    state.note_created(INFO, "runs", "a-run")
    AzureML(workspace(find_run=find), {}, "e")._end_if_refused("a-run")
    assert state.read(state.HANDLE)["state"] == expected
    assert state.created(INFO)["runs"] == ([] if expected == "ended" else ["a-run"])


# ---- Following a run -------------------------------------------------------------------------


class PermissionRefused(Exception):
    """A refusal, as an SDK raises it."""

    status_code = 403


def test_a_refusal_while_a_run_is_followed_is_not_called_silence():
    def progress(run_id: str, seconds: float):
        raise PermissionRefused("may not read jobs")

    with pytest.raises(UserError, match=r"^the run cannot be followed any more: may not read jobs"):
        runs.follow(SimpleNamespace(progress=progress), "a-run", 0.01, 60, 60)


def test_a_run_is_followed_to_its_end_whatever_its_status_is_called():
    names = iter(["Queued", "NotResponding", "Unknown", "CancelRequested", "Canceled"])
    answers = SimpleNamespace(progress=lambda *_: Progress(next(names), {}))
    assert runs.follow(answers, "a-run", 0, 60, 60).status == "Canceled"


def test_a_saved_log_has_no_signature():
    folder = runs.save_logs("a-run", {"user_logs/std_log.txt": "https://a/b?sv=1&sig=abc end"})
    assert (folder / "user_logs/std_log.txt").read_text() == "https://a/b?sv=1&sig=*** end"


# ---- Collecting ------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", "{", "[]", '{"metrics": {}}'])
def test_a_run_whose_metrics_cannot_be_read_is_submitted_anew(folder: Path, content: str):
    tags = {}
    cloud = workspace(
        download=lambda run, name, file: file.write_text(content),
        tag=lambda run, name, value: tags.update({name: value}),
    )
    state.write_handle(state.SUBMITTED, run_id="a-run", workspace=INFO)
    with pytest.raises(UserError) as raised:
        AzureML(cloud, {}, "e")._download(RUN, folder / "model.pkl")
    assert str(raised.value) == (
        "run a-run completed, but its outputs/metrics.json cannot be read. "
        "See https://ml.azure.com/runs/a-run; the next call submits it anew."
    )
    assert tags == {"unusable": "outputs/metrics.json cannot be read"}
    assert state.read(state.HANDLE)["state"] == "ended" and not list(folder.glob("model*"))


# ---- Cancelling ------------------------------------------------------------------------------


def test_a_run_of_another_workspace_is_not_taken_for_one_that_was_never_submitted(monkeypatch):
    other = INFO | {"name": "other"}
    state.write_handle(state.SUBMITTED, run_id="a-run", workspace=other)
    monkeypatch.setattr(azureml_cancel, "open_workspace", lambda azureml: workspace())
    with pytest.raises(UserError, match="is in workspace other, and config"):
        azureml_cancel.main(SimpleNamespace(azureml=json.dumps({})))
    assert state.read(state.HANDLE)["state"] == "submitted"


# ---- SDK v2 ----------------------------------------------------------------------------------


def test_the_environment_of_sdk_v2_has_no_azure_package():
    conda = environment.without_runtime_of_v1(TOP / "workflow/envs/azureml.yaml")
    (pins,) = (entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict))
    assert [pin for pin in pins if "azure" in pin] == []
    assert any(pin.startswith("scikit-learn==") for pin in pins)


@pytest.mark.parametrize(
    "address",
    [
        "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.a-run",
        "azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.a-run/",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/workspaceartifactstore"
        "/paths/ExperimentRun/dcid.a-run",
        None,
    ],
)
def test_the_files_of_a_run_are_found_by_each_form_of_their_address(address):
    job = SimpleNamespace(name="a-run", outputs={"default": SimpleNamespace(path=address)})
    assert place(job) == ("workspaceartifactstore", "ExperimentRun/dcid.a-run")


def test_git_is_hidden_for_a_while_only(monkeypatch):
    def remote_is_known() -> bool:
        command = ["git", "rev-parse", "--is-inside-work-tree"]
        return subprocess.run(command, cwd=TOP, capture_output=True).returncode == 0

    monkeypatch.setenv("AZUREML_GIT_REPOSITORY_URI", "a-secret-project")
    monkeypatch.delenv("GIT_DIR", raising=False)
    before = dict(os.environ)
    with no_git_facts():
        assert not remote_is_known() and "AZUREML_GIT_REPOSITORY_URI" not in os.environ
    assert dict(os.environ) == before
