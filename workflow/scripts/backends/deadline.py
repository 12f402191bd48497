"""Calls with a deadline: the SDK has none, and waits for ever where a network does not answer."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class DeadlineError(Exception):
    """There was no answer in time."""


def within(seconds: float, function: Callable[..., Result], *arguments, **options) -> Result:
    """Return what the function returns, or raise DeadlineError after some seconds.

    The call runs in a daemon thread, which a hung one does not outlive: the cloud's scripts leave
    by ``os._exit`` (see :mod:`backends.frame`). A thread, not a process, as its result is used
    here: an open workspace cannot be passed from one process to another.
    """
    ended, result = threading.Event(), []

    def call() -> None:
        try:
            result.append((function(*arguments, **options), None))
        except BaseException as error:
            result.append((None, error))
        ended.set()

    threading.Thread(target=call, daemon=True).start()
    if not ended.wait(seconds):
        raise DeadlineError(f"there was no answer in {seconds:g} s")
    ((value, error),) = result
    if error:
        raise error
    return value
