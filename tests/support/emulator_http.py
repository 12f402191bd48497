"""Send plain HTTP requests to the emulator, without the SDK."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator

from azureml_emulator import Emulator


def proxy_port(emulator: Emulator) -> int:
    """Return the port on which the emulator's proxy listens."""
    return int(emulator.url.rpartition(":")[2])


@contextlib.contextmanager
def open_tunnel(emulator: Emulator, host: str) -> Iterator[http.client.HTTPSConnection]:
    """Open a connection to a host through the proxy. Offer HTTP/2, but speak only HTTP/1.1."""
    context = ssl.create_default_context(cafile=emulator.ca_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = http.client.HTTPSConnection(
        "127.0.0.1", proxy_port(emulator), context=context, timeout=10
    )
    connection.set_tunnel(host, 443)
    with contextlib.closing(connection):
        yield connection


def send_request(connection, method: str, path: str, body=None, headers=None, **options):
    """Send a request, and return the response's status, body and headers."""
    connection.request(method, path, body, headers or {}, **options)
    response = connection.getresponse()
    return response.status, response.read(), response.headers
