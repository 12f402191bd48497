"""Remember the work in a workspace: the current run, and everything that was created there.

There are two JSON files. The handle describes the run that a training waits for. It is written
before the run is submitted, so that no kill can lose the run. The ledger lists everything that this
folder created in each workspace. It is beside the local registry, so that deleting the results does
not lose it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from image_workflow.backends.azureml import failures
from image_workflow.files import write_json

HANDLE = Path("results/azureml/handle.json")
LEDGER = Path("registry/azureml.json")

#: The states of a handle: the run may exist; it exists; nothing waits for it any more.
INTENDED, SUBMITTED, ENDED = "intended", "submitted", "ended"


def read(path: Path) -> dict:
    """Return the content of one of the files, or an empty dict if it does not exist."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _write(path: Path, content: dict) -> None:
    """Write one of the files, so that only its owner can read it: it names the account."""
    path.parent.mkdir(parents=True, exist_ok=True)
    umask = os.umask(0o077)
    try:
        write_json(path, content)
    finally:
        os.umask(umask)


def write_handle(state: str, **facts) -> None:
    """Write the handle: its state, and facts about the run."""
    _write(HANDLE, {"state": state} | facts)


def end_handle(status: str) -> None:
    """Note in the handle that nothing waits for the run any more, and the run's status."""
    if handle := read(HANDLE):
        _write(HANDLE, handle | {"state": ENDED, "status": status})


def pending_run(fingerprint: str) -> str | None:
    """Return the id of a run of this fingerprint that may be submitted and has not ended."""
    handle = read(HANDLE)
    if handle.get("fingerprint") == fingerprint and handle["state"] != ENDED:
        return handle["run_id"]
    return None


def created(workspace: dict) -> dict[str, list[str]]:
    """Return the names of everything created in a workspace, by kind, see :func:`note_created`."""
    return read(LEDGER).get(_key(workspace), {})


def note_created(workspace: dict, kind: str, name: str) -> None:
    """Note the creation of a cluster, dataset, path, environment, run or model."""
    ledger = read(LEDGER)
    names = ledger.setdefault(_key(workspace), {}).setdefault(kind, [])
    if name not in names:
        names.append(name)
        _write(LEDGER, ledger)


@contextmanager
def noting_created(workspace: dict, kind: str, name: str) -> Iterator[None]:
    """Note a creation before the block asks for it, and forget it if the service refuses."""
    note_created(workspace, kind, name)
    try:
        yield
    except Exception as error:
        # Without a connection nobody knows what the service did.
        if failures.kind(error) != failures.CONNECTION:
            forget_created(workspace, kind, name)
        raise


def forget_created(workspace: dict, kind: str, name: str) -> None:
    """Note that something in the ledger was deleted."""
    ledger = read(LEDGER)
    ledger[_key(workspace)][kind].remove(name)
    _write(LEDGER, ledger)


def _key(workspace: dict) -> str:
    return "/".join(workspace[part] for part in ("subscription_id", "resource_group", "name"))
