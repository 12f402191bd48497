"""Run a program: its options, its log, and its errors."""

import argparse
import errno
import fcntl
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from image_workflow import interrupts
from image_workflow.errors import UserError

#: Messages for the user. Modules log to children of this logger.
log = logging.getLogger("image_workflow")

FREE_SPACE = " Free space on the disks of this folder and of TMPDIR, and run again."
#: What the user can do about an error of the operating system.
ADVICE = {
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EROFS: " Run in a folder that can be written to.",
    errno.EACCES: " Change its permissions, or run in a folder that can be written to.",
    errno.EISDIR: " A folder is in the way: move it, and run again.",
    errno.ENOTDIR: " A file is in the way of a folder: move it, and run again.",
    errno.EEXIST: " A file is in the way of a folder: move it, and run again.",
}


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Parse the options, call ``main`` with them, and exit with the right code.

    Messages go to stderr and to the file that ``--log`` names. A :class:`UserError` or an OSError
    becomes one message and exit code 1. The traceback of any other exception goes to the log file.
    Ctrl-C, SIGTERM and SIGHUP become one message and exit codes 130, 143 and 129.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The program's own options; ``--log`` is added here.
    main : callable
        Takes the parsed options; its result is ignored.
    """
    parser.add_argument("--log", type=Path, metavar="FILE", help="also write messages to FILE")
    options = parser.parse_args()
    _configure_logging(options.log)
    try:
        with interrupts.interruptible(), job_lock():
            main(options)
    except UserError as error:
        log.error("%s: %s", parser.prog, error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("%s: %s", parser.prog, interrupts.MESSAGE)
        sys.exit(interrupts.exit_code())
    except OSError as error:
        logging.exception("operating system error")
        log.error("%s: %s", parser.prog, described(error))
        sys.exit(1)
    except Exception as error:
        if options.log is None:
            raise
        logging.exception("unexpected error")
        text = f": {error}" if str(error) else ""
        log.error(
            "%s: unexpected %s%s. The traceback is in %s.",
            *(parser.prog, type(error).__name__, text, options.log),
        )
        sys.exit(1)
    finally:
        # Skip Python's last garbage collection. After an import of MLflow it takes a second.
        gc.freeze()


def described(error: OSError) -> str:
    """Return a sentence with the file and the reason, and one with what the user can do."""
    path = error.filename2 or error.filename  # the target, if a file could not be renamed
    where = f"{path}: " if path else ""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{where}{reason}.{ADVICE.get(error.errno, '')}"


@contextmanager
def job_lock() -> Iterator[None]:
    """Hold a shared lock on .snakemake/jobs while this job runs.

    A job survives when Snakemake is killed, and could write into the results of the next run. The
    next run waits for the lock. See workflow/rules/locks.smk, which sets the variable.

    Raises
    ------
    UserError
        If the run that started the job has ended, and another one has begun.
    """
    if not Path(".snakemake").is_dir():
        yield
        return
    with open(".snakemake/jobs", "a") as jobs:
        with suppress(OSError):  # Some file systems have no locks.
            fcntl.flock(jobs, fcntl.LOCK_SH)
        run_id = os.environ.get("SNAKEMAKE_RUN_ID")
        if run_id and run_id != Path(".snakemake/running").read_text():
            raise UserError("the run that started this job has ended.")
        yield


def _configure_logging(log_file: Path | None) -> None:
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(
            filename=log_file, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s"
        )
    else:
        logging.basicConfig(handlers=[logging.NullHandler()])
    logging.raiseExceptions = False  # A log that cannot be written, on a full disk, is no error.
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    # Messages of libraries, and all tracebacks, go to the log file only.
    for name in (log.name, "py.warnings"):
        logging.getLogger(name).addHandler(terminal)
