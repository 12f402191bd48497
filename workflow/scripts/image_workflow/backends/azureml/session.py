"""Run a program that may use the SDK: as `image_workflow.command.run`, and clean of its noise."""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping

from image_workflow.backends.azureml.failures import without_secrets
from image_workflow.backends.azureml.signin import PRINCIPALS
from image_workflow.command import log, run
from image_workflow.errors import UserError


class Redacting(logging.Filter):
    """Replaces secrets in all logged messages and tracebacks.

    They are the service principal's secret, and signatures of addresses of blobs.
    """

    def __init__(self, environ: Mapping[str, str]):
        super().__init__()
        self.secrets = [environ[names[2]] for names in PRINCIPALS if environ.get(names[2])]

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if record.exc_info:
            try:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            except Exception as error:
                record.exc_text = f"(the traceback cannot be shown: {type(error).__name__})"
            record.exc_info = None
        record.msg, record.args = self.redact(message), ()
        record.exc_text = record.exc_text and self.redact(record.exc_text)
        return True

    def redact(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return without_secrets(text)


class _LogFile(io.TextIOBase):
    """A stream that writes its lines to the log file."""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            # SDK v2 prints a dot at each look at an operation.
            if line.strip(" ."):
                logging.info("printed: %s", line)
        return len(text)


def run_with_sdk(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]
) -> None:
    """Run a program's ``main`` and exit.

    Text that the SDK prints goes to the log file. If the SDK was imported, its exit hooks are
    skipped, because they wait for a network that may not answer.
    """
    code = 0
    try:
        run(parser, lambda options: _run_quietly(main, options))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    if not any(name.partition(".")[0] in ("azure", "azureml") for name in sys.modules):
        sys.exit(code)
    logging.shutdown()
    os._exit(code)


def _run_quietly(main, options) -> None:
    for handler in (*logging.getLogger().handlers, *log.handlers):
        handler.addFilter(Redacting(os.environ))
    # Below warnings, the Azure clients log whole requests.
    for name in ("azure", "azureml", "msal", "msrest", "urllib3", "adal", "cli"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with contextlib.redirect_stdout(_LogFile()):
        main(options)


def confirm(answer: str) -> None:
    """Return if the user agrees; raise UserError if not, or if there is no terminal to ask at.

    Parameters
    ----------
    answer : {"yes", "no"}
        The setting confirm.
    """
    if answer == "yes":
        return
    if not sys.stdin.isatty():
        raise UserError("nothing was deleted. To delete all this, add --config confirm=yes.")
    sys.stderr.write("Delete all this? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was deleted.")
