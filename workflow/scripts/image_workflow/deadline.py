"""Call a function with a deadline, for calls that wait forever if a network does not answer."""

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


class DeadlineError(Exception):
    """A call did not return in time."""


def within(seconds: float, function: Callable[..., Result], *arguments, **options) -> Result:
    """Call the function and return its result, or raise DeadlineError after some seconds.

    The call runs in a daemon thread, so a hung call cannot block the exit. Programs that imported
    the Azure ML SDK have to leave through ``os._exit`` as well, see
    :mod:`image_workflow.backends.azureml.session`. A process would not do: an open workspace cannot
    be passed from one process to another.
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
