"""What the cloud's backend decides without the SDK: choice, fingerprint, records, words."""

import doctest
import json
import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends import choice, deadline, failures, frame, records, settings
from checkout import TOP
from lib import fingerprint
from lib.command import UserError
from lib.pins import pinned

ACCOUNT = {"subscription_id": "s", "resource_group": "g", "name": "w", "location": "here"}
SECRETS = {
    "AZURE_TENANT_ID": "tenant",
    "AZURE_CLIENT_ID": "client",
    "AZURE_CLIENT_SECRET": "a-long-secret",
}


@pytest.mark.parametrize("module", [choice, failures, settings])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


# ---- The choice ----------------------------------------------------------------------------------


@pytest.fixture
def with_sdk(monkeypatch):
    monkeypatch.setattr(choice, "sdk_installed", lambda: True)


@pytest.mark.usefixtures("with_sdk")
class TestChoose:
    def test_local_never_looks(self, monkeypatch):
        monkeypatch.setattr(choice, "find_config", None)
        assert choice.choose("local", Path(), "").backend == "local"

    def test_auto_takes_the_cloud_where_a_workspace_is_configured(self, tmp_path):
        (tmp_path / "config.json").touch()
        found = choice.choose("auto", tmp_path, "")
        assert found == ("azureml", "a workspace is configured in config.json")

    def test_auto_is_local_without_a_workspace(self, tmp_path):
        assert choice.choose("auto", tmp_path, "") == ("local", "no workspace is configured")

    def test_auto_is_local_without_the_sdk(self, tmp_path, monkeypatch):
        (tmp_path / "config.json").touch()
        monkeypatch.setattr(choice, "sdk_installed", lambda: False)
        assert choice.choose("auto", tmp_path, "") == ("local", choice.NO_SDK)

    def test_what_is_asked_for_and_not_there_is_an_error(self, tmp_path, monkeypatch):
        with pytest.raises(UserError, match=r"no workspace is configured. Download config.json"):
            choice.choose("azureml", tmp_path, "")
        (tmp_path / "config.json").touch()
        monkeypatch.setattr(choice, "sdk_installed", lambda: False)
        with pytest.raises(UserError, match=r"SDK is not installed.*make setup-azureml"):
            choice.choose("azureml", tmp_path, "")

    def test_a_reason_names_no_folder_of_this_machine(self, tmp_path):
        inner = tmp_path / "inner"
        inner.mkdir()
        (tmp_path / "config.json").touch()
        assert str(tmp_path) not in choice.choose("auto", inner, "").reason


def test_the_configuration_is_searched_for_as_the_sdk_does(tmp_path):
    folder = tmp_path / "a/b"
    for place in ("a/b/config.json", "a/aml_config/config.json", ".azureml/config.json"):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        # Each is preferred to the ones before, however far up it is.
        assert choice.find_config(folder) == path
    named = tmp_path / "a/b/config.json"
    assert choice.find_config(folder, str(named)) == named
    assert choice.find_config(folder, str(tmp_path / "missing.json")) is None


@pytest.mark.parametrize(
    ("requested", "made_by", "plan", "expected"),
    [
        ("auto", "azureml", "azureml", "azureml"),
        ("auto", "local", "azureml", "azureml"),  # it had fallen back
        ("local", "local", "azureml", "azureml"),
        ("azureml", "local", "azureml", "azureml, no longer local"),
        ("local", "azureml", "azureml", "local, no longer azureml"),
        ("local", "local", "local, no longer azureml", "local, no longer azureml"),
    ],
)
def test_a_model_is_kept_unless_another_backend_is_named(
    tmp_path, requested, made_by, plan, expected
):
    model, training = tmp_path / "model.pkl", tmp_path / "training.json"
    training.write_text(json.dumps({"backend": made_by, "planned": plan}))
    assert choice.planned(requested, "local", model, training) in ("local", "azureml")
    model.touch()
    assert choice.planned(requested, "local", model, training) == expected


