"""The frame of the scripts that talk to a cloud: `lib.command.run`, and what an SDK needs."""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Mapping

from backends.settings import PRINCIPALS
from lib.command import log, run


class Redacting(logging.Filter):
    """Keeps the secret in use out of every message and traceback that is logged."""

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
        for secret in self.secrets:
            message = message.replace(secret, "***")
            record.exc_text = record.exc_text and record.exc_text.replace(secret, "***")
        record.msg, record.args = message, ()
        return True


class _Lines(io.TextIOBase):
    """A stream whose lines go to the log file alone."""

    def write(self, text: str) -> int:
        for line in filter(str.strip, text.splitlines()):
            logging.info("printed: %s", line)
        return len(text)


def run_in_cloud(
    parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]
) -> None:
    """Run a script's ``main`` as `lib.command.run` does, and end the process.

    What the SDK prints goes to the log file. Its exit hooks wait for a network that may not answer:
    where it was imported, they are not run.
    """
    code = 0
    try:
        run(parser, lambda options: _quietly(main, options))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    sys.stdout.flush()
    sys.stderr.flush()
    if not any(name.partition(".")[0] == "azureml" for name in sys.modules):
        sys.exit(code)
    logging.shutdown()
    os._exit(code)


def _quietly(main, options) -> None:
    for handler in (*logging.getLogger().handlers, *log.handlers):
        handler.addFilter(Redacting(os.environ))
    # Of the libraries' own messages warnings are enough; the clients log whole requests.
    for name in ("azure", "azureml", "msal", "msrest", "urllib3", "adal", "cli"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with contextlib.redirect_stdout(_Lines()):
        main(options)
