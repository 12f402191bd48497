"""Field cases of the cloud that need no workspace; the others are in tests/azureml."""

import json
import re

import pytest

from checkout import Checkout
from image_workflow.backends.azureml.failures import CloudError, step


class Silent(Exception):
    """An exception whose text cannot be read."""

    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError(), "KeyError"),
        (Exception(()), "Exception"),
        (ValueError(None), "ValueError"),
        (TimeoutError(" "), "TimeoutError"),
        (OSError(b""), "OSError"),
        (Silent(), "Silent"),
    ],
    ids=["nothing", "empty-tuple", "none", "blank", "empty-bytes", "unreadable"],
)
def test_field_case_an_exception_without_a_text(error: Exception, said: str):
    with pytest.raises(CloudError) as raised, step("open the workspace", "Try again."):
        raise error
    assert str(raised.value) == f"could not open the workspace: {said}. Try again."


def test_field_case_an_exception_without_a_text_has_a_cause():
    """A further example: the text is in the exception that it was raised from."""
    with pytest.raises(CloudError) as raised, step("open the workspace", "Try again."):
        raise RuntimeError from ValueError("the certificate is wrong")
    assert str(raised.value) == (
        "could not open the workspace: the certificate is wrong. Try again."
    )


@pytest.mark.parametrize("backend", ["auto", "local", "azureml"])
def test_field_case_no_workspace_is_reachable(checkout: Checkout, backend: str):
    """Under auto the training may fall back to this machine, and then it needs a node."""
    (checkout.path / "config.json").write_text(
        json.dumps({"subscription_id": "s", "resource_group": "g", "workspace_name": "w"})
    )
    # No command prints the local rules.
    (checkout.path / "list.smk").write_text(
        'include: "Snakefile"\n\n\nprint("local rules:", *sorted(workflow._localrules))\n'
    )
    printed = checkout.finish("-n", "-s", "list.smk", dataset="digits", backend=backend).stdout
    (rules,) = re.findall("local rules: (.*)", printed)
    assert {"train", "register"} & set(rules.split()) == (
        {"train", "register"} if backend == "azureml" else set()
    )
