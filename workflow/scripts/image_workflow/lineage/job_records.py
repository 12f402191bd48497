"""The record of a job: the files that it wrote, the files that it read, and its settings and code.

Snakemake cannot tell whether a file is still the one that a job wrote. Therefore each program
writes a record as its last act. The record is an output of the rule, so Snakemake deletes it before
the job starts and after the job fails. A record that exists describes a job that succeeded.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from image_workflow.files import write_json
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json


@dataclass(frozen=True)
class JobRecord:
    """The content of a file in results/records/.

    Attributes
    ----------
    recipe : str
        The digest of the job's settings and code, see :func:`recipe`.
    outputs : dict
        For each file that the job wrote: its ``sha256`` and ``size``.
    inputs : dict of str
        For each file that the job read: its sha256.
    """

    recipe: str
    outputs: dict[str, dict]
    inputs: dict[str, str]


def recipe(*settings_and_code) -> str:
    """Return a digest of everything, apart from its input files, that decides a job's outputs."""
    return sha256_of_json(settings_and_code)[:16]


def add_record_option(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--record``, whose value :func:`write_record` takes."""
    parser.add_argument(
        "--record",
        nargs=2,
        metavar=("FILE", "RECIPE"),
        help="the job record to write, and the digest of settings and code to store in it",
    )


def write_record(
    record: tuple[str, str] | None, outputs: Iterable[Path], inputs: dict[str, str] | None = None
) -> None:
    """Write the record of a job.

    Parameters
    ----------
    record : pair of str, or None
        The file to write, in the folder of all records, and the recipe. Without a record, as when a
        user runs the program by hand, nothing is written.
    outputs : iterable of pathlib.Path
        The files that the job wrote, named as the rule names them.
    inputs : dict of str, optional
        The sha256 of each file that the job read, see
        :func:`image_workflow.lineage.custody.checked_inputs`.
    """
    if record is None:
        return
    content = JobRecord(
        recipe=record[1],
        outputs={str(output): _described(output) for output in outputs},
        inputs=inputs or {},
    )
    path = Path(record[0])
    # A file has one writer. With another kind of data set, another job wrote it before.
    for name, other in read_records(path.parent).items():
        if name != path.stem and not other.outputs.keys().isdisjoint(content.outputs):
            path.with_name(f"{name}.json").unlink(missing_ok=True)
    write_json(path, asdict(content))


def read_record(path: Path) -> JobRecord | None:
    """Return a record, or None if the file is missing or damaged."""
    try:
        record = JobRecord(**json.loads(path.read_text(encoding="utf-8")))
        complete = all({"sha256", "size"} <= entry.keys() for entry in record.outputs.values())
        return record if complete and record.recipe and isinstance(record.inputs, dict) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def read_records(folder: Path) -> dict[str, JobRecord]:
    """Return the undamaged records in a folder, by the name of the job."""
    records = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
    return {name: record for name, record in records.items() if record}


def is_intact(path: Path, entry: dict) -> bool:
    """Tell whether a file still has the content that its record describes.

    A file that was touched or copied is intact.
    """
    try:
        return path.stat().st_size == entry["size"] and sha256_of_file(path) == entry["sha256"]
    except OSError:
        return False


def _described(path: Path) -> dict:
    return {"sha256": sha256_of_file(path), "size": path.stat().st_size}
