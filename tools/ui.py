"""Show the registered model in its registry's web pages.

For MLflow in a database, start MLflow's server on this machine and stop it on Ctrl-C. A server and
Azure ML have web pages already.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

HOST = "127.0.0.1"
PORT = 5000  # MLflow's usual port; another one is used if it is taken
START_SECONDS = 120
# MLflow's pages for models. Its pages for language models come first otherwise.
MODE = "workflowType=machine_learning"


def web_page(receipt: dict) -> str | None:
    """Return the address of the model's page, or None if no server shows it yet.

    Parameters
    ----------
    receipt : dict
        The content of registered.json.
    """
    if receipt.get("portal_url"):
        return receipt["portal_url"]
    uri = receipt["registry_uri"]
    return version_page(uri, receipt) if uri.startswith(("http://", "https://")) else None


def version_page(server: str, receipt: dict) -> str:
    """Return the address of the model version's page on an MLflow server."""
    name = quote(receipt["name"], safe="")
    return f"{server.rstrip('/')}/#/models/{name}/versions/{receipt['version']}?{MODE}"


def pages(server: str, receipt: dict, experiment: dict) -> str:
    """Return three lines: the addresses of the model version, its run, and all runs.

    Parameters
    ----------
    server : str
        The server's address.
    receipt : dict
        The content of registered.json.
    experiment : dict
        The experiment of the run, as MLflow's REST API describes it.
    """
    runs = f"{server}/#/experiments/{experiment['experiment_id']}/runs"
    # See RUN_LIST in backends/mlflow/texts.py, which earlier versions of this workflow did not set.
    keys = [tag["key"] for tag in experiment.get("tags", [])]
    view = "&viewStateShareKey=accuracy" if "mlflow.sharedViewState.accuracy" in keys else ""
    return (
        f"model version  {version_page(server, receipt)}\n"
        f"its run        {runs}/{receipt['run_id']}?{MODE}\n"
        f"all runs       {runs}?{MODE}{view}"
    )


def free_port() -> int:
    """Return MLflow's usual port, or another one if it is taken."""
    for port in (PORT, 0):
        with suppress(OSError), socket.create_server((HOST, port)) as listening:
            return listening.getsockname()[1]
    sys.exit(f"ui.py: no port of {HOST} is free.")


@contextmanager
def mlflow_server(uri: str, port: int) -> Iterator[subprocess.Popen]:
    """Run MLflow's server in the block, and stop it with all its processes."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level error"]
    environment = os.environ | {
        # Not an option, because other users can read the options, and the URI may have a password.
        "MLFLOW_BACKEND_STORE_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    server = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches only this program, which stops the server.
    )
    errors = threading.Thread(target=print_errors, args=[server.stderr], daemon=True)
    errors.start()
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        errors.join(1)


def print_errors(lines: TextIO) -> None:
    """Print the lines that the server writes to stderr, but not its greeting."""
    for line in lines:
        if not line.startswith("[MLflow] "):
            print(line, end="", file=sys.stderr, flush=True)


def get(port: int, path: str) -> tuple[int, dict]:
    """Return the status and the JSON answer of the server. No proxy is used."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", f"/api/2.0/mlflow/{path}")
        answer = connection.getresponse()
        return answer.status, json.load(answer)
    finally:
        connection.close()


def wait_for_experiment(server: subprocess.Popen, port: int, receipt: dict) -> dict:
    """Return the experiment of the run, as soon as the server answers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            sys.exit(
                f"ui.py: MLflow's server could not show {receipt['registry_uri']}. It ended with "
                f"exit code {server.returncode}, see its messages."
            )
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, answer = get(port, f"runs/get?run_id={receipt['run_id']}")
            if status == 404:
                sys.exit(
                    f"ui.py: the registry {receipt['registry_uri']} does not have the run of "
                    f"{receipt['name']} version {receipt['version']}. To register the model again, "
                    "delete the receipt and call `make run`."
                )
            if status != 200:
                raise ValueError(f"the server answered {status}")
            experiment_id = answer["run"]["info"]["experiment_id"]
            return get(port, f"experiments/get?experiment_id={experiment_id}")[1]["experiment"]
        time.sleep(0.1)
    sys.exit(f"ui.py: MLflow's server did not answer in {START_SECONDS} seconds.")


def open_browser(page: str) -> None:
    """Open the page in a browser, if somebody sits at a terminal with a display."""
    display = sys.platform == "darwin" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if display and sys.stdout.isatty() and "CI" not in os.environ:
        webbrowser.open(page)


def check_database(receipt_file: Path, uri: str) -> None:
    """Exit if the database file does not exist, because MLflow would create an empty one."""
    database = uri.removeprefix("sqlite:///").partition("?")[0]
    if uri.startswith("sqlite:///") and not Path(database).exists():
        sys.exit(
            f"ui.py: {receipt_file} names the registry {database}, which does not exist. Call this "
            "in the folder of the workflow. If the registry was deleted, delete the receipt and "
            "call `make run`, which registers the model again."
        )


def show(receipt_file: Path) -> None:
    """Print the addresses of the model's pages, and serve them until Ctrl-C if need be."""
    try:
        receipt = json.loads(receipt_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(f"ui.py: no model is registered, {receipt_file} does not exist. `make run` first.")
    if page := web_page(receipt):
        print(page)
        open_browser(page)
        return
    check_database(receipt_file, receipt["registry_uri"])
    port = free_port()
    print(f"Starting MLflow on {receipt['registry_uri']}", flush=True)
    with mlflow_server(receipt["registry_uri"], port) as server:
        experiment = wait_for_experiment(server, port, receipt)
        address = f"http://{HOST}:{port}"
        print(pages(address, receipt, experiment), "Ctrl-C stops MLflow.", sep="\n", flush=True)
        open_browser(version_page(address, receipt))
        server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="ui.py", description=__doc__)
    parser.add_argument(
        "receipt",
        type=Path,
        nargs="?",
        default=Path("results/registered.json"),
        help="registered.json (default: %(default)s)",
    )
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with suppress(KeyboardInterrupt):
        show(options.receipt)
