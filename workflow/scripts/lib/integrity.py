"""Which jobs have to be repeated, because their results are not what a first run would leave.

Snakemake does not see that a file was altered or brought back, and a missing file is no reason to
run while the files that were made from it exist. So the results are compared with the records of
the jobs (:mod:`lib.record`): with the records alone, whatever Snakemake noted itself.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lib.record import is_intact, read_record


class Step(NamedTuple):
    """A job of the workflow: its files, by their names below the working directory.

    Attributes
    ----------
    record : str
        The job's record.
    recipe : str
        The digest of all that decides what the job makes, beside its inputs.
    outputs : list of str
        What the job makes, beside the record.
    inputs : list of str
        What it uses of other steps' outputs.
    absent : sequence of str
        What must not exist once the job has run.
    """

    record: str
    recipe: str
    outputs: list[str]
    inputs: list[str]
    absent: Sequence[str] = ()


def steps_to_repeat(steps: list[Step]) -> dict[str, str]:
    """Return the records of the steps that have to be repeated, each with the reason.

    What follows from a repeated step is not listed: Snakemake runs that as well. Nor is a step that
    was not done yet.

    Parameters
    ----------
    steps : list of Step
        Those that come first stand first.
    """
    maker = {output: step for step in steps for output in step.outputs}
    records = {step.record: read_record(Path(step.record)) for step in steps}
    reasons, used = {}, set()
    for step in reversed(steps):
        reason = _orphan(step)
        files = [*step.outputs, step.record]
        if any(map(os.path.exists, files)) or not used.isdisjoint(files):
            used.update(step.inputs)
            reason = reason or _fault(step, records, maker)
        if reason:
            reasons[step.record] = reason
    return dict(reversed(reasons.items()))


def _orphan(step: Step) -> str | None:
    """Say which file a step would have removed."""
    left = next(filter(os.path.exists, step.absent), None)
    return left and f"{left} is of another configuration"


def _fault(step: Step, records: dict[str, dict | None], maker: dict[str, Step]) -> str | None:
    """Say why the results of a step are not what a first run would leave; None if they are."""
    record = records[step.record]
    for name in step.outputs:
        if not os.path.exists(name):
            return f"{name} is missing"
    if record is None or record["outputs"].keys() != set(step.outputs):
        return f"{step.record} is missing or damaged"
    if record["recipe"] != step.recipe:
        return f"{step.outputs[0]} was made with other settings or code"
    for name, entry in record["outputs"].items():
        if not is_intact(Path(name), entry):
            return f"{name} was altered"
    for name, sha256 in record["inputs"].items():
        made = name in maker and records[maker[name].record]
        if made and made["outputs"].get(name, {}).get("sha256") != sha256:
            return f"{step.outputs[0]} was made from another {name}"
    return None
