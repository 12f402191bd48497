"""The base class of all errors that a user can fix."""


class UserError(Exception):
    """An error that the user can fix.

    Its text is one or two sentences: what was expected, what was found, where, and what to do next.
    A program prints the text without a traceback and ends with exit code 1.
    """
