"""The web application: Azure ML's inference server, a limit for its input, and a page."""

import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from azureml_inference_server_http.server.entry import app as inference_server
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

MAXIMUM_MB = 64  # 10,000 images of MNIST as JSON have 26
PAGE = Path(__file__).with_name("draw.html")
# Parsed JSON takes many times the memory of its text, so one request after the other is parsed.
scoring = threading.Lock()


def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
    """Answer a request after all of it has arrived.

    The deadline of the worker is the deadline of the input's arrival.
    """
    body = environ["wsgi.input"].read(MAXIMUM_MB * 2**20 + 1)
    if len(body) > MAXIMUM_MB * 2**20:
        raise RequestEntityTooLarge(
            f"The request has more than {MAXIMUM_MB} MB. Send the images in several requests."
        )
    environ["wsgi.input"] = io.BytesIO(body)
    if environ["PATH_INFO"] == "/draw" and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        page = Response(
            PAGE.read_bytes(), mimetype="text/html", headers={"Cache-Control": "no-cache"}
        )
        return page(environ, start_response)
    if environ["PATH_INFO"] != "/score":
        return inference_server(environ, start_response)
    with scoring:
        return inference_server(environ, start_response)
