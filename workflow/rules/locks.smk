# Allows one run at a time in this folder, and removes the locks of a run that was killed.
#
# Before that, it checks that nothing is in the way of the folders that Snakemake looks into.
#
# Snakemake's own lock is a file, which stays when Snakemake is killed. The kernel releases its locks
# when a process ends, however it ends. Two files carry kernel locks:
#   .snakemake/running  held by Snakemake while it runs; contains the run's id
#   .snakemake/jobs     shared by the programs of all jobs while they run, see command.py, and on
#                       the nodes of a cluster by the Snakemakes that run the programs
# If we hold both, no other run and no job is active here, so a leftover Snakemake lock is stale.
# On a file system without kernel locks nothing is proved, and nothing is removed.

import fcntl
import os
import shutil
import signal
import uuid
from contextlib import ExitStack

from image_workflow.command import job_lock
from image_workflow.errors import UserError


def locked(file):
    """Take the kernel lock of an open file. Return False if another process has it.

    Raises OSError on a file system without kernel locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def interrupted(number, frame):
    """End the run on Ctrl-C, and the jobs that have just begun and do not heed Ctrl-C yet."""
    running.truncate(0)
    raise KeyboardInterrupt


def start_run(running):
    """Give the run an id, wait until no job of an earlier run is active, remove its lock."""
    run_id = uuid.uuid4().hex
    # A job that an earlier run started, but that has no lock yet, ends when it reads another id.
    os.environ.update(SNAKEMAKE_RUN_ID=run_id)
    running.truncate(0)
    running.write(run_id)
    running.flush()
    with open(".snakemake/jobs", "a") as jobs:
        if not locked(jobs):
            logger.info(
                "Waiting for a job of an earlier run in this folder, whose Snakemake was killed; "
                "Ctrl-C stops the waiting."
            )
            fcntl.flock(jobs, fcntl.LOCK_EX)
    # Another run that begins while this one waits is refused because of this lock.
    shutil.rmtree(".snakemake/locks", ignore_errors=True)
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupted)
        # Python prints a traceback if Ctrl-C comes while it starts. So it starts without heeding
        # Ctrl-C, until the program imports image_workflow.start.
        shell.prefix("set -euo pipefail; trap '' INT; export HEED_SIGINT=1; ")


def check_folders():
    """Raise WorkflowError if a folder cannot be used, because of its name or of what is there."""
    if "{" in str(WORKFLOW):
        raise WorkflowError(
            f"{WORKFLOW.parent}: Snakemake takes a brace in this path for a wildcard; move the "
            "workflow to a folder without braces in its path."
        )
    parts = ["arrays", "benchmarks", "candidates", "logs", "raw", "records", "report"]
    for name in [".snakemake", "results", *(f"results/{part}" for part in parts)]:
        if os.path.lexists(name) and not os.path.isdir(name):
            raise WorkflowError(
                f"expected a folder {name}, found a file or a broken link; move it, and run again."
            )


check_folders()
if not workflow.is_main_process:
    # On a cluster, a job may start after its run has ended. It must not come as far as its program,
    # because Snakemake deletes the job's outputs before that. The lock is held until this process ends.
    held = ExitStack()
    try:
        held.enter_context(job_lock())
    except UserError as error:
        raise WorkflowError(str(error))
if workflow.is_main_process and not workflow.output_settings.dryrun:
    try:
        Path(".snakemake").mkdir(exist_ok=True)
        # The lock lasts as long as the file is open, so the name has to stay.
        running = open(".snakemake/running", "a")
    except OSError as error:
        raise WorkflowError(
            f"{error.filename}: {error.strerror}; run in a folder that can be written to."
        )
    try:
        alone = locked(running)
    except OSError as error:
        alone = False
        logger.info(f"This file system has no locks ({error.strerror}): stale locks stay.")
    # If another run is active here, Snakemake itself says so.
    if alone:
        start_run(running)
