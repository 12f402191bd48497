"""Find the jobs to repeat because their results are not those that a fresh clone would have.

Snakemake does not notice that a file was altered or replaced, and does not miss a file as long as
the files made from it exist. Therefore the results are compared with the job records
(:mod:`image_workflow.lineage.job_records`), independently of Snakemake's own notes.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from image_workflow.lineage.job_records import JobRecord, is_intact, read_record


class Step(NamedTuple):
    """A job of the workflow. File names are relative to the working directory.

    Attributes
    ----------
    record : str
        The job's record.
    recipe : str
        The digest of the job's settings and code.
    outputs : list of str
        The files that the job writes, without the record.
    inputs : list of str
        The files that the job reads and that other jobs write.
    reason : str or None
        A reason to repeat the job that is known beforehand.
    """

    record: str
    recipe: str
    outputs: list[str]
    inputs: list[str]
    reason: str | None = None


def steps_to_repeat(steps: list[Step]) -> dict[str, str]:
    """Return the records of the steps to repeat, each with the reason.

    Steps that follow from a repeated step are left out, because Snakemake runs those as well. So
    are steps that have not run yet.

    Parameters
    ----------
    steps : list of Step
        In the order in which they run.
    """
    maker = {output: step for step in steps for output in step.outputs}
    records = {step.record: read_record(Path(step.record)) for step in steps}
    reasons, used = {}, set()
    for step in reversed(steps):
        reason = step.reason
        files = [*step.outputs, step.record]
        if any(map(os.path.exists, files)) or not used.isdisjoint(files):
            used.update(step.inputs)
            reason = reason or _fault(step, records, maker)
        if reason:
            reasons[step.record] = reason
    return dict(reversed(reasons.items()))


def restore_order(steps: list[Step]) -> None:
    """Let no result be older than a file that it was made from.

    A copy changes the order of the time stamps. Without its own notes, which may be in another
    folder, Snakemake would make such results again.

    Parameters
    ----------
    steps : list of Step
        Whose results are right, in the order in which they run.
    """
    for step in steps:
        record = Path(step.record)
        # Snakemake compares the time of the benchmark too.
        benchmark = record.parents[1] / "benchmarks" / f"{record.stem}.jsonl"
        newest = max(map(_modified, step.inputs), default=0)
        for path in (*step.outputs, record, benchmark):
            if 0 < _modified(path) < newest:
                with suppress(OSError):  # It may belong to another user.
                    os.utime(path, ns=(newest, newest))


def _modified(path: Path | str) -> int:
    """Return when a file was modified, in nanoseconds, or 0 if it does not exist."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _fault(step: Step, records: dict[str, JobRecord | None], maker: dict[str, Step]) -> str | None:
    """Return the reason why a step's results are wrong, or None if they are right."""
    record = records[step.record]
    for name in step.outputs:
        if not os.path.exists(name):
            return f"{name} is missing"
    if record is None or record.outputs.keys() != set(step.outputs):
        return f"{step.record} is missing or damaged"
    if record.recipe != step.recipe:
        return f"{step.outputs[0]} was made with other source files, settings or code"
    for name, entry in record.outputs.items():
        if not is_intact(Path(name), entry):
            return f"{name} was altered"
    for name, sha256 in record.inputs.items():
        made = name in maker and records[maker[name].record]
        if made and made.outputs.get(name, {}).get("sha256") != sha256:
            return f"{step.outputs[0]} was made from another {name}"
    return None
