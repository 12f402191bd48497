"""The chain of custody: each program reads only what the program before it wrote.

The start of a run compares the results with the job records. It does not see a file that is changed
during the run. So each program compares the sha256 of its inputs with the records of the jobs that
wrote them, see :mod:`image_workflow.lineage.job_records`.
"""

from collections.abc import Iterable
from pathlib import Path

from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.job_records import JobRecord, read_records


def checked_inputs(record: tuple[str, str] | None, files: Iterable[Path]) -> dict[str, str]:
    """Return the sha256 of each input of a program, which :func:`write_record` takes.

    Parameters
    ----------
    record : pair of str, or None
        The program's own record, in the folder of all records. Without one, as when a user runs the
        program by hand, nothing is read.
    files : iterable of pathlib.Path
        The files to read, named as the rule names them.

    Raises
    ------
    UserError
        If a file is not the one that a job wrote.
    """
    if record is None:
        return {}
    writers = _writers(record)
    return {str(path): _checked(str(path), writers) for path in files}


def check_chain(record: tuple[str, str] | None, files: Iterable[Path]) -> dict[str, str]:
    """Do the same as :func:`checked_inputs`, also for all files that the inputs were made from.

    Raises
    ------
    UserError
        If a file is not the one that a job wrote, or was made from another file than the one that
        is there.
    """
    if record is None:
        return {}
    writers, found = _writers(record), {}
    waiting = inputs = [str(path) for path in files]
    while waiting:
        more = set()
        for name in waiting:
            found[name] = _checked(name, writers)
            step, writer = writers.get(name, ("", None))
            for source, sha256 in writer.inputs.items() if writer else ():
                more.add(source)
                _, source_writer = writers.get(source, ("", None))
                if source_writer and source_writer.outputs[source]["sha256"] != sha256:
                    raise UserError(
                        f"{name} was made from another {source}: expected sha256 "
                        f"{source_writer.outputs[source]['sha256']}, found {sha256} in the record "
                        f"of {step}. Run again to repeat {step}."
                    )
        waiting = sorted(more - found.keys())
    return {name: found[name] for name in inputs}


def _writers(record: tuple[str, str]) -> dict[str, tuple[str, JobRecord]]:
    """Return the name and the record of the job that wrote each file, by the file's name."""
    records = read_records(Path(record[0]).parent)
    return {name: (step, written) for step, written in records.items() for name in written.outputs}


def _checked(name: str, writers: dict[str, tuple[str, JobRecord]]) -> str:
    """Return a file's sha256, or raise UserError if a job wrote another file."""
    found = sha256_of_file(Path(name))
    if name in writers:
        step, writer = writers[name]
        expected = writer.outputs[name]["sha256"]
        if found != expected:
            raise UserError(
                f"{name} is not the file that {step} wrote: expected sha256 {expected}, found "
                f"{found}. Run again to repeat {step}."
            )
    return found
