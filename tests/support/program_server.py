"""Run programs with SDK v2 in processes that have imported it already.

The imports take most of the time of a call in an emulated workspace. So a server imports the SDK
and scikit-learn once, with the client's interpreter, and forks a process for each call.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

#: What the programs import, except the modules of the checkout, which a test may edit.
MODULES = (
    *("azure.ai.ml", "azure.ai.ml.entities", "azure.identity", "azure.storage.blob"),
    *("sklearn.linear_model", "sklearn.multiclass", "sklearn.pipeline", "yaml", "joblib"),
)


class ProgramServer:
    """Starts programs while the context is open.

    Parameters
    ----------
    python : pathlib.Path
        The client's interpreter.
    """

    def __init__(self, python: Path):
        self.python = python

    def __enter__(self) -> "ProgramServer":
        self._server = subprocess.Popen(
            [self.python, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def start(
        self, script: str, arguments: list[str], folder: Path, environment: dict, output: Path
    ) -> "Program":
        """Start a Python file in a folder, and write its output to a file."""
        call = {"script": script, "arguments": arguments, "folder": str(folder)}
        call |= {"environment": environment, "output": str(output)}
        return Program(self, self.ask(call))

    def ask(self, request: dict) -> int | None:
        """Send a request to the server, and return its answer."""
        print(json.dumps(request), file=self._server.stdin, flush=True)
        return json.loads(self._server.stdout.readline())


class Program:
    """A program that was started."""

    def __init__(self, server: ProgramServer, pid: int):
        self._server, self.pid, self.returncode = server, pid, None

    def wait(self, seconds: float) -> int:
        """Return the exit code, or minus the number of the signal that ended the program."""
        deadline = time.monotonic() + seconds
        while self.returncode is None:
            self.returncode = self._server.ask({"ended": self.pid})
            assert time.monotonic() < deadline, f"the program has not ended in {seconds} s"
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the program."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End the program, if it has not ended."""
        if self.returncode is None:
            self.send_signal(signal.SIGKILL)
            self.wait(10)


def serve() -> None:
    """Fork a process for each line of the input."""
    for module in MODULES:
        __import__(module)
    for line in sys.stdin:
        request = json.loads(line)
        if "ended" in request:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif (answer := os.fork()) == 0:
            become(**request)
        print(json.dumps(answer), flush=True)


def become(
    script: str, arguments: list[str], folder: str, environment: dict[str, str], output: str
) -> None:
    """Run the program in this process, which ends with it."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        file = os.open(path, flags)
        os.dup2(file, stream)
        os.close(file)
    os.dup2(1, 2)
    sys.argv = [script, *arguments]
    sys.path[0] = str(Path(script).parent.resolve())
    code = 1
    try:
        runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve()
