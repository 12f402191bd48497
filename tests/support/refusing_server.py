"""A server that is no MLflow server, or refuses."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Refusing(BaseHTTPRequestHandler):
    """Answers with the status and the text in the address: /STATUS/TEXT/..."""

    def do_POST(self) -> None:
        _, status, text, *_ = self.path.split("/")
        json = '{"error_code": "PERMISSION_DENIED", "message": "Not yours"}'
        body = {"html": "<html>not here</html>", "json": json}
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(body.get(text, text).encode())

    def log_message(self, *_) -> None:
        pass


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that refuses, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
