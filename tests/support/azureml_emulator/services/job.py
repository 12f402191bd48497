"""Run a submitted script in a folder and a process group of its own, and report its status."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from ..messages import now
from .history import FINAL_STATUSES

LOG = "user_logs/std_log.txt"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"

BUILD_FAILURE = """Solving environment: failed
ResolvePackageNotFound:
  - scikit-learn==99.9
CondaEnvException: the environment could not be created
"""

#: The duration, in seconds, of each status before and after Running. Clients can see each status.
STATUS_SECONDS = 0.3

#: The seconds to wait for a process group to end, after SIGTERM and again after SIGKILL.
TERMINATION_SECONDS = 5


class RunCanceled(Exception):
    """End a run with the status Canceled, for the given reason."""


class RunFailed(Exception):
    """End a run with the status Failed, with the given error code and message."""


class Job(threading.Thread):
    """Execute one submitted run, from the status Preparing to a final status.

    Subclasses define what runs: `ScriptJob` for SDK v1, and `CommandJob` for SDK v2.

    Parameters
    ----------
    emulator : Emulator
        The services of the emulator provide the run's source, data and logs.
    run_id : str
        The run's id, which the client has chosen.

    Attributes
    ----------
    folder : Path
        A new folder for the run's source, inputs and home.
    """

    def __init__(self, emulator, run_id: str):
        super().__init__(name=run_id, daemon=True)
        self.emulator, self.run_id = emulator, run_id
        self.folder = emulator.folder / "runs" / run_id
        self.source_folder = self.folder / "source"
        self._cancel_requested = threading.Event()
        self._cancel_reason = ""

    @property
    def limit_seconds(self) -> float:
        """Return the time after which the service cancels the run."""
        raise NotImplementedError

    def run_fields(self, experiment: str) -> dict:
        """Return the fields that the run history stores when a client submits the run."""
        raise NotImplementedError

    def copy_files(self) -> None:
        """Copy the source and the inputs into the run's folder."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command line, after the files were copied."""
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """Return the environment variables that only this kind of run has."""
        raise NotImplementedError

    def cancel(self, reason: str) -> None:
        """Request the end of the job."""
        self._cancel_reason = self._cancel_reason or reason
        self._cancel_requested.set()

    def run(self):
        """Execute the run, and set each status in turn."""
        try:
            self._prepare()
            self._queue()
            self._execute()
            self._set_status("Finalizing", pause=STATUS_SECONDS)
            self._set_status("Completed")
        except RunCanceled as canceled:
            run = self.emulator.history.runs[self.run_id]
            run["warnings"] = [{"source": "Execution", "message": str(canceled)}]
            self._set_status("Canceled")
        except RunFailed as failed:
            code, message = failed.args
            self._set_status("Failed", {"code": code, "message": message})
        except Exception as error:
            self._set_status("Failed", {"code": "ServiceError", "message": f"{error!r}"})

    def _prepare(self) -> None:
        self._set_status("Preparing", pause=STATUS_SECONDS)
        if self.emulator.faults.trigger("image_build_failed"):
            text = f"{now()} Step 8/15: installing the conda environment\n{BUILD_FAILURE}"
            self._write_artifact(BUILD_LOG, text.encode())
            message = f"Image build failed. See the log file {BUILD_LOG}."
            raise RunFailed("ImageBuildFailure", message)

    def _queue(self) -> None:
        fault = self.emulator.faults.trigger("slow_queue") or {"seconds": STATUS_SECONDS}
        self._set_status("Queued", pause=fault.get("seconds", 0))
        while "seconds" not in fault and self.emulator.faults.is_active("slow_queue"):
            self._pause(STATUS_SECONDS)

    def _execute(self) -> None:
        self._set_status("Running")
        self.source_folder.mkdir(parents=True)
        self.copy_files()
        self._write_artifact(LOG, b"")
        with self._artifact_path(LOG).open("ab") as log:
            exit_code = self._wait_for_process(self._start_process(log))
        # Azure uploads the outputs of a failed run as well.
        self.upload_outputs()
        if exit_code:
            raise RunFailed("UserError", self._failure_message(exit_code))

    def upload_outputs(self) -> None:
        """Upload the folder outputs as artifacts of the run."""
        fault = self.emulator.faults.trigger("missing_output")
        for path in sorted((self.source_folder / "outputs").rglob("*")):
            name = path.relative_to(self.source_folder).as_posix()
            if path.is_file() and not (fault and fault.get("path", name) == name):
                self._write_artifact(name, path.read_bytes())

    def _start_process(self, log) -> subprocess.Popen:
        return subprocess.Popen(
            self.command(),
            cwd=self.source_folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait_for_process(self, process: subprocess.Popen) -> int:
        limit = self.limit_seconds
        deadline = time.monotonic() + limit
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    self.cancel(f"The run exceeded its maximum duration of {limit} seconds.")
                self._pause(0.1)
            return process.returncode
        finally:
            terminate_group(process)

    def _environment(self) -> dict[str, str]:
        # Keep only those of the emulator's own variables that a new node would have.
        base = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return (
            base
            | different_blas_kernels()
            | self.emulator.proxy_environment(self.folder / "home")
            | {"PYTHONUNBUFFERED": "1", "AZUREML_RUN_ID": self.run_id}
            | self.variables()
        )

    def _failure_message(self, exit_code: int) -> str:
        lines = self._artifact_path(LOG).read_text(errors="replace").splitlines()
        last_line = lines[-1] if lines else ""
        python = Path(self.emulator.python).name
        return (
            f"Execution failed. User process '{python}' exited with status code {exit_code}. "
            f"Please check log file '{LOG}' for errors. {last_line}"
        )

    def _set_status(self, status: str, error: dict | None = None, pause: float = 0) -> None:
        with self.emulator.lock:
            if not self._cancel_requested.is_set() or status in FINAL_STATUSES:
                self.emulator.history.set_status(self.run_id, status, error)
        self._pause(pause)

    def _pause(self, seconds: float) -> None:
        """Wait. Raise RunCanceled if a cancellation is requested before the run has ended."""
        ended = self.emulator.history.runs[self.run_id]["status"] in FINAL_STATUSES
        if self._cancel_requested.wait(seconds) and not ended:
            raise RunCanceled(self._cancel_reason)

    def _container_id(self) -> str:
        return self.emulator.history.runs[self.run_id]["dataContainerId"]

    def _artifact_path(self, name: str) -> Path:
        return self.emulator.artifacts.path("ExperimentRun", self._container_id(), name)

    def _write_artifact(self, name: str, content: bytes) -> None:
        with self.emulator.lock:
            self.emulator.artifacts.write("ExperimentRun", self._container_id(), name, content)


def different_blas_kernels() -> dict[str, str]:
    """Return the variable that gives a job other BLAS kernels than this process has.

    The processor of a node usually differs from the client's. Its BLAS kernels then add the
    products of a matrix multiplication in another order. On one machine, the job would have the
    client's kernels, and no test could tell whether the model and the scores depend on them.
    """
    # Import here, because most users of the emulator start no job. threadpoolctl inspects the BLAS
    # library that NumPy loads.
    import numpy  # noqa: F401
    import threadpoolctl

    kernels = {library.get("architecture") for library in threadpoolctl.threadpool_info()}
    # Each processor that supports the kernel on the left also supports the kernel on the right.
    alternatives = {
        **dict.fromkeys(
            ("Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids"), "Sandybridge"
        ),
        "Sandybridge": "Nehalem",
        "Nehalem": "Prescott",
    }
    usable = [alternatives[kernel] for kernel in kernels if kernel in alternatives]
    # For other processors, such as Apple's, OpenBLAS has no alternative.
    return {"OPENBLAS_CORETYPE": usable[0]} if usable else {}


def copy_files(files: dict[str, Path], folder: Path) -> Path:
    """Copy files by their relative paths into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for relative_path, path in files.items():
        target = folder / relative_path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return folder


def terminate_group(process: subprocess.Popen) -> None:
    """End all processes that are left in a job's process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + TERMINATION_SECONDS
        while _signal_group(process.pid, number) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)
            # Send the signal once; signal 0 only checks whether the group still exists.
            number = 0


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