def test_a_damaged_record_is_no_record(tmp_path):
    model, training = tmp_path / "model.pkl", tmp_path / "training.json"
    model.touch()
    for text in ("", "[]", "{}", "null"):
        training.write_text(text)
        assert choice.planned("auto", "azureml", model, training) == "azureml"


def test_no_start_imports_the_sdk(tmp_path):
    code = "import sys; from backends import choice, records; print('azureml' in sys.modules)"
    command = [sys.executable, "-c", code]
    ended = subprocess.run(
        command, cwd=TOP / "workflow/scripts", check=True, capture_output=True, text=True
    )
    assert ended.stdout == "False\n"


# ---- The fingerprint -----------------------------------------------------------------------------


def test_the_fingerprint_is_that_of_all_that_decides_the_model(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("one")

    def mark(data="d", arguments=("--seed", "1"), pins=(("numpy", "2"),)):
        found = fingerprint.fingerprint(data, [script], tmp_path, list(arguments), dict(pins))
        assert re.fullmatch("[0-9a-f]{64}", found)
        return found

    before = mark()
    assert mark() == before
    others = {mark(data="e"), mark(arguments=("--seed", "2")), mark(pins=(("numpy", "3"),))}
    script.touch()
    assert mark() == before
    script.write_text("two")
    assert len({before, mark(), *others}) == 5


def test_all_pins_of_the_training_are_the_same():
    envs = TOP / "workflow/envs"
    here, there = pinned(envs / "train.yaml"), pinned(envs / "azureml.yaml")
    assert here.keys() >= {"numpy", "scipy", "scikit-learn", "joblib"}
    assert here.items() <= there.items()
    for name, runtime in (("local", {}), ("azureml-job", there)):
        text = (TOP / f"requirements/{name}.txt").read_text()
        locked = dict(re.findall(r"^([a-z0-9.\[\]-]+)==(\S+)", text, re.M))
        for package, version in (here | runtime).items():
            assert locked[package.partition("[")[0]] == version, (name, package)


@pytest.mark.parametrize("name", ["azureml", "azureml-job"])
def test_the_requirements_have_hashes_and_no_addresses(name):
    text = (TOP / f"requirements/{name}.txt").read_text()
    assert "://" not in text and "index-url" not in text
    assert text.count("==") <= text.count("--hash=sha256:")


# ---- Settings ------------------------------------------------------------------------------------


def test_environment_variables_override_the_cluster():
    compute = {"name": "cpu-cluster", "vm_size": "S", "min_nodes": 0, "max_nodes": 4}
    environ = {
        "AML_COMPUTE_CLUSTER_NAME": "mine",
        "AML_COMPUTE_CLUSTER_MIN_NODES": "1",
        "AML_COMPUTE_CLUSTER_SKU": "T",
        "AML_COMPUTE_CLUSTER_MAX_NODES": "",
    }
    found = settings.compute_settings(compute, environ)
    assert found == {"name": "mine", "vm_size": "T", "min_nodes": 1, "max_nodes": 4}
    with pytest.raises(UserError, match="at least 5 and at most 4"):
        settings.compute_settings(compute, {"AML_COMPUTE_CLUSTER_MIN_NODES": "5"})
    with pytest.raises(UserError, match=r"must be a number of nodes, found '2\.5'"):
        settings.compute_settings(compute, {"AML_COMPUTE_CLUSTER_MAX_NODES": "2.5"})


def test_the_way_to_sign_in():
    way = settings.way_to_sign_in
    assert way("auto", SECRETS, cli=True, terminal=True) == "service_principal"
    assert way("auto", {"MSI_ENDPOINT": "x"}, cli=True, terminal=True) == "managed_identity"
    assert way("auto", {}, cli=True, terminal=True) == "cli"
    assert way("auto", {}, cli=False, terminal=True) == "interactive"
    assert way("cli", SECRETS, cli=False, terminal=False) == "cli"
    for wanted in ("auto", "interactive", "service_principal"):
        with pytest.raises(UserError):
            way(wanted, {}, cli=False, terminal=False)
    partial = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
    with pytest.raises(UserError, match="AZURE_CLIENT_SECRET"):
        way("auto", partial, cli=False, terminal=False)


# ---- Records -------------------------------------------------------------------------------------


def test_a_handle_is_pending_until_it_has_ended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not records.pending("f")
    for state in (records.INTENDED, records.SUBMITTED):
        records.write_handle(state, fingerprint="f", run_id="r")
        assert records.pending("f") and not records.pending("g")
    records.end_handle("Failed")
    assert not records.pending("f")
    assert records.read(records.HANDLE)["status"] == "Failed"


def test_what_was_created_is_remembered_by_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "one"):
        records.note_created(ACCOUNT, "clusters", name)
    assert records.created(ACCOUNT) == {"clusters": ["one", "two"]}
    assert records.created(ACCOUNT | {"name": "other"}) == {}
    records.forget_created(ACCOUNT, "clusters", "one")
    assert records.created(ACCOUNT) == {"clusters": ["two"]}


