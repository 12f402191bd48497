"""The record of a job: what it made, and from which files, by checksum.

Snakemake knows with which settings it ran a job, but not whether a file is still the one that the
job wrote. Each rule's program therefore writes a record as its last act. The record is an output of
the rule: Snakemake removes it before the job starts, and after a job that failed. So a record that
exists always tells of a job that came to its end.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from lib.files import write_json


def write_record(record: Path | None, outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Write down what a job has made, and from what.

    Parameters
    ----------
    record : pathlib.Path or None
        The JSON file to write; the other jobs' records stand beside it. Without it nothing is
        written: the program was not called by a rule.
    outputs : iterable of pathlib.Path
        The files that the job has made, named as the rule names them.
    inputs : iterable of pathlib.Path
        The files that decide their content, named so as well.
    """
    if record is None:
        return
    known = _known(record.parent)
    write_json(
        record,
        {
            "outputs": {str(path): _described(path) for path in outputs},
            "inputs": {
                str(path): known[str(path)]["sha256"]
                if str(path) in known and is_intact(path, known[str(path)])
                else sha256(path)
                for path in inputs
            },
        },
    )


def read_record(record: Path) -> dict | None:
    """Return the content of a record, None if there is none or it is damaged."""
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        whole = all(
            {"sha256", "size", "mtime_ns"} <= entry.keys() for entry in content["outputs"].values()
        )
        return content if whole and isinstance(content["inputs"], dict) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_intact(path: Path, entry: dict) -> bool:
    """Tell whether a file has the content that its record describes.

    Size and time of modification decide if they are as recorded. Otherwise the content does: a
    file that was touched or copied is intact.
    """
    try:
        found = os.stat(path)
        if found.st_size != entry["size"]:
            return False
        return found.st_mtime_ns == entry["mtime_ns"] or sha256(path) == entry["sha256"]
    except OSError:
        return False


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _described(path: Path) -> dict:
    found = os.stat(path)
    return {"sha256": sha256(path), "size": found.st_size, "mtime_ns": found.st_mtime_ns}


def _known(folder: Path) -> dict[str, dict]:
    """Return what all records in a folder say about their outputs, by file."""
    records = map(read_record, folder.glob("*.json"))
    return {name: entry for found in records if found for name, entry in found["outputs"].items()}
