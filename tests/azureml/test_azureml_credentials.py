"""Runs in a workspace write no credential, neither the failing ones nor the last one."""

import stat

from azureml_client import HANDLE, RECEIPT, STEPS, Cloud, needs_sdk
from credentials import ENVIRONMENT, MARKER, files_with, watched_commands

pytestmark = needs_sdk

LEDGER = "registry/azureml.json"
#: Of the sign-in, of a write with a signed address, of a run, and of the registration.
FAULTS = [
    {"name": "wrong_secret"},
    {"name": "blob_part_refused", "all": True},
    {"name": "missing_output", "times": 1},
    {"name": "no_permission", "step": STEPS["register"]},
]


def is_private(path) -> bool:
    """Tell whether only the owner of a file can read it."""
    return stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_credential_is_written_or_shown(cloud: Cloud):
    emulator = cloud.emulator
    own = emulator.environment(cloud.home)
    markers = {name: value for name, value in ENVIRONMENT.items() if name not in own}
    secrets = [MARKER, emulator.entra.secret, emulator.datastores._account_key]
    said = ""
    with watched_commands(secrets) as commands:
        for fault in FAULTS:
            emulator.faults.set(**fault)
            said += cloud.fail(RECEIPT, backend="azureml", env=markers)
            emulator.faults.clear()
        said += cloud.succeed(RECEIPT, backend="azureml", env=markers)
    assert commands == []
    tokens = [token for token in emulator.entra._issued_tokens if len(token) > 40]
    assert tokens
    assert not [secret for secret in [*secrets, *tokens] if secret in said]
    assert "sig=" not in said.replace("sig=***", "")
    assert files_with([*secrets, *tokens], cloud.path) == []
    assert files_with(secrets, emulator.folder / "runs", cloud.home) == []
    # The SDK may keep tokens for its next call.
    assert [path for path in files_with(tokens, cloud.home) if not is_private(path)] == []
    assert is_private(cloud.path / HANDLE) and is_private(cloud.path / LEDGER)
    # Others may still look into the folders.
    assert stat.S_IMODE((cloud.path / "registry").stat().st_mode) & 0o055
