"""End a program with one line on Ctrl-C, SIGTERM and SIGHUP."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
MESSAGE = "interrupted; no file is half-written."

#: The signals that have interrupted this program.
received: list[int] = []


def handle(function: Callable) -> None:
    """Call the function on each signal, except those that are ignored, as SIGHUP is by nohup.

    A job of Snakemake starts with SIGINT ignored, see workflow/rules/locks.smk.
    """
    for number in SIGNALS:
        is_ignored = signal.getsignal(number) == signal.SIG_IGN
        if not is_ignored or (number == signal.SIGINT and "HEED_SIGINT" in os.environ):
            signal.signal(number, function)


def end(number: int, frame: object = None) -> None:
    """Say that the program was interrupted, and end it at once."""
    with suppress(OSError):  # The terminal may be gone.
        os.write(2, f"{os.path.basename(sys.argv[0])}: {MESSAGE}\n".encode())
    os._exit(128 + number)


def interrupt(number: int, frame: object) -> None:
    """Raise KeyboardInterrupt, so that temporary files are removed. End at once the next time."""
    if received:
        end(number)
    received.append(number)
    raise KeyboardInterrupt


def exit_code() -> int:
    """Return the exit code of an interrupted program."""
    return 128 + (received[0] if received else signal.SIGINT)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt in the block on each of the signals."""
    handle(interrupt)
    sys.unraisablehook = _end_if_lost
    try:
        yield
    except Exception as error:
        # Libraries turn a KeyboardInterrupt in their imports into errors of their own.
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        handle(end)


@contextmanager
def ignored() -> Iterator[None]:
    """Ignore Ctrl-C in the block, so that Python processes that start in it ignore it for good."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_a_line(kind: type, error: BaseException, traceback: object) -> None:
    """Be Snakemake's hook for errors that nobody caught: Python answers Ctrl-C with a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        print(f"snakemake: {MESSAGE}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def _end_if_lost(unraisable) -> None:
    """End the program if Python would ignore the interruption, as in a destructor."""
    if received and issubclass(unraisable.exc_type, KeyboardInterrupt):
        end(received[0])
    sys.__unraisablehook__(unraisable)
