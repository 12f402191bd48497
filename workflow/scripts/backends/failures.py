"""What a cloud's client raises, as one sentence: the step, the cause, and the next thing to do.

The SDK's exceptions come from five families with nothing in common, and the str() of some of them
raises itself, so nothing here trusts an exception to describe itself.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from lib.command import UserError

CONNECTION, PERMISSION, OTHER = "cannot connect", "not authorised", "other"

LONGEST = 500

# By name: the classes are in requests, azure.core, msrest, azureml and azureml.dataprep, and
# importing them all to compare takes seconds.
CONNECTION_ERRORS = {
    "ConnectionError",
    "ProxyError",
    "SSLError",
    "Timeout",
    "ClientRequestError",
    "ServiceRequestError",
    "ServiceResponseError",
    "TimeoutError",
    "DeadlineError",
}
PERMISSION_ERRORS = {
    "AuthenticationException",
    "AuthenticationError",
    "ClientAuthenticationError",
    "CredentialUnavailableError",
}
REFUSALS = re.compile(
    r"AADSTS\d+|AuthorizationFailed|Forbidden|Response Code: 40[13]|don't have access"
    r"|Please ensure you have network connection"
)
# What a service's answer says, in any of the orders that services use.
ANSWER = re.compile(r'"code"\s*:\s*"(?P<code>[^"]+)"[^{}]*?"message"\s*:\s*"(?P<message>[^"]+)"')
SECRET = re.compile(r"(?i)((?:sig|token|secret|password|accountkey)=)[^&\s'\"]+")
# The SDK's guesses at what an answer means; the answer itself is in the exception inside.
VAGUE = re.compile(r"Operation returned an invalid status code '\w+'. The possible reason")


class CloudError(UserError):
    """A step in the cloud that failed, for a kind of reason."""

    def __init__(self, text: str, kind: str = OTHER, cause: str = ""):
        super().__init__(text)
        self.kind, self.cause = kind, cause


@contextmanager
def step(name: str, then: str) -> Iterator[None]:
    """Turn what a step raises into a CloudError; the traceback goes to the log file.

    Parameters
    ----------
    name : str
        What was being done, such as "register the model".
    then : str
        What to do next, a sentence.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # The chained exceptions of the SDK may fail to describe themselves too.
        try:
            logging.exception("failed to %s", name)
        except Exception:
            logging.error("failed to %s: %s", name, words(error))
        cause = words(error)
        raise CloudError(f"could not {name}: {cause} {then}", kind(error), cause) from None


def words(error: BaseException) -> str:
    """Return what an exception says as one sentence, without secrets.

    Examples
    --------
    >>> words(ValueError("no such thing"))
    'no such thing.'
    """
    text = _said(error)
    if VAGUE.match(text) and (inner := error.__cause__ or error.__context__):
        text = _said(inner) or text
    if host := re.search(r"host='([^']+)'", text):
        text = f"there is no connection to {host[1]}"
    elif answer := ANSWER.search(text.replace('\\"', '"')):
        text = f"{answer['message']} ({answer['code']})"
    text = " ".join((text or type(error).__name__).split())
    text = SECRET.sub(r"\1***", text)
    text = text if len(text) <= LONGEST else text[:LONGEST] + " ..."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _said(error: BaseException) -> str:
    for read in (lambda: error.message, lambda: str(error), lambda: repr(error.args)):
        try:
            if text := str(read() or "").strip():
                return text
        except Exception:
            continue
    return ""


def kind(error: BaseException) -> str:
    """Tell what kind of failure it is: a missing connection, a missing permission, or another."""
    names = {base.__name__ for base in type(error).__mro__}
    text = words(error)
    if names & CONNECTION_ERRORS or "ConnectionFailure" in text or "no connection to" in text:
        return CONNECTION
    if "network connection" in text:
        return CONNECTION
    code = getattr(error, "status_code", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    if code in (401, 403) or names & PERMISSION_ERRORS or REFUSALS.search(text):
        return PERMISSION
    return OTHER
