"""What is deployed to an online endpoint, and under which name, without an SDK."""

import argparse
import dataclasses
import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import azureml_deploy
from checkout import TOP
from image_workflow.backends.azureml import state, watching
from image_workflow.backends.azureml.endpoint import CREATOR, Deployer, endpoint_name
from image_workflow.backends.azureml.service import Service
from image_workflow.backends.azureml.session import confirm
from image_workflow.backends.azureml.workspace import Deployment, Endpoint
from image_workflow.errors import UserError
from image_workflow.inference.model_input import INPUT_FILE, ModelInput
from image_workflow.lineage.results import DataSet, Receipt

INFO = {"subscription_id": "s", "resource_group": "g", "name": "w", "location": "here"}
ENDPOINT = {"name": "", "instance_type": "Standard_D2as_v4", "instance_count": 1}
MODEL_INPUT = ModelInput(8, 8, 255, {0: "zero", 1: "one"}, "fit", "pad", "as_is")
THERE = Endpoint("mine", "Succeeded", "https://mine", {}, CREATOR, {})


def service(folder: Path, **changes) -> Service:
    """Return a service of the scoring script, with an environment in the folder."""
    environment = folder / "serve.yaml"
    environment.write_text("dependencies: []\n")
    wanted = Service(
        model="sklearn_mnist:1",
        model_sha256="f00",
        program=TOP / "workflow/scripts/score.py",
        model_input=MODEL_INPUT,
        estimator_file=None,
        environment=environment,
        images=np.zeros((1, 8, 8), np.uint8),
        labels=["zero"],
    )
    return dataclasses.replace(wanted, **changes)


def staged(wanted: Service, folder: Path) -> list[str]:
    """Return the names of the files that a deployment gets."""
    wanted.stage(folder)
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


