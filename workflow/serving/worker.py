"""A worker of gunicorn that gives each request a deadline, and answers errors with JSON."""

import json
import time
from contextlib import suppress
from http import HTTPStatus

from gunicorn import util
from gunicorn.http.errors import (
    ExpectationFailed,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import ThreadWorker
from werkzeug.exceptions import HTTPException, RequestTimeout

SECONDS = 10  # for a request to arrive, and for a client to take each part of the answer
# A client that still sends would not read our answer if we closed the connection at once.
LINGER_SECONDS, LINGER_BYTES = 3, 2**30
STATUS = {LimitRequestLine: 414, LimitRequestHeaders: 431, ExpectationFailed: 417}


class DeadlineUnreader(SocketUnreader):
    """Reads a request from a socket until a deadline, however slowly it drips in."""

    deadline = 0.0

    def start(self) -> None:
        """Let the time for a request begin."""
        self.deadline = time.monotonic() + SECONDS

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Return the next bytes, or raise RequestTimeout after the deadline."""
        try:
            # 0 would stand for a socket that does not wait.
            self.sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
            return super().chunk(size_hint)
        except TimeoutError:
            raise RequestTimeout(
                f"The request did not arrive within {SECONDS} seconds. Send it again, faster."
            ) from None
        finally:
            self.sock.settimeout(SECONDS)


class Worker(ThreadWorker):
    """gunicorn's worker with threads, for clients that are slow or do not speak HTTP."""

    def handle(self, conn):
        """Answer one request of a connection. This runs in a thread."""
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, conn.sock, conn.client)
            conn.parser.unreader = DeadlineUnreader(conn.sock)
        conn.parser.unreader.start()
        keep = super().handle(conn)
        if not keep:
            # Here and not in the main thread, which would accept no other client meanwhile.
            util.close_graceful(conn.sock, LINGER_SECONDS, LINGER_BYTES)
        return keep

    def handle_request(self, req, conn):
        """Answer a request, or give up on a client that does not read the answer."""
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            raise StopIteration from None

    def finish_request(self, conn, fs):
        """Keep a connection for the next request. :meth:`handle` has closed the others."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1

    def handle_error(self, req, client, addr, exc):
        """Answer a request that is too slow, too large, or not HTTP."""
        if not isinstance(exc, ParseException | HTTPException):
            super().handle_error(req, client, addr, exc)
            return
        if isinstance(exc, HTTPException):
            status, text = HTTPStatus(exc.code), exc.description
        else:
            status, text = HTTPStatus(STATUS.get(type(exc), 400)), str(exc)
        body = json.dumps({"message": f"{text[:500].rstrip('.')}."}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with suppress(OSError):
            client.sendall(head.encode() + body)