# ---- Failures ------------------------------------------------------------------------------------


class Mute(Exception):
    """As the SDK's ServiceException, whose str() fails where an answer has no details."""

    @property
    def message(self):
        raise KeyError("details")

    def __str__(self):
        raise TypeError("argument of type 'NoneType' is not iterable")


def test_an_exception_that_cannot_describe_itself(caplog):
    assert failures.words(Mute("what was said")) == "('what was said',)."
    assert failures.words(Mute()) == "()." or failures.words(Mute()) == "Mute."
    with pytest.raises(failures.CloudError, match="could not do it: "), failures.step("do it", ""):
        raise Mute("what was said")


def test_words_are_one_sentence_without_noise_or_secrets():
    def words(text):
        return failures.words(RuntimeError(text))

    answer = 'Received bad response:\nResponse Code: 403\nContent: b\'{"error":{"code":"No",'
    assert words(answer + '"message":"You may not."}}\'') == "You may not. (No)."
    pool = "HTTPSConnectionPool(host='some.host', port=443): Max retries exceeded with url: /x"
    assert words(pool) == "there is no connection to some.host."
    assert "abc" not in words("GET https://x.blob/y?sv=1&sig=abc%3D failed")
    assert len(words("long " * 1000)) < 600


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("ConnectionError", "", failures.CONNECTION),
        ("ServiceRequestError", "", failures.CONNECTION),
        ("ClientRequestError", "", failures.CONNECTION),
        ("ExecutionError", "ScriptExecution.StreamAccess.ConnectionFailure", failures.CONNECTION),
        ("AuthenticationException", "", failures.PERMISSION),
        ("AuthenticationException", "ensure you have network connection", failures.CONNECTION),
        ("ComputeTargetException", "Response Code: 403", failures.PERMISSION),
        ("ProjectSystemException", "Workspace not found.", failures.OTHER),
    ],
)
def test_kinds(name, text, kind):
    error = type(name, (Exception,), {})(text)
    assert failures.kind(error) == kind


def test_a_sentence_for_a_user_passes_as_it_is():
    with pytest.raises(UserError, match=r"^as it is$"), failures.step("do it", "Then that."):
        raise UserError("as it is")


def test_the_deadline():
    assert deadline.within(5, lambda x: x + 1, 1) == 2
    with pytest.raises(ZeroDivisionError):
        deadline.within(5, lambda: 1 / 0)
    with pytest.raises(deadline.DeadlineError, match=r"no answer in 0.05 s"):
        deadline.within(0.05, time.sleep, 1)


def test_a_secret_is_kept_out_of_messages_and_tracebacks(tmp_path):
    log = logging.getLogger("redaction")
    log.propagate = False
    handler = logging.FileHandler(tmp_path / "log")
    handler.addFilter(frame.Redacting(SECRETS))
    log.addHandler(handler)
    try:
        raise ValueError(SECRETS["AZURE_CLIENT_SECRET"])
    except ValueError:
        log.exception("it was %s", SECRETS["AZURE_CLIENT_SECRET"])
    try:
        raise Mute
    except Mute:
        log.exception("mute")
    handler.close()
    text = (tmp_path / "log").read_text()
    assert "it was ***" in text and "ValueError: ***" in text
    assert SECRETS["AZURE_CLIENT_SECRET"] not in text