# ---- Names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["sklearn_mnist", "m", "7.digits", "_", "x" * 255, "Ends.With-", "a-" * 40]
)
def test_a_name_made_from_any_model_name_is_valid_and_of_its_workspace(model):
    name = endpoint_name("", model, INFO)
    assert re.fullmatch(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?", name) and 3 <= len(name) <= 32
    assert name == endpoint_name("", model, dict(INFO))
    assert name != endpoint_name("", model, INFO | {"name": "other"})
    assert name != endpoint_name("", f"{model}2"[-255:], INFO)
    assert endpoint_name("mine", model, INFO) == "mine"


def test_sdk_v1_has_no_endpoints():
    with pytest.raises(UserError, match=r"SDK v1 knows no .*make setup-azureml.*docs/azure\.md"):
        Deployer(SimpleNamespace(endpoints=None, info=INFO), {"endpoint": ENDPOINT}, "m")


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_an_endpoint_is_deleted_only_if_the_user_agrees(tmp_path, monkeypatch, answer):
    monkeypatch.chdir(tmp_path)
    state.note_created(INFO, "endpoints", "mine")
    there = {"mine": THERE}
    endpoints = SimpleNamespace(find=there.get, delete=there.pop)
    settings = {"endpoint": ENDPOINT | {"name": "mine"}, "poll_seconds": 1, "patience_seconds": 1}
    deployer = Deployer(SimpleNamespace(endpoints=endpoints, info=INFO), settings, "m")
    if answer == "no":
        with pytest.raises(UserError, match=r"nothing was deleted.*confirm=yes"):
            deployer.undeploy(lambda: confirm(answer))
    else:
        deployer.undeploy(lambda: confirm(answer))
    assert (list(there) == ["mine"]) == (answer == "no")
    assert state.created(INFO)["endpoints"] == list(there)


# ---- Waiting ---------------------------------------------------------------------------------


def watch(*found: Endpoint | None) -> watching.Watch:
    """Return a watch of an endpoint that the service shows like this, one look after the other."""
    looks = itertools.chain(found, itertools.repeat(found[-1]))
    return watching.Watch(SimpleNamespace(find=lambda name: next(looks)), "mine", 0.01, 1)


def test_an_endpoint_that_the_service_shows_late_is_no_failure():
    ended = watch(None, THERE).carry_out(lambda: lambda: "", lambda endpoint: endpoint is THERE)
    assert ended.endpoint is THERE and not ended.problem


def test_an_operation_that_failed_has_the_services_message():
    ended = watch(None).carry_out(lambda: lambda: "No machine is free.", lambda endpoint: endpoint)
    assert ended.problem == "No machine is free."


def test_an_operation_that_takes_too_long_is_reported(monkeypatch):
    monkeypatch.setattr(watching, "LIMIT_SECONDS", 0.05)
    creating = dataclasses.replace(THERE, deployments={"blue": Deployment("blue", "Creating", {})})
    with pytest.raises(UserError, match=r"was not ready in .*blue Creating.*azureml_undeploy"):
        watch(creating).settled()


# ---- What a deployment gets --------------------------------------------------------------------


def test_a_deployment_gets_the_scoring_script_its_modules_and_the_models_input(tmp_path):
    names = staged(service(tmp_path), tmp_path / "code")
    assert {"score.py", INPUT_FILE, "image_workflow/inference/classifier.py"} <= {*names}
    # Nothing else of the package, whose other modules import packages that the server has not.
    assert [name for name in names if "backends" in name or "models/" in name] == []
    assert ModelInput.read(tmp_path / "code" / INPUT_FILE) == MODEL_INPUT


def test_a_deployment_gets_the_users_file_and_the_modules_it_imports(tmp_path):
    (tmp_path / "my_model.py").write_text("import my_layers\n")
    (tmp_path / "my_layers.py").write_text("")
    (tmp_path / "secret.py").write_text("")
    wanted = service(tmp_path, estimator_file=tmp_path / "my_model.py")
    names = staged(wanted, tmp_path / "code")
    assert {"my_model.py", "my_layers.py"} <= {*names} and "secret.py" not in names


@pytest.mark.parametrize("name", ["score.py", "image_workflow.py"])
def test_a_file_of_the_user_cannot_replace_one_of_ours(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UserError, match=f"{name} cannot be deployed.*Rename it"):
        staged(service(tmp_path, estimator_file=tmp_path / name), tmp_path / "code")


def test_the_content_of_a_deployment_depends_on_all_that_it_is_made_from(tmp_path):
    def content(changes: dict, edits: dict | None = None, **machines) -> str:
        wanted = service(tmp_path, **changes)
        code = tmp_path / f"code{len(list(tmp_path.iterdir()))}"
        wanted.stage(code)
        for name, text in (edits or {}).items():
            (tmp_path / name if name == "serve.yaml" else code / name).write_text(text)
        return wanted.content(code, ENDPOINT | machines)

    other_input = dataclasses.replace(MODEL_INPUT, class_names={0: "nought", 1: "one"})
    contents = [
        content({}),
        content({"model": "sklearn_mnist:2"}),
        content({"model_sha256": "bad"}),
        content({"model_input": other_input}),
        content({}, {"score.py": "# edited\n"}),
        content({}, {"serve.yaml": "dependencies: [python]\n"}),
        content({}, instance_type="Standard_F4s_v2"),
        content({}, instance_count=2),
    ]
    assert len({*contents}) == len(contents)
    assert content({}) == contents[0]


# ---- The receipt -------------------------------------------------------------------------------


def receipt(folder: Path, **changes) -> Path:
    """Write the receipt's keys that are read first, and return the file."""
    names = [field.name for field in dataclasses.fields(Receipt)]
    keys = {"registry": "azureml", "name": "sklearn_digits", "version": 1, "sweep": None}
    path = folder / "registered.json"
    path.write_text(json.dumps(dict.fromkeys(names) | keys | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"registry": "local"}, "in the local registry. Run `snakemake .*backend=azureml.*serve"),
        ({"name": "sklearn_mnist"}, "of sklearn_digits in .*found one of sklearn_mnist. Add the"),
    ],
)
def test_a_receipt_that_cannot_be_deployed_is_explained(tmp_path, changes, words):
    with pytest.raises(UserError, match=words):
        azureml_deploy.read_receipt(receipt(tmp_path, **changes), "sklearn_digits")


def test_a_missing_receipt_is_explained(tmp_path):
    with pytest.raises(UserError, match=r"registered\.json does not exist. Run `snakemake"):
        azureml_deploy.read_receipt(tmp_path / "registered.json", "sklearn_digits")
    assert azureml_deploy.read_receipt(receipt(tmp_path), "sklearn_digits").version == 1


def test_results_of_another_data_set_are_not_deployed(tmp_path):
    data_set = DataSet("d", None, None, 8, 8, 9, 9, 255, "as_is", "fit", [], None, {"train": "f00"})
    options = argparse.Namespace(dataset_file=tmp_path / "dataset.json")
    data_set.write(options.dataset_file)
    registered = Receipt.read(receipt(tmp_path, idx_sha256={"train": "bad"}, classes=[]))
    with pytest.raises(UserError, match="does not describe the data of sklearn_digits version 1"):
        azureml_deploy.service(options, registered)
