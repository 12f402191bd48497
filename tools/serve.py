"""Serve the registered model on this machine, as an endpoint of Azure ML would.

Starts Azure ML's inference server, which has an environment of its own. Ctrl-C stops it.
"""

import argparse
import errno
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))

import psutil

from image_workflow import interrupts
from image_workflow.backends.sqlite_registry import database_path
from image_workflow.command import run
from image_workflow.errors import UserError
from image_workflow.inference.model_input import INPUT_FILE
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.results import DataSet, Receipt
from image_workflow.lineage.verification import read_receipt

TOP = Path(__file__).resolve().parents[1]
SCRIPTS, SERVING = TOP / "workflow/scripts", TOP / "workflow/serving"
HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 10
# Variables that would change the settings of the server, or of its Python.
FOREIGN = re.compile(r"(AML|AZUREML|GUNICORN|PYTHON|SERVICE)_?\w*|SCRIPT_NAME|SCORING_TIMEOUT_MS")


# ---- The model -----------------------------------------------------------------------------


def copy_model(options: argparse.Namespace, folder: Path) -> str:
    """Copy the model that the options name into a folder, and return its name and version."""
    if options.registered:
        return copy_registered(options.registered, options.registry_uri, None, folder)
    receipt = read_receipt(options.receipt)
    database = database_path(receipt.registry_uri)
    if receipt.registry == "local" and (database is None or database.exists()):
        version = f"{receipt.name}/{receipt.version}"
        return copy_registered(version, receipt.registry_uri, receipt.artifact_sha256, folder)
    # Azure ML's registry and one that is elsewhere have the same model as the results.
    return copy_result(receipt, options.receipt.parent, folder)


def copy_registered(reference: str, uri: str, artifact_sha256: str | None, folder: Path) -> str:
    """Copy the files of a version in MLflow's registry, after a check of their digest."""
    # MLflow takes seconds to import.
    from image_workflow.backends.mlflow.versions import registered_files

    with registered_files(reference, uri, artifact_sha256) as (title, files):
        shutil.copytree(files, folder, dirs_exist_ok=True)
    return title


def copy_result(receipt: Receipt, results: Path, folder: Path) -> str:
    """Copy the model of the results, after a check that it is the receipt's."""
    expected, found = receipt.sha256["model"], sha256_of_file(results / "model.pkl")
    if found != expected:
        raise UserError(
            f"{results}/model.pkl is not the registered model: expected the sha256 {expected}, "
            f"found {found}. Make it again: snakemake --cores 1 {results}/registered.json"
        )
    shutil.copy(results / "model.pkl", folder)
    DataSet.read(results / "dataset.json").model_input().write(folder / INPUT_FILE)
    return f"version {receipt.version} of {receipt.name}"


# ---- The server ----------------------------------------------------------------------------


def listening(port: int) -> socket.socket:
    """Return a socket that listens on a port of this machine; 0 stands for any free one."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise UserError(
                f"cannot listen on port {port} of {HOST}: {error.strerror}. Choose another: --port"
            ) from None
    raise UserError(
        f"port {port} of {HOST} is in use by {holder(port)}. Stop it, or choose another port: "
        "--port, or PORT=5002 for `make serve`."
    )


def holder(port: int) -> str:
    """Return the process that listens on a port, if the system tells it."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline())[:100]
                return f"process {process.pid} ({command or process.name()})"
    return "another program"


