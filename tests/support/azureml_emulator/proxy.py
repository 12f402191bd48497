"""Run an HTTP proxy on loopback. It terminates TLS, calls the router, and forwards nothing."""

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

#: The interval, in seconds, at which a silent connection checks whether the black hole has ended.
POLL_SECONDS = 0.1


class ConnectionLost(Exception):
    """Make the proxy reset the connection instead of answering."""


class Connection(BaseHTTPRequestHandler):
    """Serve one connection of a client: CONNECT, and then the requests inside the tunnel."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    tunnel: str | None = None

    def do_CONNECT(self):
        """Open a tunnel to a host, and terminate its TLS here."""
        host = self.path.rpartition(":")[0]
        if self.server.faults.is_active("service_gone", host):
            return self._reset()
        # send_response would write a log line, and headers that do not belong to a tunnel.
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        if self.server.faults.is_active("black_hole", host):
            return self._stay_silent(host)
        try:
            self._start_tls(host)
        except (OSError, ssl.SSLError):
            self.close_connection = True

    def do_any(self):
        """Answer a request of any other method."""
        try:
            if self.tunnel:
                self._apply_network_faults()
            response = self.server.respond(self._read_request())
        except ConnectionLost:
            return self._reset()
        self._send(response)
        return None

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_any

    def handle_expect_100(self):
        """Tell a client that sent `Expect: 100-continue` to send its body."""
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _start_tls(self, host: str) -> None:
        self.connection = self.request = self.server.authority.context(host).wrap_socket(
            self.connection, server_side=True
        )
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.tunnel = host
        self.close_connection = False

    def _read_request(self) -> Request:
        # Outside a tunnel, a request to another host has the host's full URL as its target.
        host, body = self.tunnel or "", self._read_body()
        return Request.parse(self.command, host, self.path, self.headers, body)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self._read_chunks())
        return self._read_exactly(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self):
        while size := self._read_chunk_size():
            yield self._read_exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def _read_chunk_size(self) -> int:
        line = self.rfile.readline()
        if not line:
            raise ConnectionLost
        return int(line.split(b";")[0], 16)

    def _read_exactly(self, size: int) -> bytes:
        body = self.rfile.read(size)
        # If the client dies while it sends, the service must not store half a blob.
        if len(body) < size:
            raise ConnectionLost
        return body

    def _send(self, response: Response) -> None:
        self.send_response_only(response.status)
        headers = {"Date": self.date_time_string(), **response.headers}
        # A response to HEAD may state a length although it has no body.
        headers.setdefault("Content-Length", str(len(response.body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def _apply_network_faults(self) -> None:
        if self.server.faults.is_active("service_gone", self.tunnel):
            raise ConnectionLost
        if self.server.faults.is_active("black_hole", self.tunnel):
            self._stay_silent(self.tunnel)
            raise ConnectionLost

    def _stay_silent(self, host: str) -> None:
        faults, stopping = self.server.faults, self.server.stopping
        while faults.is_active("black_hole", host) and not stopping.is_set():
            time.sleep(POLL_SECONDS)
        self.close_connection = True

    def _reset(self) -> None:
        # With a linger time of 0, close() sends RST, as a router does when a host disappears.
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile = io.BytesIO()
        self.close_connection = True

    def finish(self):
        """Close the connection, even if the client has closed its end."""
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        self.connection.close()

    def log_message(self, *_):
        """Print nothing, because the router keeps the request log."""


class Proxy(ThreadingHTTPServer):
    """Listen on loopback, and serve each connection in a thread.

    Parameters
    ----------
    authority : certificates.Authority
        The issuer of the certificates that clients see.
    faults : faults.Faults
        The active faults; the proxy applies those of the network.
    respond : callable
        A function from a request to its response. The request's host is empty if the request is
        for the proxy itself.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, authority, faults, respond):
        super().__init__(("127.0.0.1", 0), Connection)
        self.authority, self.faults, self.respond = authority, faults, respond
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Return the address that clients use as their proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Start listening."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and end the connections that a black hole keeps silent."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request, client_address):
        """Print a traceback, unless the client has closed the connection."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
