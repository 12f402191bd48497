"""The frame of every script: its log, its progress, and errors that are sentences."""

import argparse
import fcntl
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger("workflow")


class UserError(Exception):
    """What its reader can mend: one or two sentences that say what, where and what to do next."""


def run(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Run a script's ``main`` with its parsed options, and end the process as a command should.

    Messages go to stderr and to the file named by ``--log``. A :class:`UserError`, or an OSError,
    is one message and exit code 1; the traceback of any other exception goes to the log file.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The script's own options; ``--log`` is added here.
    main : callable
        Takes the parsed options; its result is ignored.
    """
    parser.add_argument("--log", type=Path, metavar="FILE", help="write messages to FILE as well")
    options = parser.parse_args()
    _set_up(options.log)
    try:
        with _at_work():
            main(options)
    except UserError as error:
        log.error("%s: %s", parser.prog, error)
        sys.exit(1)
    except KeyboardInterrupt:
        log.error("%s: interrupted; nothing is left half-written.", parser.prog)
        sys.exit(130)
    except OSError as error:
        logging.exception("the system said no")
        where = f"{error.filename}: " if error.filename else ""
        log.error("%s: %s%s.", parser.prog, where, error.strerror or error)
        sys.exit(1)
    except Exception as error:
        if options.log is None:
            raise
        logging.exception("unexpected error")
        log.error(
            "%s: unexpected %s: %s. The traceback is in %s.",
            parser.prog,
            type(error).__name__,
            error,
            options.log,
        )
        sys.exit(1)
    finally:
        # Python looks for garbage once more when it ends: a second, after MLflow was imported.
        gc.freeze()


@contextmanager
def _at_work() -> Iterator[None]:
    """In the block, hold a lock that tells Snakemake's next run that this job is at work.

    A job outlives a Snakemake that was killed, and would write into the results of the next run.
    See workflow/rules/locks.smk, which sets the variable.
    """
    if not Path(".snakemake").is_dir():
        yield
        return
    with open(".snakemake/jobs", "a") as jobs:
        # A file system without locks: Snakemake cannot be told.
        with suppress(OSError):
            fcntl.flock(jobs, fcntl.LOCK_SH)
        run_id = os.environ.get("SNAKEMAKE_RUN_ID")
        if run_id and run_id != Path(".snakemake/running").read_text():
            raise UserError("the run that started this job has ended, and another has begun.")
        yield


def _set_up(log_file: Path | None) -> None:
    terminal = logging.StreamHandler()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        logging.basicConfig(
            filename=log_file, filemode="w", level=logging.INFO, format="%(asctime)s %(message)s"
        )
    else:
        logging.basicConfig(handlers=[logging.NullHandler()])
    logging.captureWarnings(True)
    log.setLevel(logging.INFO)
    # The root logger keeps what libraries say and every traceback for the log file alone.
    for name in (log.name, "py.warnings"):
        logging.getLogger(name).addHandler(terminal)
