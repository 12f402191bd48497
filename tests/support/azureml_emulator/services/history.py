"""Emulate the run history service: experiments, runs, tags, properties, events and details."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from ..odata import matches
from .entra import LIFETIME_SECONDS
from .service import Service, get_or_404

RUN = "/history/v1.0{WS}/experiments/{experiment}/runs/{run_id}"
RUN_BY_ID = "/history/v1.0{WS}/experimentids/{experiment}/runs/{run_id}"
FINAL_STATUSES = ("Completed", "Failed", "Canceled")

#: The status after each event of a run that the client itself executes.
EVENT_STATUSES = {
    "Start": "Running",
    "Completed": "Completed",
    "Failed": "Failed",
    "Canceled": "Canceled",
}


class History(Service):
    """Store runs as the dictionaries that the SDK reads."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.experiments: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}

    @route("GET", "/history/v1.0{WS}/experiments/{name}")
    def get_experiment(self, request: Request, name: str) -> Response:
        """Describe an experiment."""
        return json_response(get_or_404(self.experiments, name, "Experiment"))

    @route("POST", "/history/v1.0{WS}/experiments/{name}")
    def create_experiment(self, request: Request, name: str) -> Response:
        """Create an experiment."""
        return json_response(self._get_or_create_experiment(name))

    @route("GET", "/history/v1.0{WS}/experimentids/{id}")
    def get_experiment_by_id(self, request: Request, id: str) -> Response:
        """Describe the experiment with an id."""
        return json_response(get_or_404(self._experiments_by_id(), id, "Experiment"))

    @route("DELETE", "/history/v1.0{WS}/experimentids/{id}")
    def delete_experiment(self, request: Request, id: str) -> Response:
        """Delete an experiment, if it has no runs."""
        experiment = get_or_404(self._experiments_by_id(), id, "Experiment")
        if any(run["experimentId"] == id for run in self.runs.values()):
            raise ServiceError(409, "UserError", "Only an experiment without runs can be deleted.")
        del self.experiments[experiment["name"]]
        return json_response({})

    @route("POST", "/history/v1.0{WS}/experiments:query")
    def list_experiments(self, request: Request) -> Response:
        """List the experiments."""
        return page_response(self.experiments.values())

    @route("POST", "/history/v1.0{WS}/experiments/{experiment}/runs:query")
    def list_runs(self, request: Request, experiment: str) -> Response:
        """List an experiment's runs, newest first."""
        id = self._get_or_create_experiment(experiment)["experimentId"]
        runs = [run for run in self.runs.values() if run["experimentId"] == id]
        run_filter = request.json().get("filter")
        return page_response(run for run in reversed(runs) if matches(run_filter, run))

    @route("GET", RUN + "/children")
    def list_children(self, request: Request, experiment: str, run_id: str) -> Response:
        """List the child runs of a run."""
        return page_response(run for run in self.runs.values() if run["parentRunId"] == run_id)

    @route("GET", RUN, RUN_BY_ID, "/history/v1.0{WS}/runs/{run_id}")
    def get_run(self, request: Request, run_id: str, experiment: str = "") -> Response:
        """Describe a run."""
        return json_response(get_or_404(self.runs, run_id, "Run"))

    @route("PATCH", RUN, RUN_BY_ID)
    def patch_run(self, request: Request, experiment: str, run_id: str) -> Response:
        """Create a run, or change its fields."""
        name = self._experiments_by_id().get(experiment, {"name": experiment})["name"]
        run = self.runs.get(run_id) or self.create_run(name, run_id)
        for key, value in request.json().items():
            if isinstance(value, dict) and isinstance(run.get(key), dict):
                run[key] |= {k: v for k, v in value.items() if v is not None}
            elif value is not None:
                run[key] = value
        return json_response(run)

    @route("DELETE", RUN + "/tags")
    def delete_tags(self, request: Request, experiment: str, run_id: str) -> Response:
        """Remove tags from a run."""
        run = get_or_404(self.runs, run_id, "Run")
        for tag in request.json():
            run["tags"].pop(tag, None)
        return json_response(run)

    @route("GET", RUN + "/details", "/history/v1.0{WS}/runs/{run_id}/details")
    def get_details(self, request: Request, run_id: str, experiment: str = "") -> Response:
        """Describe a run, with its definition, error and log files."""
        run = get_or_404(self.runs, run_id, "Run")
        keys = ("runId", "target", "status", "startTimeUtc", "endTimeUtc", "error", "warnings")
        details = {key: run.get(key) for key in (*keys, "properties", "runDefinition")}
        # SDK v1 asks for the other logs itself.
        folders = ("azureml-logs",) if experiment else ("azureml-logs", "user_logs")
        details["logFiles"] = {
            link["path"]: link["contentUri"]
            for folder in folders
            for link in self.emulator.artifacts.links(
                "ExperimentRun", run["dataContainerId"], folder
            )
        }
        details["inputDatasets"] = run.get("inputDatasets") or []
        details["outputDatasets"] = []
        return json_response(details)

    @route("POST", "/history/v1.0{WS}/rundata")
    def get_rundata(self, request: Request) -> Response:
        """Describe a run for SDK v2, with the named outputs of its job."""
        run_id = request.json()["runId"]
        run = get_or_404(self.runs, run_id, "Run")
        job = self.emulator.execution.jobs.get(run_id)
        outputs = {
            name: {
                "assetId": self.emulator.datastores.long_uri(
                    f"azureml://jobs/{run_id}/outputs/{name}/paths/"
                ),
                "type": "uri_folder",
            }
            for name in getattr(job, "named_outputs", ())
        }
        return json_response({"runMetadata": run | {"outputs": outputs}})

    @route("POST", RUN + "/events")
    def post_event(self, request: Request, experiment: str, run_id: str) -> Response:
        """Set the status of an interactive run (start_logging); a job sets its own status."""
        event = request.json()
        status = EVENT_STATUSES.get(event["name"].rpartition(".")[2])
        run = get_or_404(self.runs, run_id, "Run")
        if status and not run["cancelUri"]:
            self.set_status(run_id, status)
        return json_response({})

    @route("GET", RUN + "/token", RUN_BY_ID + "/token")
    def get_token(self, request: Request, experiment: str, run_id: str) -> Response:
        """Issue a new token to a job."""
        get_or_404(self.runs, run_id, "Run")
        expiry = datetime.now(UTC) + timedelta(seconds=LIFETIME_SECONDS)
        token = self.emulator.entra.issue_token(run_id)
        return json_response({"token": token, "expiryTimeUtc": expiry.isoformat()})

    @route("GET", RUN + "/metricsingest/wait")
    def wait_for_metrics(self, request: Request, experiment: str, run_id: str) -> Response:
        """Confirm that the service has stored all posted metrics."""
        return json_response({})

    def create_run(self, experiment: str, run_id: str, **fields) -> dict:
        """Add a run that has not started."""
        self.runs[run_id] = {
            "runId": run_id,
            "runUuid": str(uuid.uuid4()),
            "rootRunId": run_id,
            "parentRunId": None,
            "runNumber": len(self.runs) + 1,
            "experimentId": self._get_or_create_experiment(experiment)["experimentId"],
            "status": "NotStarted",
            "createdUtc": now(),
            "createdBy": {"userName": "emulated service principal"},
            "dataContainerId": f"dcid.{run_id}",
            "runType": None,
            "cancelUri": None,
            "properties": {},
            "tags": {},
        } | fields
        return self.runs[run_id]

    def set_status(self, run_id: str, status: str, error: dict | None = None) -> None:
        """Set a run's status, its times and its error, unless the status is final."""
        run = self.runs[run_id]
        if run["status"] in FINAL_STATUSES:
            return
        run["status"] = status
        if status == "Running":
            run["startTimeUtc"] = now()
        if status in FINAL_STATUSES:
            run["endTimeUtc"] = now()
        if error:
            run["error"] = {"error": error | {"details": []}, "environment": None, "time": now()}

    def experiment_name(self, run: dict) -> str:
        """Return the name of a run's experiment."""
        return self._experiments_by_id()[run["experimentId"]]["name"]

    def _get_or_create_experiment(self, name: str) -> dict:
        if name not in self.experiments:
            experiment = {"experimentId": str(uuid.uuid4()), "name": name, "createdUtc": now()}
            self.experiments[name] = experiment | {"tags": {}, "archivedTime": None}
        return self.experiments[name]

    def _experiments_by_id(self) -> dict[str, dict]:
        return {value["experimentId"]: value for value in self.experiments.values()}