@contextmanager
def inference_server(
    python: Path, model: Path, listener: socket.socket, script: Path = SCRIPTS / "score.py"
) -> Iterator[tuple[subprocess.Popen, "Messages"]]:
    """Run the server in the block, and stop it with all its processes.

    Parameters
    ----------
    python : pathlib.Path
        Of the environment with the server.
    model : pathlib.Path
        The folder with the model, in a folder NAME/VERSION.
    listener : socket.socket
        The server answers its connections. It is closed here.
    script : pathlib.Path
        Has the functions init and run.
    """
    command = [str(python), "-m", "gunicorn", "--config", "settings.py"]
    command += ["--bind", f"fd://{listener.fileno()}", "app:app"]
    environment = {key: text for key, text in os.environ.items() if not FOREIGN.fullmatch(key)}
    environment |= {
        "AZUREML_MODEL_DIR": str(model),
        "AML_APP_ROOT": str(SERVING),
        "AZUREML_ENTRY_SCRIPT": str(script),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    server = subprocess.Popen(
        command,
        cwd=SERVING,
        env=environment,
        stdin=subprocess.PIPE,  # The server ends when it is closed, see settings.py.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=[listener.fileno()],
        start_new_session=True,  # Ctrl-C reaches only this program, which stops the server.
    )
    listener.close()
    messages = Messages(server)
    try:
        yield server, messages
    finally:
        with interrupts.ignored():  # a second Ctrl-C
            server.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            messages.thread.join(1)


class Messages:
    """What the server writes to stderr: kept until it runs, printed afterwards.

    Parameters
    ----------
    server : subprocess.Popen
    """

    def __init__(self, server: subprocess.Popen):
        self.stream, self.lines, self.runs = server.stderr, [], False
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for line in self.stream:
            if self.runs:
                print(line, end="", file=sys.stderr, flush=True)
            else:
                self.lines.append(line.rstrip())

    def reason(self) -> str:
        """Return the error that ended the server, in one line."""
        self.thread.join(1)
        errors = [line for line in self.lines if re.match(r"[\w.]+(Error|Exception): ", line)]
        return (errors or self.lines or ["it gave no reason"])[0]


def wait_until_it_answers(port: int, messages: Messages) -> None:
    """Wait until the server has loaded the model."""
    connection = http.client.HTTPConnection(HOST, port, timeout=START_SECONDS)
    try:
        # The socket listens already. The server answers when it is ready, or closes it.
        connection.request("GET", "/")
        if connection.getresponse().status == 200:
            messages.runs = True
            return
    except TimeoutError:
        raise UserError(f"the server did not answer in {START_SECONDS} seconds.") from None
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    reason = messages.reason()
    advice = "`make verify` checks the results and the registry."
    if missing := re.search(r"No module named '([\w.]+)'", reason):
        advice = (
            f"The model needs the package {missing[1]}. Install it with .venv-serve/bin/python -m "
            "pip install, or serve the model as docs/serve.md says for MLflow."
        )
    raise UserError(f"the server could not load the model: {reason.rstrip('.')}. {advice}")


def main(options: argparse.Namespace) -> None:
    if not options.python.exists():
        raise UserError(f"{options.python} does not exist. `make serve` installs it.")
    with listening(options.port) as listener, tempfile.TemporaryDirectory() as folder:
        port = listener.getsockname()[1]
        model = Path(folder, "model/1")  # the server expects NAME/VERSION
        model.mkdir(parents=True)
        title = copy_model(options, model)
        with inference_server(options.python, Path(folder), listener) as (server, messages):
            wait_until_it_answers(port, messages)
            address = f"http://{HOST}:{port}"
            print(f"Serving {title}. Ctrl-C stops it.")
            print(
                f"draw a picture    {address}/draw\nscore by program  {address}/score", flush=True
            )
            with suppress(KeyboardInterrupt):
                server.wait()
                raise UserError(f"the server ended with exit code {server.returncode}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="serve.py", description=__doc__)
    parser.add_argument(
        "--receipt",
        type=Path,
        default=Path("results/registered.json"),
        help="the receipt of the version to serve (default: %(default)s)",
    )
    parser.add_argument(
        "--registered",
        metavar="VERSION",
        help="serve another registered version: NAME, NAME/VERSION or NAME@ALIAS",
    )
    parser.add_argument(
        "--registry-uri",
        metavar="URI",
        default="sqlite:///registry/mlflow.db",
        help="its MLflow store (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=5001, help="0 for any free one (default: %(default)s)"
    )
    parser.add_argument(
        "--python",
        type=Path,
        default=TOP / ".venv-serve/bin/python",
        help="the Python of the environment with the server (default: %(default)s)",
    )
    run(parser, main)
