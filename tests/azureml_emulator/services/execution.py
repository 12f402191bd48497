"""Execution: submitted scripts really run, each in a folder and a process group of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from ..messages import Refusal, Request, Response, answer, now, route
from .history import FINAL
from .service import API, Service, found

BASE = "/execution/v1.0{WS}/experiments/{experiment}"
LOG = "user_logs/std_log.txt"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"

#: Seconds in each status before and after Running, so that a client can see them.
PACE = 0.3

#: Seconds that a process group has between SIGTERM and SIGKILL.
GRACE = 5


class Canceled(Exception):
    """The run has been canceled, with the reason."""


class Failed(Exception):
    """The run has failed, with the error's code and message."""


class Execution(Service):
    """Takes submissions and keeps the jobs."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.jobs: dict[str, Job] = {}

    @route("POST", BASE + "/snapshotrun")
    def submit_run(self, request: Request, experiment: str) -> Response:
        """Start a run of a script."""
        definition, run_id = request.json(), request.query["runId"]
        target = definition["Configuration"]["target"]
        self._check(run_id, target, definition["SnapshotId"])
        folder = self.emulator.folder / "runs" / run_id
        job = Job(self.emulator, run_id, definition, folder)
        self.emulator.history.create(experiment, run_id, **job.facts(experiment))
        self.jobs[run_id] = job
        job.start()
        return answer({"runId": run_id})

    @route("POST", BASE + "/runId/{run_id}/cancel", BASE + "/runs/{run_id}/cancel")
    def cancel_run(self, request: Request, experiment: str, run_id: str) -> Response:
        """Cancel a run."""
        self.cancel(run_id)
        return answer({})

    def cancel(self, run_id: str) -> None:
        """Cancel a run, as the client or the portal asks for."""
        job = found(self.jobs, run_id, "Run")
        self.emulator.history.set_status(run_id, "CancelRequested")
        job.cancel("The run was canceled by the user.")

    def running_on(self, target: str) -> int:
        """Return the number of jobs that run on a compute target."""
        runs = self.emulator.history.runs.values()
        return sum(run["target"] == target and run["status"] == "Running" for run in runs)

    def stop(self) -> None:
        """End all jobs, and wait until their process groups are gone."""
        for job in self.jobs.values():
            job.cancel("The emulator was stopped.")
        for job in self.jobs.values():
            job.join()

    def _check(self, run_id: str, target: str, snapshot: str) -> None:
        if run_id in self.emulator.history.runs:
            raise Refusal(409, "UserError", f"A run with the id {run_id} already exists.")
        if target not in self.emulator.arm.computes:
            message = f"The compute target {target} was not found."
            raise Refusal(400, "ComputeTargetNotFound", message)
        found(self.emulator.snapshots.snapshots, snapshot, "Snapshot")


class Job(threading.Thread):
    """One submitted run, from Preparing to its end.

    Parameters
    ----------
    emulator : Emulator
        Its services provide the run's source, data and logs.
    run_id : str
        The client's name for the run.
    definition : dict
        The submission: configuration and snapshot.
    folder : Path
        A fresh folder for the run's source, inputs and home.
    """

    def __init__(self, emulator, run_id: str, definition: dict, folder: Path):
        super().__init__(name=run_id, daemon=True)
        self.emulator, self.run_id, self.folder = emulator, run_id, folder
        self.configuration, self.snapshot = definition["Configuration"], definition["SnapshotId"]
        self.source = folder / "source"
        self._canceled = threading.Event()
        self._reason = ""

    def facts(self, experiment: str) -> dict:
        """Return what the run history knows of a submitted run from the start."""
        scope = f"https://{API}/execution/v1.0{self.emulator.scope}/experiments/{experiment}"
        properties = {
            "ContentSnapshotId": self.snapshot,
            "_azureml.ComputeTargetType": "amlcompute",
        }
        return {
            "status": "Starting",
            "runType": "azureml.scriptrun",
            "target": self.configuration["target"],
            "scriptName": self.configuration["script"],
            "runDefinition": self.configuration,
            "cancelUri": f"{scope}/runId/{self.run_id}/cancel",
            "properties": properties,
            "inputDatasets": [
                {"identifier": {"savedId": saved_id}, "consumptionType": "RunInput"}
                for saved_id in self._inputs().values()
            ],
        }

    def cancel(self, reason: str) -> None:
        """Ask the job to end."""
        self._reason = self._reason or reason
        self._canceled.set()

    def run(self):
        """Go through the statuses."""
        try:
            self._prepare()
            self._queue()
            self._execute()
            self._enter("Finalizing", pause=PACE)
            self._enter("Completed")
        except Canceled as canceled:
            run = self.emulator.history.runs[self.run_id]
            run["warnings"] = [{"source": "Execution", "message": str(canceled)}]
            self._enter("Canceled")
        except Failed as failed:
            code, message = failed.args
            self._enter("Failed", {"code": code, "message": message})
        except Exception as error:
            self._enter("Failed", {"code": "ServiceError", "message": f"{error!r}"})

    def _prepare(self) -> None:
        self._enter("Preparing", pause=PACE)
        if self.emulator.faults.strike("image_build_failed"):
            text = f"{now()} Step 8/15: installing the conda environment\n{BUILD_FAILURE}"
            self._write(BUILD_LOG, text.encode())
            raise Failed("ImageBuildFailure", f"Image build failed. See the log file {BUILD_LOG}.")

    def _queue(self) -> None:
        fault = self.emulator.faults.strike("slow_queue") or {"seconds": PACE}
        self._enter("Queued", pause=fault.get("seconds", 0))
        while "seconds" not in fault and self.emulator.faults.lasting("slow_queue"):
            self._pause(PACE)

    def _execute(self) -> None:
        self._enter("Running")
        self.emulator.snapshots.materialize(self.snapshot, self.source)
        inputs = {name: self._fetch(name, saved) for name, saved in self._inputs().items()}
        self._write(LOG, b"")
        with self._artifact(LOG).open("ab") as log:
            code = self._wait(self._start(inputs, log))
        self._collect()
        if code:
            raise Failed("UserError", self._failure(code))

    def _collect(self) -> None:
        # A failed run's outputs are kept as well.
        fault = self.emulator.faults.strike("missing_output")
        for path in sorted((self.source / "outputs").rglob("*")):
            name = path.relative_to(self.source).as_posix()
            if path.is_file() and not (fault and fault.get("path", name) == name):
                self._write(name, path.read_bytes())

    def _start(self, inputs: dict[str, Path], log) -> subprocess.Popen:
        configuration = self.configuration
        arguments = [str(_replaced(argument, inputs)) for argument in configuration["arguments"]]
        return subprocess.Popen(
            [self.emulator.python, configuration["script"], *arguments],
            cwd=self.source,
            env=self._environment(inputs),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait(self, process: subprocess.Popen) -> int:
        limit = self.configuration.get("maxRunDurationSeconds") or float("inf")
        deadline = time.monotonic() + limit
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    self.cancel(f"The run exceeded its maximum duration of {limit} seconds.")
                self._pause(0.1)
            return process.returncode
        finally:
            _end(process)

    def _environment(self, inputs: dict[str, Path]) -> dict[str, str]:
        emulator, workspace = self.emulator, self.emulator.workspace
        run = emulator.history.runs[self.run_id]
        token = emulator.entra.issue(self.run_id)
        # Nothing of the emulator's own environment but what a fresh node would have.
        base = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return (
            base
            | _other_kernels()
            | emulator.redirection(self.folder / "home")
            | self._declared()
            | {name: str(path) for name, path in inputs.items()}
            | {
                "PYTHONUNBUFFERED": "1",
                "AZUREML_RUN_ID": self.run_id,
                "AZUREML_ARM_SUBSCRIPTION": workspace["subscription"],
                "AZUREML_ARM_RESOURCEGROUP": workspace["group"],
                "AZUREML_ARM_WORKSPACE_NAME": workspace["workspace"],
                "AZUREML_ARM_PROJECT_NAME": emulator.history.name_of(run),
                "AZUREML_EXPERIMENT_ID": run["experimentId"],
                "AZUREML_WORKSPACE_ID": workspace["id"],
                "AZUREML_SERVICE_ENDPOINT": f"https://{API}",
                "AZUREML_DISCOVERY_SERVICE_ENDPOINT": (
                    f"https://{API}/discovery/workspaces/{workspace['id']}"
                ),
                "AZUREML_RUN_TOKEN": token,
                "AZUREML_RUN_TOKEN_EXPIRY": str(int(time.time()) + 3600),
                "AZUREML_DATASET_ENVIRONMENT_VARS": ",".join(f"{name}:mount" for name in inputs),
            }
        )

    def _declared(self) -> dict[str, str]:
        environment = self.configuration["environment"].get("environmentVariables") or {}
        declared = environment | (self.configuration.get("environmentVariables") or {})
        return {name: str(value) for name, value in declared.items()}

    def _inputs(self) -> dict[str, str]:
        data = self.configuration.get("data") or {}
        return {name: value["dataLocation"]["dataset"]["id"] for name, value in data.items()}

    def _fetch(self, name: str, saved_id: str) -> Path:
        # A mount is emulated by a download.
        folder = self.folder / "inputs" / name
        folder.mkdir(parents=True)
        for relative, path in self.emulator.datasets.files(saved_id).items():
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        return folder

    def _failure(self, code: int) -> str:
        lines = self._artifact(LOG).read_text(errors="replace").splitlines()
        last = lines[-1] if lines else ""
        message = f"Execution failed. User process '{Path(self.emulator.python).name}' exited with"
        return f"{message} status code {code}. Please check log file '{LOG}' for errors. {last}"

    def _enter(self, status: str, error: dict | None = None, pause: float = 0) -> None:
        with self.emulator.lock:
            if not self._canceled.is_set() or status in FINAL:
                self.emulator.history.set_status(self.run_id, status, error)
        self._pause(pause)

    def _pause(self, seconds: float) -> None:
        ended = self.emulator.history.runs[self.run_id]["status"] in FINAL
        if self._canceled.wait(seconds) and not ended:
            raise Canceled(self._reason)

    def _container(self) -> str:
        return self.emulator.history.runs[self.run_id]["dataContainerId"]

    def _artifact(self, path: str) -> Path:
        return self.emulator.artifacts.path("ExperimentRun", self._container(), path)

    def _write(self, path: str, content: bytes) -> None:
        with self.emulator.lock:
            self.emulator.artifacts.write("ExperimentRun", self._container(), path, content)


def _other_kernels() -> dict[str, str]:
    """Return the variable that gives a job other BLAS kernels than this process has.

    A node's processor is rarely the client's, so a job multiplies matrices by other kernels, which
    sum in another order. On one machine a job would have the client's, and no test could tell
    whether model and scores depend on them.
    """
    # NumPy loads the library that is asked here, and is imported when a job starts, not before:
    # most of the emulator's users start none.
    import numpy  # noqa: F401
    import threadpoolctl

    kernels = {library.get("architecture") for library in threadpoolctl.threadpool_info()}
    # Every processor that has a kernel of the left column can run the one on its right.
    others = {
        **dict.fromkeys(
            ("Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids"), "Sandybridge"
        ),
        "Sandybridge": "Nehalem",
        "Nehalem": "Prescott",
    }
    other = [others[kernel] for kernel in kernels if kernel in others]
    # Other processors, such as Apple's, have kernels without a choice.
    return {"OPENBLAS_CORETYPE": other[0]} if other else {}


BUILD_FAILURE = """Solving environment: failed
ResolvePackageNotFound:
  - scikit-learn==99.9
CondaEnvException: the environment could not be created
"""


def _replaced(argument, inputs: dict[str, Path]):
    """Return an argument, or the folder of the input that it stands for."""
    mark, colon, name = str(argument).partition(":")
    return inputs[name] if colon and mark == "DatasetConsumptionConfig" else argument


def _end(process: subprocess.Popen) -> None:
    """End whatever is left of a job's process group."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        deadline = time.monotonic() + patience
        while _signal(process.pid, number) and time.monotonic() < deadline:
            process.poll()
            time.sleep(0.05)
            number = 0


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
