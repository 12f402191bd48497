"""Serve IDX files from an HTTP server on the loopback address, with chosen answers."""

import io
import json
import socket
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Mirror(ThreadingHTTPServer):
    """An HTTP server with a list of answers for each path.

    Attributes
    ----------
    url : str
        The base URL.
    answers : dict of list
        The answers for each path. Each request takes the next one; the last one is repeated. Other
        paths get the answer ``default``, 404.
    requests : list of str
        The requested paths.
    closing : threading.Event
        Set when the server stops, to end answers that are never completed.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
            self.url = f"https://localhost:{self.server_port}"
        self.answers: dict[str, list[Answer]] = {}
        self.default: Answer = status(404)
        self.requests: list[str] = []
        self.closing = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        self.server.requests.append(self.path)
        answers = self.server.answers.get(self.path, [self.server.default])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    do_POST = do_GET

    def log_message(self, *_):
        pass  # do not mix the server's log with the output of the tests


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Mirror]:
    """Run a mirror during the block, with https if ``tls`` has a certificate of localhost."""
    mirror = Mirror(tls)
    thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        mirror.closing.set()
        mirror.shutdown()
        thread.join()
        mirror.server_close()


def content(
    body: bytes, promised: int | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """Answer with ``body``. ``promised`` is the Content-Length, if it shall be wrong."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    """Answer with an HTTP status and no content."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def redirect(location: str) -> Answer:
    """Lead to another address."""

    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def endless(promised: int | None = None) -> Answer:
    """Answer with zeros until the client has enough, perhaps with a Content-Length."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        if promised:
            handler.send_header("Content-Length", str(promised))
        handler.end_headers()
        with suppress(OSError):
            while not handler.server.closing.is_set():
                handler.wfile.write(bytes(1 << 16))

    return answer


def silence(handler: Handler) -> None:
    """Accept the request and never answer."""
    handler.server.closing.wait()


def stall(body: bytes) -> Answer:
    """Answer with ``body``, promise 1,000 more bytes, and never send them."""

    def answer(handler: Handler) -> None:
        content(body, promised=len(body) + 1000)(handler)
        handler.server.closing.wait()

    return answer


def drip(handler: Handler) -> None:
    """Answer with a byte every 0.1 s, without an end."""
    content(b"", promised=1_000_000)(handler)
    while not handler.server.closing.wait(0.1):
        handler.wfile.write(b"x")


def publish(server: Mirror, files: dict[str, bytes]) -> str:
    """Serve an npm package with these files, as npm's registry does; return its name and version.

    Set npm_config_registry to the server's URL, to make npm use it.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as members:
        manifest = json.dumps({"name": "images", "version": "1.0.0"}).encode()
        for name, body in {"package.json": manifest, **files}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(body)
            members.addfile(member, io.BytesIO(body))
    tarball = "/images/-/images-1.0.0.tgz"
    version = {"name": "images", "version": "1.0.0", "dist": {"tarball": server.url + tarball}}
    package = {"name": "images", "versions": {"1.0.0": version}, "dist-tags": {"latest": "1.0.0"}}
    server.answers["/images"] = [content(json.dumps(package).encode())]
    server.answers[tarball] = [content(archive.getvalue())]
    return "images@1.0.0"


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of the loopback address that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # the port is taken, but nothing listens
        yield taken.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port of the loopback address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@contextmanager
def dropping_port() -> Iterator[int]:
    """Yield a port of the loopback address to which a connection is neither made nor refused.

    Linux drops the packets of a new connection while a server's queue is full.
    """
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        yield listening.getsockname()[1]
