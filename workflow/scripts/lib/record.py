"""The record of a job: what it made, from which files, and by which settings and code.

Snakemake does not know whether a file is still the one that a job wrote. Each rule's program
therefore writes a record as its last act. The record is an output of the rule: Snakemake removes it
before the job starts, and after a job that failed. So a record that exists always tells of a job
that came to its end.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from lib.files import write_json


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """Add the option whose value :func:`write_record` takes."""
    parser.add_argument(
        "--record",
        nargs=2,
        metavar=("FILE", "RECIPE"),
        help="the record to write, and a digest of the settings and the code, to be noted in it",
    )


def write_record(
    record: tuple[str, str] | None, outputs: Iterable[Path], inputs: Iterable[Path] = ()
) -> None:
    """Write down what a job has made, and from what.

    Parameters
    ----------
    record : pair of str, or None
        The JSON file to write, beside which the other jobs' records stand, and the digest of all
        that decides what the job makes, beside its inputs. If None, nothing is written: the
        program was not called by a rule.
    outputs : iterable of pathlib.Path
        The files that the job has made, named as the rule names them.
    inputs : iterable of pathlib.Path
        The files that decide their content, named so as well.
    """
    if record is None:
        return
    path, recipe = Path(record[0]), record[1]
    known = _known(path.parent)
    write_json(
        path,
        {
            "recipe": recipe,
            "outputs": {str(output): _described(output) for output in outputs},
            "inputs": {
                str(used): known[str(used)]["sha256"]
                if str(used) in known and is_intact(used, known[str(used)])
                else sha256(used)
                for used in inputs
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
        return (
            content if whole and isinstance(content["inputs"], dict) and content["recipe"] else None
        )
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
