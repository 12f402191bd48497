"""PostgreSQL and an MLflow server on loopback, started as docs/registry.md says."""

import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from azureml_emulator.certificates import Authority
from checkout import TOP

DOCUMENT = (TOP / "docs/registry.md").read_text(encoding="utf-8")
ADMIN, PASSWORD = "admin", "the-password-of-admin"
HOST = "localhost"
#: The user who runs the database: PostgreSQL refuses root.
OWNER = "postgres" if os.geteuid() == 0 else None
SECONDS = 180


def programs() -> Path | None:
    """Return the folder with PostgreSQL's programs, or None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path = shutil.which("initdb")
    return found[-1].parent if found else Path(path).parent if path else None


def documented(beginning: str) -> str:
    """Return the code block of the document that begins with a text."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", DOCUMENT, re.M | re.S)
    return next(block for block in blocks if block.startswith(beginning))


class TeamServer:
    """The database and the server. A test may stop each of them, and has to start it again.

    Parameters
    ----------
    folder : pathlib.Path
        A folder that the user OWNER can enter.

    Attributes
    ----------
    names : dict
        The variables of the administrator's Python.
    """

    def __init__(self, folder: Path):
        self.folder, self.authority = folder, Authority(folder / "authority")
        self.authority.context(HOST)
        self.names: dict = {}
        self.database: subprocess.Popen | None = None
        self.server: subprocess.Popen | None = None
        with socket.create_server((HOST, 0)) as listening:
            self.port = listening.getsockname()[1]
        self.uri = f"https://{HOST}:{self.port}"

    def __enter__(self) -> "TeamServer":
        try:
            self.run("initdb", "--auth=trust", "--no-sync", "--username=mlflow", "--pgdata=data")
            self.start_database()
            self.run("createdb", "mlflow")
            self.start_server()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and the database."""
        self.kill_server()
        self.kill_database()

    # ---- The database

    def start_database(self) -> None:
        """Start PostgreSQL, and wait until it answers."""
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with open(self.folder / "postgres.log", "ab") as log:
            self.database = subprocess.Popen(
                [programs() / "postgres", "-D", "data", *options],
                **self._as_owner() | {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log},
                start_new_session=True,
            )
        self._wait(self.database, lambda: bool(self.run("pg_isready")))

    def kill_database(self) -> None:
        """End PostgreSQL at once, as a crash does: it recovers at its next start."""
        if self.database and self.database.poll() is None:
            self.database.send_signal(signal.SIGQUIT)
            self.database.wait()

    def query(self, sql: str) -> list[str]:
        """Return the rows of a query as text."""
        options = ["--no-psqlrc", "--tuples-only", "--no-align", f"--command={sql}"]
        return self.run("psql", *options).decode().splitlines()

    def run(self, program: str, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run a program of PostgreSQL, and return what it prints."""
        ended = subprocess.run(
            [programs() / program, *arguments],
            **self._as_owner(),
            input=stdin,
            capture_output=True,
        )
        if ended.returncode:
            raise OSError(f"{program}: {ended.stderr.decode()}")
        return ended.stdout

    def _as_owner(self) -> dict:
        """Return how to start a program of PostgreSQL."""
        place = {"PGHOST": str(self.folder), "PGUSER": "mlflow", "PGDATABASE": "mlflow"}
        user = {"user": OWNER, "group": OWNER, "extra_groups": []} if OWNER else {}
        return {"cwd": self.folder, "env": os.environ | place} | user

    # ---- The server

    def command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the variables of the documented unit, for this folder."""
        unit = self.here(documented("[Unit]")).replace("\\\n", " ")
        variables = dict(re.findall(r"^Environment=(\w+)=(.*)$", unit, re.M))
        program, *arguments = shlex.split(re.search(r"^ExecStart=(.*)$", unit, re.M)[1])
        return [str(Path(sys.executable).with_name(Path(program).name)), *arguments], variables

    def here(self, text: str) -> str:
        """Return documented text with the names and places of this server."""
        for documented_text, here in {
            "/etc/mlflow/cert.pem": str(self.authority.folder / f"{HOST}.pem"),
            "/etc/mlflow/key.pem": str(self.authority.folder / f"{HOST}.pem"),
            "/etc/mlflow": str(self.folder),
            "/srv/mlflow": str(self.folder),
            "mlflow.example.org:5000": f"{HOST}:{self.port}",
            "--port 5000": f"--port {self.port}",
            "--host 0.0.0.0": f"--host {HOST}",
            "REPLACE-ME": PASSWORD,
        }.items():
            text = text.replace(documented_text, here)
        return text

    def start_server(self) -> None:
        """Start the MLflow server, and wait until it answers."""
        (self.folder / "auth.ini").write_text(self.here(documented("[mlflow]")))
        command, variables = self.command()
        environment = os.environ | variables
        environment |= {"PGHOST": str(self.folder), "PGUSER": "mlflow"}
        environment |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "any long random text"}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
        with open(self.folder / "mlflow.log", "a") as log:
            self.server = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait(self.server, lambda: self.answers())

    def kill_server(self) -> None:
        """Kill the MLflow server with all its workers."""
        if self.server and self.server.poll() is None:
            os.killpg(self.server.pid, 9)
            self.server.wait()

    def answers(self) -> bool:
        """Return whether the server answers."""
        context = ssl.create_default_context(cafile=self.authority.path)
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=10, context=context)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _wait(self, process: subprocess.Popen | None, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert process is None or process.poll() is None, self.logs()
            try:
                if is_ready():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {SECONDS} s: {self.logs()}")

    def logs(self) -> str:
        """Return the ends of the logs."""
        paths = sorted(self.folder.glob("*.log"))
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in paths)


class Way(ThreadingHTTPServer):
    """The way to the server, on which a test can do things.

    Attributes
    ----------
    before : dict
        For the end of an address, a function to call before the next such request is passed on.
    lost : set of str
        The ends of addresses of which the next answer gets lost.
    delay : float
        Seconds that each request takes longer.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, server: TeamServer):
        super().__init__(("127.0.0.1", 0), OnTheWay)
        self.target, self.requests = server, 0
        self.before: dict[str, Callable] = {}
        self.lost: set[str] = set()
        self.delay = 0.0
        self.uri = f"http://127.0.0.1:{self.server_port}"
        self.context = ssl.create_default_context(cafile=server.authority.path)

    def __enter__(self) -> "Way":
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, *_) -> None:
        """Print nothing: a client that fails closes its connections."""


class OnTheWay(BaseHTTPRequestHandler):
    """Passes a request on to the server, and its answer back."""

    protocol_version = "HTTP/1.1"

    def do_any(self) -> None:
        """Pass the request on."""
        way, place = self.server, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        way.requests += 1
        time.sleep(way.delay)
        for end in [end for end in way.before if place.endswith(end)]:
            way.before.pop(end)()
        headers = {key: value for key, value in self.headers.items() if key != "Host"}
        headers["Connection"] = "close"
        target = http.client.HTTPSConnection(HOST, way.target.port, context=way.context)
        try:
            target.request(self.command, self.path, body, headers)
            answer = target.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        finally:
            target.close()
        for end in [end for end in way.lost if place.endswith(end)]:
            way.lost.remove(end)
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

    def log_message(self, *_) -> None:
        """Print nothing."""
