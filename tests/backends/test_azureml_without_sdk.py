"""The parts of the backend azureml that need no SDK: signing in, state, failures, tags."""

import doctest
import json
import logging
from dataclasses import replace

import pytest

from image_workflow.backends import settings
from image_workflow.backends.azureml import failures, session, signin, state
from image_workflow.backends.azureml.backend import class_names_tag
from image_workflow.errors import UserError
from image_workflow.lineage.results import DataSet, ImageClass

WORKSPACE = {"subscription_id": "s", "resource_group": "g", "name": "w", "location": "here"}
SECRETS = {
    "AZURE_TENANT_ID": "tenant",
    "AZURE_CLIENT_ID": "client",
    "AZURE_CLIENT_SECRET": "a-long-secret",
}


@pytest.mark.parametrize("module", [failures, settings])
def test_examples_in_docstrings(module):
    assert doctest.testmod(module).failed == 0


# ---- Cluster and signing in ----------------------------------------------------------------------


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


def test_sign_in_uses_the_first_possible_way():
    way = signin.way_to_sign_in
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


# ---- State ---------------------------------------------------------------------------------------


def test_a_run_is_pending_until_its_handle_has_ended(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert state.pending_run("f") is None
    for name in (state.INTENDED, state.SUBMITTED):
        state.write_handle(name, fingerprint="f", run_id="r")
        assert state.pending_run("f") == "r" and state.pending_run("g") is None
    state.end_handle("Failed")
    assert state.pending_run("f") is None
    assert state.read(state.HANDLE)["status"] == "Failed"


def test_the_ledger_lists_creations_by_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two", "one"):
        state.note_created(WORKSPACE, "clusters", name)
    assert state.created(WORKSPACE) == {"clusters": ["one", "two"]}
    assert state.created(WORKSPACE | {"name": "other"}) == {}
    state.forget_created(WORKSPACE, "clusters", "one")
    assert state.created(WORKSPACE) == {"clusters": ["two"]}


# ---- Failures ------------------------------------------------------------------------------------


class Mute(Exception):
    """Imitates the SDK's ServiceException, whose str() raises if an answer has no details."""

    @property
    def message(self):
        raise KeyError("details")

    def __str__(self):
        raise TypeError("argument of type 'NoneType' is not iterable")


def test_an_exception_whose_str_raises_is_described_by_its_arguments(caplog):
    assert failures.describe(Mute("the text")) == "'the text'."
    with pytest.raises(failures.CloudError, match="could not do it: "), failures.step("do it", ""):
        raise Mute("the text")


@pytest.mark.parametrize(
    "error", [Mute(), KeyError(), RuntimeError(""), OSError(), ValueError(" ")]
)
def test_an_exception_without_a_text_is_described_by_its_name(error):
    assert failures.describe(error) == f"{type(error).__name__}."


def test_a_description_is_one_sentence_without_noise_or_secrets():
    def described(text):
        return failures.describe(RuntimeError(text))

    answer = 'Received bad response:\nResponse Code: 403\nContent: b\'{"error":{"code":"No",'
    assert described(answer + '"message":"You may not."}}\'') == "You may not. (No)."
    pool = "HTTPSConnectionPool(host='some.host', port=443): Max retries exceeded with url: /x"
    assert described(pool) == "there is no connection to some.host."
    assert "abc" not in described("GET https://x.blob/y?sv=1&sig=abc%3D failed")
    assert len(described("long " * 1000)) < 600


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
def test_the_kind_of_a_failure(name, text, kind):
    error = type(name, (Exception,), {})(text)
    assert failures.kind(error) == kind


def test_a_user_error_passes_through_a_step_unchanged():
    with pytest.raises(UserError, match=r"^as it is$"), failures.step("do it", "Then that."):
        raise UserError("as it is")


def test_a_secret_is_removed_from_messages_and_tracebacks(tmp_path):
    log = logging.getLogger("redaction")
    log.propagate = False
    handler = logging.FileHandler(tmp_path / "log")
    handler.addFilter(session.Redacting(SECRETS))
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


# ---- Tags ----------------------------------------------------------------------------------


def test_the_class_names_fit_in_a_tag(options):
    data_set = DataSet.read(options.dataset_file)
    assert (
        class_names_tag(data_set.class_names())
        == '{"0": "zero", "3": "three", "200": "ünlaut 200"}'
    )
    many = [ImageClass(label, f"name {label}", 1, 1) for label in range(256)]
    tag = class_names_tag(replace(data_set, classes=many).class_names())
    assert 980 < len(tag) <= 1000
    names = json.loads(tag)
    assert names == {str(label): f"name {label}" for label in range(len(names))}
