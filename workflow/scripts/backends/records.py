"""What is remembered on disk of work in a cloud: the run in progress, and what was created."""

import json
from pathlib import Path

from lib.files import write_json

#: The run that a training waits for; written before it is submitted, so that no kill loses it.
HANDLE = Path("results/azureml/handle.json")

#: What this folder's calls created. Beside the local registry: deleting results forgets nothing.
LEDGER = Path("registry/azureml.json")

#: The states of a handle: a run may be there, it is there, and nobody waits for it any more.
INTENDED, SUBMITTED, ENDED = "intended", "submitted", "ended"


def read(path: Path) -> dict:
    """Return a record, empty where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def write_handle(state: str, **facts) -> None:
    """Write the handle: its state, and what it knows of the run."""
    write_json(HANDLE, {"state": state} | facts)


def end_handle(status: str) -> None:
    """Note that the run has ended, and how: from now on nobody waits for it."""
    if handle := read(HANDLE):
        write_json(HANDLE, handle | {"state": ENDED, "status": status})


def pending(fingerprint: str) -> bool:
    """Tell whether a run of this fingerprint was, or may have been, submitted and not yet ended."""
    handle = read(HANDLE)
    return handle.get("fingerprint") == fingerprint and handle["state"] != ENDED


def created(workspace: dict) -> dict:
    """Return what was created in a workspace: names by kind, see :func:`note_created`."""
    return read(LEDGER).get(_key(workspace), {})


def note_created(workspace: dict, kind: str, name: str) -> None:
    """Note that a cluster, dataset, path, environment, run or model was created."""
    ledger = read(LEDGER)
    names = ledger.setdefault(_key(workspace), {}).setdefault(kind, [])
    if name not in names:
        names.append(name)
        write_json(LEDGER, ledger)


def forget_created(workspace: dict, kind: str, name: str) -> None:
    """Note that it has been deleted."""
    ledger = read(LEDGER)
    ledger[_key(workspace)][kind].remove(name)
    write_json(LEDGER, ledger)


def _key(workspace: dict) -> str:
    return "/".join(workspace[part] for part in ("subscription_id", "resource_group", "name"))
