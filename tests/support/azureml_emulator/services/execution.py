"""Emulate the execution service of SDK v1, and keep the jobs of both SDKs."""

from __future__ import annotations

from ..messages import Request, Response, ServiceError, json_response, route
from .job import Job
from .script_job import ScriptJob
from .service import Service, get_or_404

BASE = "/execution/v1.0{WS}/experiments/{experiment}"


class Execution(Service):
    """Accept the runs that SDK v1 submits, and keep the jobs of all runs."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.jobs: dict[str, Job] = {}

    @route("POST", BASE + "/snapshotrun")
    def submit_run(self, request: Request, experiment: str) -> Response:
        """Start a run of a script."""
        definition, run_id = request.json(), request.query["runId"]
        target = definition["Configuration"]["target"]
        self._check_submission(run_id, target, definition["SnapshotId"])
        self.start(experiment, ScriptJob(self.emulator, run_id, definition))
        return json_response({"runId": run_id})

    @route("POST", BASE + "/runId/{run_id}/cancel", BASE + "/runs/{run_id}/cancel")
    def cancel_run(self, request: Request, experiment: str, run_id: str) -> Response:
        """Cancel a run."""
        self.cancel(run_id)
        return json_response({})

    def start(self, experiment: str, job: Job) -> None:
        """Start a job, and add its run to an experiment."""
        self.emulator.history.create_run(experiment, job.run_id, **job.run_fields(experiment))
        self.jobs[job.run_id] = job
        job.start()

    def cancel(self, run_id: str) -> None:
        """Cancel a run for the client or for a user of the portal."""
        job = get_or_404(self.jobs, run_id, "Run")
        self.emulator.history.set_status(run_id, "CancelRequested")
        job.cancel("The run was canceled by the user.")

    def forget(self, run_id: str) -> None:
        """Remove a run that has ended, and wait until its job has nothing more to do."""
        if run_id in self.jobs:
            self.jobs.pop(run_id).join()
        del self.emulator.history.runs[run_id]

    def running_on(self, target: str) -> list[str]:
        """Return the ids of the runs that are running on a compute target."""
        return [
            run_id
            for run_id, run in self.emulator.history.runs.items()
            if run.get("target") == target and run["status"] == "Running"
        ]

    def stop(self) -> None:
        """Cancel all jobs, and wait until their process groups have ended."""
        for job in self.jobs.values():
            job.cancel("The emulator was stopped.")
        for job in self.jobs.values():
            job.join()

    def _check_submission(self, run_id: str, target: str, snapshot_id: str) -> None:
        if run_id in self.emulator.history.runs:
            raise ServiceError(409, "UserError", f"A run with the id {run_id} already exists.")
        if target not in self.emulator.arm.computes:
            message = f"The compute target {target} was not found."
            raise ServiceError(400, "ComputeTargetNotFound", message)
        get_or_404(self.emulator.snapshots.snapshots, snapshot_id, "Snapshot")
