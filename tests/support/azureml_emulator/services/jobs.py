"""Emulate jobs, as SDK v2 submits, reads, cancels and deletes them.

A job is a run of the run history, so SDK v1 finds the jobs of SDK v2, and the other way round.
"""

from __future__ import annotations

import uuid

from ..messages import Request, Response, ServiceError, json_response, page_response, route
from .arm import LOCATION
from .assets import is_listed
from .command_job import CommandJob
from .history import FINAL_STATUSES
from .service import ARM, ArmService, get_or_404

JOB = "{WS}/jobs/{name}"

#: The folder with the files of a job, in the form of a recorded answer of the service.
DEFAULT_OUTPUT = "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{}"

#: The interval at which SDK v2 asks whether a job was canceled. Azure asks for seconds.
POLL_MILLISECONDS = "100"

#: The properties of a job that a second submission may change.
CHANGEABLE = ("tags", "properties", "displayName", "description", "isArchived")


class Jobs(ArmService):
    """Describe runs as resources, and start command jobs."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.jobs: dict[str, dict] = {}
        self._operations: dict[str, str] = {}

    @route("PUT", JOB)
    def submit_job(self, request: Request, name: str) -> Response:
        """Start a job. If it exists, accept the same job again, and refuse another one."""
        properties = {k: v for k, v in request.json()["properties"].items() if v is not None}
        if name in self.emulator.history.runs:
            self._update(name, properties)
            return json_response(self._describe(name))
        self._check_resources(properties)
        job = CommandJob(self.emulator, name, properties)
        self.jobs[name] = properties
        self.emulator.execution.start(properties.get("experimentName") or "Default", job)
        return json_response(self._describe(name), 201)

    @route("GET", JOB)
    def get_job(self, request: Request, name: str) -> Response:
        """Describe a job."""
        self._check_exists(name)
        return json_response(self._describe(name))

    @route("GET", "{WS}/jobs")
    def list_jobs(self, request: Request) -> Response:
        """List the jobs, newest first, filtered by a tag with its value, or by a tag's name."""
        view, tag = request.query.get("listViewType", "ActiveOnly"), request.query.get("tag", "")
        key, equals, value = tag.partition("=")
        return page_response(
            self._describe(name)
            for name, run in reversed(self.emulator.history.runs.items())
            if is_listed(run.get("hidden"), view)
            and (not tag or (key in run["tags"] and (not equals or run["tags"][key] == value)))
        )

    @route("POST", JOB + "/cancel")
    def cancel_job(self, request: Request, name: str) -> Response:
        """Cancel a job that has not ended."""
        self._check_exists(name)
        if self.emulator.history.runs[name]["status"] in FINAL_STATUSES:
            raise ServiceError(
                400, "UserError", f"The job {name} has ended; it cannot be canceled."
            )
        self.emulator.execution.cancel(name)
        return self._start_operation(name)

    @route("DELETE", JOB)
    def delete_job(self, request: Request, name: str) -> Response:
        """Delete a job that has ended, but keep its files."""
        self._check_exists(name)
        if self.emulator.history.runs[name]["status"] not in FINAL_STATUSES:
            message = f"The job {name} has not ended; it cannot be deleted."
            raise ServiceError(400, "UserError", message)
        self.emulator.execution.forget(name)
        self.jobs.pop(name, None)
        return self._start_operation(name)

    @route("GET", LOCATION + "/jobs/{id}")
    def get_job_operation(self, request: Request, id: str, **_) -> Response:
        """Answer 202 until a canceled job has ended."""
        run = self.emulator.history.runs.get(get_or_404(self._operations, id, "Operation"))
        if run and run["status"] not in FINAL_STATUSES:
            return self._pending_response(id)
        return json_response({})

    def _start_operation(self, name: str) -> Response:
        id = str(uuid.uuid4())
        self._operations[id] = name
        return self._pending_response(id)

    def _pending_response(self, id: str) -> Response:
        workspace = self.emulator.workspace
        location = (
            f"https://{ARM}/subscriptions/{workspace['subscription']}"
            "/providers/Microsoft.MachineLearningServices"
            f"/locations/{workspace['location']}/jobs/{id}"
        )
        headers = {"Location": location, "x_ms_retry_after_ms": POLL_MILLISECONDS}
        return json_response({}, 202, **headers)

    def _check_exists(self, name: str) -> None:
        if name not in self.emulator.history.runs:
            raise ServiceError(404, "UserError", f"Job {name} was not found.")

    def _check_resources(self, properties: dict) -> None:
        """Answer 404 if the job needs something that does not exist."""
        compute = self.name_in_id(properties["computeId"], "computes")
        if compute not in self.emulator.arm.computes:
            raise ServiceError(404, "ResourceNotFound", f"The compute {compute} was not found.")
        if properties["environmentId"].startswith("/subscriptions/"):
            self.emulator.environment_assets.find(properties["environmentId"])
        if "codeId" in properties:
            self.emulator.code_assets.find(properties["codeId"])
        for value in (properties.get("inputs") or {}).values():
            if "uri" in value:
                self.emulator.data_assets.files(value["uri"])

    def _update(self, name: str, properties: dict) -> None:
        sent, run = self.jobs.get(name, {}), self.emulator.history.runs[name]
        new = properties.get("properties") or {}
        changed = [
            key
            for key in sent.keys() | properties.keys()
            if key not in CHANGEABLE and sent.get(key) != properties.get(key)
        ]
        if changed or any(run["properties"].get(key, new[key]) != new[key] for key in new):
            message = (
                "A job with this name already exists. If you are trying to create a new job, use a "
                "different name. If you are trying to update an existing job, the existing job's "
                f"{', '.join(changed) or 'properties'} cannot be changed. Only description, tags, "
                "displayName, properties, and isArchived can be updated."
            )
            raise ServiceError(400, "UserError", message, "JobPropertyImmutable")
        run["tags"] |= properties.get("tags") or {}
        run["properties"] |= new
        run["hidden"] = bool(properties.get("isArchived"))
        run |= {k: properties[k] for k in ("displayName", "description") if k in properties}

    def _describe(self, name: str) -> dict:
        run = self.emulator.history.runs[name]
        sent = self.jobs.get(name) or self._script_as_command(run)
        properties = sent | {
            "jobType": "Command",
            "status": run["status"],
            "displayName": run.get("displayName") or name,
            "description": run.get("description"),
            "experimentName": self.emulator.history.experiment_name(run),
            "tags": run["tags"],
            "properties": run["properties"],
            "isArchived": bool(run.get("hidden")),
            "services": self._services(name),
            "outputs": self._outputs(name, sent.get("outputs") or {}),
        }
        return self.resource(f"jobs/{name}", properties)

    def _script_as_command(self, run: dict) -> dict:
        """Return what a job of SDK v2 would have sent, for a run of SDK v1."""
        definition = run.get("runDefinition") or {}
        words = ["python", definition.get("script"), *definition.get("arguments", [])]
        scope = self.emulator.scope
        environment = (definition.get("environment") or {}).get("name") or "none"
        return {
            "command": " ".join(str(word) for word in words if word),
            "computeId": f"{scope}/computes/{run.get('target')}",
            "environmentId": f"{scope}/environments/{environment}/versions/1",
            "inputs": {},
        }

    def _services(self, name: str) -> dict:
        # The SDK appends the tenant.
        address = f"https://ml.azure.com/runs/{name}?wsid={self.emulator.scope}"
        return {"Studio": {"jobServiceType": "Studio", "endpoint": address}}

    def _outputs(self, name: str, sent: dict) -> dict:
        default = {
            "jobOutputType": "uri_folder",
            "mode": "ReadWriteMount",
            "uri": DEFAULT_OUTPUT.format(name),
        }
        return sent | {"default": default}
