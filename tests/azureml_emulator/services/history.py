"""Run history: experiments, runs, their tags, properties, events and details."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from ..messages import Refusal, Request, Response, answer, now, page, route
from ..odata import matches
from .entra import LIFETIME
from .service import Service, found

RUN = "/history/v1.0{WS}/experiments/{experiment}/runs/{run_id}"
RUN_BY_ID = "/history/v1.0{WS}/experimentids/{experiment}/runs/{run_id}"
FINAL = ("Completed", "Failed", "Canceled")

#: Statuses that a run's own events bring about; a submitted run's are set by its execution.
EVENTS = {"Start": "Running", "Completed": "Completed", "Failed": "Failed", "Canceled": "Canceled"}


class History(Service):
    """Keeps runs as the dictionaries that the SDK reads."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.experiments: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}

    @route("GET", "/history/v1.0{WS}/experiments/{name}")
    def get_experiment(self, request: Request, name: str) -> Response:
        """Describe an experiment."""
        return answer(found(self.experiments, name, "Experiment"))

    @route("POST", "/history/v1.0{WS}/experiments/{name}")
    def create_experiment(self, request: Request, name: str) -> Response:
        """Create an experiment."""
        return answer(self._experiment(name))

    @route("GET", "/history/v1.0{WS}/experimentids/{id}")
    def get_experiment_by_id(self, request: Request, id: str) -> Response:
        """Describe an experiment."""
        return answer(found(self._by_id(), id, "Experiment"))

    @route("DELETE", "/history/v1.0{WS}/experimentids/{id}")
    def delete_experiment(self, request: Request, id: str) -> Response:
        """Delete an experiment, if it has no runs."""
        experiment = found(self._by_id(), id, "Experiment")
        if any(run["experimentId"] == id for run in self.runs.values()):
            raise Refusal(409, "UserError", "Only an experiment without runs can be deleted.")
        del self.experiments[experiment["name"]]
        return answer({})

    @route("POST", "/history/v1.0{WS}/experiments:query")
    def list_experiments(self, request: Request) -> Response:
        """List the experiments."""
        return page(self.experiments.values())

    @route("POST", "/history/v1.0{WS}/experiments/{experiment}/runs:query")
    def list_runs(self, request: Request, experiment: str) -> Response:
        """List an experiment's runs, newest first."""
        id = self._experiment(experiment)["experimentId"]
        runs = [run for run in self.runs.values() if run["experimentId"] == id]
        return page(run for run in reversed(runs) if matches(request.json().get("filter"), run))

    @route("GET", RUN + "/children")
    def list_children(self, request: Request, experiment: str, run_id: str) -> Response:
        """List the runs that a run has started."""
        return page(run for run in self.runs.values() if run["parentRunId"] == run_id)

    @route("GET", RUN, RUN_BY_ID, "/history/v1.0{WS}/runs/{run_id}")
    def get_run(self, request: Request, run_id: str, experiment: str = "") -> Response:
        """Describe a run."""
        return answer(found(self.runs, run_id, "Run"))

    @route("PATCH", RUN, RUN_BY_ID)
    def patch_run(self, request: Request, experiment: str, run_id: str) -> Response:
        """Create a run, or add to it."""
        name = self._by_id().get(experiment, {"name": experiment})["name"]
        run = self.runs.get(run_id) or self.create(name, run_id)
        for key, value in request.json().items():
            if isinstance(value, dict) and isinstance(run.get(key), dict):
                run[key] |= {k: v for k, v in value.items() if v is not None}
            elif value is not None:
                run[key] = value
        return answer(run)

    @route("DELETE", RUN + "/tags")
    def delete_tags(self, request: Request, experiment: str, run_id: str) -> Response:
        """Remove tags from a run."""
        run = found(self.runs, run_id, "Run")
        for tag in request.json():
            run["tags"].pop(tag, None)
        return answer(run)

    @route("GET", RUN + "/details")
    def get_details(self, request: Request, experiment: str, run_id: str) -> Response:
        """Describe a run, with its definition, error and log files."""
        run = found(self.runs, run_id, "Run")
        keys = ("runId", "target", "status", "startTimeUtc", "endTimeUtc", "error", "warnings")
        details = {key: run.get(key) for key in (*keys, "properties", "runDefinition")}
        logs = self.emulator.artifacts.links(
            "ExperimentRun", run["dataContainerId"], "azureml-logs"
        )
        details["logFiles"] = {link["path"]: link["contentUri"] for link in logs}
        details["inputDatasets"] = run.get("inputDatasets") or []
        details["outputDatasets"] = []
        return answer(details)

    @route("POST", RUN + "/events")
    def post_event(self, request: Request, experiment: str, run_id: str) -> Response:
        """Let a run that nothing executes (start_logging) report its status."""
        event = request.json()
        status = EVENTS.get(event["name"].rpartition(".")[2])
        run = found(self.runs, run_id, "Run")
        if status and not run["cancelUri"]:
            self.set_status(run_id, status)
        return answer({})

    @route("GET", RUN + "/token", RUN_BY_ID + "/token")
    def get_token(self, request: Request, experiment: str, run_id: str) -> Response:
        """Give a job a new token."""
        found(self.runs, run_id, "Run")
        expiry = datetime.now(UTC) + timedelta(seconds=LIFETIME)
        token = self.emulator.entra.issue(run_id)
        return answer({"token": token, "expiryTimeUtc": expiry.isoformat()})

    @route("GET", RUN + "/metricsingest/wait")
    def wait_for_metrics(self, request: Request, experiment: str, run_id: str) -> Response:
        """Tell that all posted metrics have been taken in."""
        return answer({})

    def create(self, experiment: str, run_id: str, **facts) -> dict:
        """Add a run, not yet started."""
        self.runs[run_id] = {
            "runId": run_id,
            "runUuid": str(uuid.uuid4()),
            "rootRunId": run_id,
            "parentRunId": None,
            "runNumber": len(self.runs) + 1,
            "experimentId": self._experiment(experiment)["experimentId"],
            "status": "NotStarted",
            "createdUtc": now(),
            "createdBy": {"userName": "emulated service principal"},
            "dataContainerId": f"dcid.{run_id}",
            "runType": None,
            "cancelUri": None,
            "properties": {},
            "tags": {},
        } | facts
        return self.runs[run_id]

    def set_status(self, run_id: str, status: str, error: dict | None = None) -> None:
        """Move a run on, with its times."""
        run = self.runs[run_id]
        if run["status"] in FINAL:
            return
        run["status"] = status
        if status == "Running":
            run["startTimeUtc"] = now()
        if status in FINAL:
            run["endTimeUtc"] = now()
        if error:
            run["error"] = {"error": error | {"details": []}, "environment": None, "time": now()}

    def name_of(self, run: dict) -> str:
        """Return the name of a run's experiment."""
        return self._by_id()[run["experimentId"]]["name"]

    def _experiment(self, name: str) -> dict:
        if name not in self.experiments:
            fresh = {"experimentId": str(uuid.uuid4()), "name": name, "createdUtc": now()}
            self.experiments[name] = fresh | {"tags": {}, "archivedTime": None}
        return self.experiments[name]

    def _by_id(self) -> dict[str, dict]:
        return {value["experimentId"]: value for value in self.experiments.values()}
