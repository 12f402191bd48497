# Lets one run at a time work in this folder, and takes up a run that was killed.
#
# The kernel releases its locks when a process ends, however it ends. Two files carry them:
#   .snakemake/running  locked by Snakemake as long as it runs; has the run's id
#   .snakemake/jobs     shared by the programs of all jobs as long as they run (lib/command.py)

import fcntl
import os
import shutil
import uuid

# Whether this process alone may change what earlier runs left.
ALONE = False

if workflow.is_main_process and not workflow.output_settings.dryrun:
    Path(".snakemake").mkdir(exist_ok=True)
    running = open(".snakemake/running", "a")
    try:
        fcntl.flock(running, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ALONE = True
    except BlockingIOError:
        pass  # Another Snakemake runs here: Snakemake itself will say so.
    except OSError:
        pass  # A file system without locks.

if ALONE:
    # A job that was started by an earlier run, but has not got its lock yet, ends when it reads
    # another id.
    run_id = uuid.uuid4().hex
    os.environ.update(SNAKEMAKE_RUN_ID=run_id)
    running.truncate(0)
    running.write(run_id)
    running.flush()
    with open(".snakemake/jobs", "a") as jobs:
        try:
            fcntl.flock(jobs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkflowError(
                "a job of an earlier run is still at work in this folder; wait for it to end, or "
                "stop it, and run again."
            )
    # No other Snakemake runs here and no job does: a lock that Snakemake left is stale.
    shutil.rmtree(".snakemake/locks", ignore_errors=True)
