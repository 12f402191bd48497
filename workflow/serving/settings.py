"""The settings of gunicorn, which runs the server. ``tools/serve.py`` adds the address."""

import os
import signal
import sys
import threading

from worker import Worker

worker_class = Worker
workers = 1
# Each slow client occupies a thread. More connections would need more than the usual 1,024 files.
threads, worker_connections = 800, 900
keepalive = 5  # seconds for which a connection waits for another request
graceful_timeout = 3  # seconds for the requests that are being answered when the server is stopped
loglevel = "error"
errorlog = "-"
# No client may set the address or the path of a request by a header.
forwarded_allow_ips = ""
# It would be a file in the home folder.
control_socket_disable = True


def post_worker_init(worker: Worker) -> None:
    """Stop the server when the program that started it has ended, and with it our stdin."""

    def wait() -> None:
        os.read(sys.stdin.fileno(), 1)
        os.kill(worker.ppid, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()
