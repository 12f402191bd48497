"""Ask an endpoint for the classes of images."""

import json
import time
import urllib.error
import urllib.request
from contextlib import suppress

import numpy as np

from image_workflow.backends.azureml import failures
from image_workflow.deadline import within

ANSWER_SECONDS = 60
MAX_BYTES = 10_000_000
#: The statuses with which a service asks to come back later.
BUSY = 429, 502, 503, 504
#: The header with which Azure passes on the status of the scoring script, as 424.
SCRIPT_STATUS = "ms-azureml-model-error-statuscode"


class ScoringError(Exception):
    """An endpoint did not answer with labels. The message is a sentence."""


def labels(
    uri: str, key: str, deployment: str, images: np.ndarray, poll: float, patience: float
) -> list[str]:
    """Return an endpoint's labels of images.

    Parameters
    ----------
    uri, key : str
        The endpoint's address and key.
    deployment : str
        The deployment to ask, whichever gets the other requests.
    images : ndarray of uint8, shape (n, rows, columns)
    poll, patience : float
        Seconds between two requests while the service is busy, and seconds after which to give up.

    Raises
    ------
    ScoringError
        If the answer is no list of labels, or there is none in time.
    """
    request = urllib.request.Request(
        uri,
        json.dumps({"data": images.tolist()}).encode(),
        {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "azureml-model-deployment": deployment,
        },
    )
    began = time.monotonic()
    while True:
        try:
            text = within(ANSWER_SECONDS, _answer, request)
            break
        except urllib.error.HTTPError as error:
            problem = _problem(error)
            if error.code not in BUSY:
                raise ScoringError(problem) from None
        except Exception as error:
            problem = f"there is no answer to a request: {failures.describe(error)}"
        if time.monotonic() - began >= patience:
            raise ScoringError(problem)
        time.sleep(poll)
    try:
        found = json.loads(text)["labels"]
        return [str(label) for label in found]
    except (ValueError, TypeError, KeyError):
        raise ScoringError(f"it answered {_shortened(text)!r} instead of labels.") from None


def _answer(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
        return response.read(MAX_BYTES).decode(errors="replace")


def _problem(error: urllib.error.HTTPError) -> str:
    """Return what an endpoint answered, as a sentence."""
    status = error.headers.get(SCRIPT_STATUS) or error.code
    text = error.read(MAX_BYTES).decode(errors="replace")
    with suppress(ValueError, TypeError, KeyError):
        text = json.loads(text)["message"]
    return f"it refused test images with status {status}: {_shortened(text) or 'no text'}."


def _shortened(text: object) -> str:
    return " ".join(str(text).split())[: failures.MAX_LENGTH].rstrip(".")
