"""The HTTP proxy on loopback: it ends TLS, hands requests to the router, and forwards nothing."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .messages import Request, Response

#: Seconds between two looks at whether a black hole has been lifted.
PAUSE = 0.1


class Lost(Exception):
    """The connection is to be reset instead of answered."""


class Connection(BaseHTTPRequestHandler):
    """One connection of a client: CONNECT, then requests inside the tunnel."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    tunnel: str | None = None

    def do_CONNECT(self):
        try:
            self._refuse_when_gone()
        except Lost:
            return self._reset()
        host = self.path.rpartition(":")[0]
        # Not send_response: it would log, and add headers that a tunnel has no use for.
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        if self.server.faults.lasting("black_hole"):
            return self._fall_silent()
        try:
            self._begin_tls(host)
        except (OSError, ssl.SSLError):
            self.close_connection = True

    def do_any(self):
        """Answer a request of any other method."""
        try:
            if self.tunnel:
                self._refuse_when_gone()
            response = self.server.answer(self._request())
        except Lost:
            return self._reset()
        self._send(response)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any

    def handle_expect_100(self):
        """Tell a client that waits before it sends its body to go on."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _begin_tls(self, host: str) -> None:
        self.connection = self.request = self.server.authority.context(host).wrap_socket(
            self.connection, server_side=True
        )
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.tunnel = host
        self.close_connection = False

    def _request(self) -> Request:
        # A plain request for another host names it in full.
        return Request.parse(self.command, self.tunnel or "", self.path, self.headers, self._body())

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._chunks())
        return self._read(int(self.headers.get("Content-Length") or 0))

    def _chunks(self):
        while size := self._chunk_size():
            yield self._read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _chunk_size(self) -> int:
        line = self.rfile.readline()
        if not line:
            raise Lost
        return int(line.split(b";")[0], 16)

    def _read(self, size: int) -> bytes:
        body = self.rfile.read(size)
        # A client that dies while it sends must not leave half a blob behind.
        if len(body) < size:
            raise Lost
        return body

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        headers = {"Date": self.date_time_string(), **response.headers}
        # An answer to HEAD may state a length without having a body.
        headers.setdefault("Content-Length", str(len(response.body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def _refuse_when_gone(self) -> None:
        if self.server.faults.lasting("service_gone"):
            raise Lost
        if self.tunnel and self.server.faults.lasting("black_hole"):
            self._fall_silent()
            raise Lost

    def _fall_silent(self) -> None:
        while self.server.faults.lasting("black_hole") and not self.server.stopping.is_set():
            time.sleep(PAUSE)
        self.close_connection = True

    def _reset(self) -> None:
        # Lingering for no time makes close() send RST, as a vanished host's router does.
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile = io.BytesIO()
        self.close_connection = True

    def finish(self):
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def log_message(self, *_):
        """Say nothing: the router keeps the request log."""


class Proxy(ThreadingHTTPServer):
    """The listening side; one thread per connection.

    Parameters
    ----------
    authority : certificates.Authority
        Issues the certificates that clients see.
    faults : faults.Faults
        Consulted for the failures of the network itself.
    answer : callable
        Takes a request, whose host is empty when it is meant for the proxy, returns the answer.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, authority, faults, answer):
        super().__init__(("127.0.0.1", 0), Connection)
        self.authority, self.faults, self.answer = authority, faults, answer
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """The address that clients use as their proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; black-holed connections are let go."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request, client_address):
        # Clients may hang up whenever they like; anything else is our own mistake.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
