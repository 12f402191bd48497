"""A mirror of IDX files: a real HTTP server on the loopback address, with chosen answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]


class Mirror(ThreadingHTTPServer):
    """Answers each request for a path with that path's next answer, and the last one ever after."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        self.closing = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        self.server.requests.append(self.path)
        answers = self.server.answers.get(self.path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def log_message(self, *_):
        pass  # the test's output is not the server's log


@contextmanager
def serving() -> Iterator[Mirror]:
    """Run a mirror for the time of the block."""
    mirror = Mirror()
    thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        mirror.closing.set()
        mirror.shutdown()
        thread.join()
        mirror.server_close()


def content(body: bytes, promised: int | None = None) -> Answer:
    """Answer with some bytes; ``promised`` may say another number of them."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    """Answer with an HTTP status alone."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def silence(handler: Handler) -> None:
    """Accept the request and never answer."""
    handler.server.closing.wait()


def stall(body: bytes) -> Answer:
    """Answer with some bytes of many, and never send the rest."""

    def answer(handler: Handler) -> None:
        content(body, promised=len(body) + 1000)(handler)
        handler.server.closing.wait()

    return answer
