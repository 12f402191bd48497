# Allows one run at a time in this folder, and removes the locks of a run that was killed.
#
# Snakemake's own lock is a file, which stays when Snakemake is killed. The kernel releases its locks
# when a process ends, however it ends. Two files carry kernel locks:
#   .snakemake/running  held by Snakemake while it runs; contains the run's id
#   .snakemake/jobs     shared by the programs of all jobs while they run, see command.py
# If we hold both, no other run and no job is active here, so a leftover Snakemake lock is stale.
# On a file system without kernel locks nothing is proved, and nothing is removed.

import fcntl
import os
import shutil
import uuid


def locked(file):
    """Take the kernel lock of an open file. Return False if another process has it.

    Raises OSError on a file system without kernel locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start_run(running):
    """Give the run an id, make sure that no job of an earlier run is active, remove its lock."""
    run_id = uuid.uuid4().hex
    # A job that an earlier run started, but that has no lock yet, ends when it reads another id.
    os.environ.update(SNAKEMAKE_RUN_ID=run_id)
    running.truncate(0)
    running.write(run_id)
    running.flush()
    with open(".snakemake/jobs", "a") as jobs:
        if not locked(jobs):
            raise WorkflowError(
                "a job of an earlier run is still at work in this folder; wait for it to end, or "
                "stop it, and run again."
            )
    shutil.rmtree(".snakemake/locks", ignore_errors=True)


if workflow.is_main_process and not workflow.output_settings.dryrun:
    Path(".snakemake").mkdir(exist_ok=True)
    # The lock lasts as long as the file is open, so the name has to stay.
    running = open(".snakemake/running", "a")
    try:
        alone = locked(running)
    except OSError as error:
        alone = False
        logger.info(f"This file system has no locks ({error.strerror}): stale locks stay.")
    # If another run is active here, Snakemake itself says so.
    if alone:
        start_run(running)
