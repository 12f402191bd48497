"""Which jobs have to be repeated, because their results are not what they made.

Snakemake takes a result for up to date if its rule, settings and inputs are as they were. It does
not see that a file was altered, and a missing file is no reason to run while the files that were
made from it exist. Here the results are compared with the records of the jobs (:mod:`lib.record`).
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lib.record import is_intact, read_record


class Step(NamedTuple):
    """A job of the workflow: its files, by their names below the working directory.

    Attributes
    ----------
    rule : str
    record : str
        The job's record.
    outputs : list of str
        What the job makes, beside the record.
    inputs : list of str
        What it uses of other steps' outputs.
    absent : sequence of str
        What must not exist once the job has run.
    """

    rule: str
    record: str
    outputs: list[str]
    inputs: list[str]
    absent: Sequence[str] = ()


def steps_to_repeat(steps: list[Step], unknown: Iterable[str] = ()) -> list[Step]:
    """Return the steps whose results are not what a first run would leave.

    A step is repeated if one of its results

    - is missing, while something that was made from it exists;
    - exists, but not as the record says, or without a record;
    - was made from other files than those that are there now;

    or if a file exists that it would have removed. What follows from it is not listed: Snakemake
    runs that as well.

    Parameters
    ----------
    steps : list of Step
        Those that come first stand first.
    unknown : iterable of str
        The rules whose records do not count.
    """
    maker = {output: step for step in steps for output in step.outputs}
    records = {
        step.record: None if step.rule in unknown else read_record(Path(step.record))
        for step in steps
    }
    repeated, used = [], set()
    for step in reversed(steps):
        there = [os.path.exists(path) for path in (*step.outputs, step.record)]
        wrong = any(os.path.exists(path) for path in step.absent)
        if any(there) or not used.isdisjoint(step.outputs):
            used.update(step.inputs)
            wrong = wrong or not all(there) or not _is_right(step, records, maker)
        if wrong:
            repeated.append(step)
    return repeated[::-1]


def _is_right(step: Step, records: dict[str, dict | None], maker: dict[str, Step]) -> bool:
    """Tell whether a step's results are those of its record, and its inputs too."""
    record = records[step.record]
    if record is None or record["outputs"].keys() != set(step.outputs):
        return False
    if not all(is_intact(Path(name), entry) for name, entry in record["outputs"].items()):
        return False
    for name, used in record["inputs"].items():
        made = name in maker and records[maker[name].record]
        if made and made["outputs"].get(name, {}).get("sha256") != used:
            return False
    return True
