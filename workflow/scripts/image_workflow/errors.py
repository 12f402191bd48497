"""The base class of all errors that a user can fix, and a sentence for a wrong name."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """An error that the user can fix.

    Its text is one or two sentences: what was expected, what was found, where, and what to do next.
    A program prints the text without a traceback and ends with exit code 1.
    """


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the nearest of the known names as a question, and all of them."""
    known = list(known)
    close = get_close_matches(str(name), known, 1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}allowed: {', '.join(known)}."
