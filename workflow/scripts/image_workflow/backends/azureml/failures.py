"""Turn the SDK's exceptions into one sentence: the step, the cause, and what to do next.

SDK v1 raises exceptions of five unrelated families. The str() of some of them raises an exception
itself, so this module never relies on it. SDK v2 raises AzureErrors, and sometimes Python's own
errors, such as AttributeError.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from image_workflow.errors import UserError

CONNECTION, PERMISSION, OTHER = "cannot connect", "not authorised", "other"

MAX_LENGTH = 500

# Exceptions are compared by name. Their classes are in requests, azure.core, msrest, azureml and
# azureml.dataprep, which take seconds to import.
CONNECTION_ERRORS = {
    "ConnectionError",
    "ProxyError",
    "SSLError",
    "Timeout",
    "ClientRequestError",
    "ServiceRequestError",
    "ServiceResponseError",
    "TimeoutError",
    "TimeoutExpired",
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
# The code and the message in a service's answer.
ANSWER = re.compile(r'"code"\s*:\s*"(?P<code>[^"]+)"[^{}]*?"message"\s*:\s*"(?P<message>[^"]+)"')
SECRET = re.compile(r"(?i)((?:sig|token|secret|password|accountkey)=)[^&\s'\"]+")
# The SDK's guess at the meaning of an answer. The inner exception has the answer itself.
VAGUE = re.compile(r"Operation returned an invalid status code '\w+'. The possible reason")

# What str() makes of an exception without a text, or with an empty answer.
NO_TEXT = re.compile(r"\W*|None|b''|b\"\"")


class CloudError(UserError):
    """A step in the cloud failed.

    Attributes
    ----------
    kind : {CONNECTION, PERMISSION, OTHER}
        The kind of the cause.
    cause : str
        The cause, a sentence.
    """

    def __init__(self, text: str, kind: str = OTHER, cause: str = ""):
        super().__init__(text)
        self.kind, self.cause = kind, cause


@contextmanager
def step(name: str, advice: str) -> Iterator[None]:
    """Raise a CloudError for any exception in the block. The traceback goes to the log file.

    Parameters
    ----------
    name : str
        The step, such as "register the model".
    advice : str
        What to do next, a sentence.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # Formatting a traceback calls str(), which may raise.
        try:
            logging.exception("failed to %s", name)
        except Exception:
            logging.error("failed to %s: %s", name, describe(error))
        cause = describe(error)
        raise CloudError(f"could not {name}: {cause} {advice}", kind(error), cause) from None


def describe(error: BaseException) -> str:
    """Return the text of an exception as one sentence without secrets, or else its name.

    Examples
    --------
    >>> describe(ValueError("no such thing"))
    'no such thing.'
    >>> describe(KeyError())
    'KeyError.'
    """
    text = _text_of(error)
    if (not text or VAGUE.match(text)) and (inner := error.__cause__ or error.__context__):
        text = _text_of(inner) or text
    if host := re.search(r"host='([^']+)'", text):
        text = f"there is no connection to {host[1]}"
    elif "Connection aborted" in text:
        text = "the connection was interrupted"
    elif answer := ANSWER.search(text.replace('\\"', '"')):
        text = f"{answer['message']} ({answer['code']})"
    text = " ".join((text or type(error).__name__).split())
    text = without_secrets(text)
    text = text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + " ..."
    return text if text.endswith((".", "!", "?")) else f"{text}."


def without_secrets(text: str) -> str:
    """Replace signatures and passwords in a text, such as an address of a blob.

    Examples
    --------
    >>> without_secrets("https://some.blob/name?sv=1&sig=abc")
    'https://some.blob/name?sv=1&sig=***'
    """
    return SECRET.sub(r"\1***", text)


def _text_of(error: BaseException) -> str:
    """Return an exception's text, or an empty string if it has none."""

    def answer():
        # azure-core repeats the code and the message in other parts of its text.
        message, code = error.error.message, error.error.code
        return f"{message} ({code})" if message and code else ""

    def arguments():
        return ", ".join(repr(argument) for argument in error.args if str(argument).strip())

    for read in (answer, lambda: error.message, lambda: str(error), arguments):
        try:
            text = str(read() or "").strip()
            if not NO_TEXT.fullmatch(text):
                return text
        except Exception:
            continue
    return ""


def kind(error: BaseException) -> str:
    """Return the kind of a failure: CONNECTION, PERMISSION or OTHER."""
    names = {base.__name__ for base in type(error).__mro__}
    # azure-identity raises the same error for a wrong secret and without a network.
    names |= {base.__name__ for base in type(error.__cause__).__mro__}
    text = describe(error)
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
