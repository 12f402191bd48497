"""Emulate managed online endpoints and their deployments, which run the scoring script."""

from __future__ import annotations

import secrets
import time
import uuid

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from .arm import LOCATION, POLL_MILLISECONDS
from .online_deployment import OnlineDeployment
from .service import ArmService, get_or_404

ENDPOINT = "{WS}/onlineEndpoints/{endpoint}"
DEPLOYMENT = ENDPOINT + "/deployments/{deployment}"

#: The settings of a deployment that its creator does not specify. The SDK cannot do without them.
DEFAULT_SETTINGS = {"scaleSettings": {"scaleType": "Default"}}

#: How long an operation on an endpoint takes, so that clients can see its state meanwhile.
OPERATION_SECONDS = 0.5

#: The texts of refusals, which users have reported.
NAME_TAKEN = (
    "There is already an endpoint with this name, Endpoint name needs to be unique within a "
    "region. Try some other name."
)
QUOTA = (
    'InferencingClient HttpRequest error, error detail: {{"errors":{{"VmSize":["Not enough quota '
    "available for {size} in SubscriptionId {subscription}. Current usage/limit: 0/6. Additional "
    'needed: 8 Please see troubleshooting guide"]}},"status":400}}'
)


class OnlineEndpoints(ArmService):
    """Keep the endpoints. Each operation takes a while, and a second one meanwhile is refused."""

    def __init__(self, emulator):
        super().__init__(emulator)
        self.endpoints: dict[str, dict] = {}
        self.deployments: dict[str, dict[str, OnlineDeployment]] = {}
        self._operations: dict[str, dict] = {}

    def stop(self) -> None:
        """End the servers of all deployments."""
        for deployments in self.deployments.values():
            for deployment in deployments.values():
                deployment.stop()

    def state(self) -> dict:
        """Return the endpoints with their traffic and their deployments, for assertions."""
        return {
            name: {
                "traffic": endpoint["properties"].get("traffic") or {},
                "tags": endpoint["tags"],
                "deployments": {
                    one.name: {"state": one.state, "tags": one.resource["tags"]}
                    | {key: one.resource["properties"][key] for key in ("model", "instanceType")}
                    for one in self.deployments[name].values()
                },
            }
            for name, endpoint in self.endpoints.items()
        }

    # ---- Endpoints

    @route("GET", "{WS}/onlineEndpoints")
    def list_endpoints(self, request: Request) -> Response:
        """List the endpoints."""
        self._finish_operations()
        return page_response([self._describe(name) for name in self.endpoints])

    @route("GET", ENDPOINT)
    def get_endpoint(self, request: Request, endpoint: str) -> Response:
        """Describe an endpoint."""
        self._check_exists(endpoint)
        return json_response(self._describe(endpoint))

    @route("PUT", ENDPOINT)
    def put_endpoint(self, request: Request, endpoint: str) -> Response:
        """Create an endpoint, or change its traffic."""
        self._finish_operations()
        if self.faults.trigger("endpoint_name_taken"):
            raise ServiceError(400, "BadRequest", NAME_TAKEN)
        body, exists = request.json(), endpoint in self.endpoints
        traffic = {k: v for k, v in (body["properties"].get("traffic") or {}).items() if v}
        if exists:
            self._check_idle(endpoint)
        unknown = traffic.keys() - self.deployments.get(endpoint, {}).keys()
        if unknown or sum(traffic.values()) not in (0, 100):
            raise ServiceError(400, "BadRequest", f"The traffic {traffic} is invalid.")
        keys = {"primaryKey": secrets.token_hex(32), "secondaryKey": secrets.token_hex(32)}
        kept = self.endpoints.get(endpoint, {"keys": keys, "created": now()})
        self.endpoints[endpoint] = kept | {
            "properties": body["properties"] | {"traffic": traffic},
            "tags": body.get("tags") or {},
            "identity": body.get("identity"),
            "provisioningState": "Updating" if exists else "Creating",
        }
        self.deployments.setdefault(endpoint, {})
        return self._start_operation(endpoint, None, 200 if exists else 201)

    @route("DELETE", ENDPOINT)
    def delete_endpoint(self, request: Request, endpoint: str) -> Response:
        """Delete an endpoint with its deployments."""
        self._check_exists(endpoint)
        if self.endpoints[endpoint]["provisioningState"] != "Deleting":
            self._check_idle(endpoint)
        self.endpoints[endpoint]["provisioningState"] = "Deleting"
        return self._start_operation(endpoint, None, 202)

    @route("POST", ENDPOINT + "/listKeys")
    def list_keys(self, request: Request, endpoint: str) -> Response:
        """Return the keys of an endpoint."""
        self._check_exists(endpoint)
        return json_response(self.endpoints[endpoint]["keys"])

    # ---- Deployments

    @route("GET", ENDPOINT + "/deployments")
    def list_deployments(self, request: Request, endpoint: str) -> Response:
        """List the deployments of an endpoint."""
        self._check_exists(endpoint)
        return page_response(
            [self._describe(endpoint, name) for name in self.deployments[endpoint]]
        )

    @route("GET", DEPLOYMENT)
    def get_deployment(self, request: Request, endpoint: str, deployment: str) -> Response:
        """Describe a deployment."""
        self._deployment(endpoint, deployment)
        return json_response(self._describe(endpoint, deployment))

    @route("PUT", DEPLOYMENT)
    def put_deployment(self, request: Request, endpoint: str, deployment: str) -> Response:
        """Create a deployment."""
        self._check_exists(endpoint)
        self._check_idle(endpoint)
        body = request.json()
        properties = body["properties"]
        if self.faults.trigger("quota_exceeded"):
            subscription = self.emulator.workspace["subscription"]
            message = QUOTA.format(size=properties["instanceType"], subscription=subscription)
            raise ServiceError(400, "BadRequest", message)
        self.emulator.environment_assets.find(properties["environmentId"])
        self.emulator.code_assets.find(properties["codeConfiguration"]["codeId"])
        started = OnlineDeployment(self.emulator, endpoint, deployment, body)
        self.deployments[endpoint][deployment] = started
        started.start()
        return self._start_operation(endpoint, deployment, 201)

    @route("DELETE", DEPLOYMENT)
    def delete_deployment(self, request: Request, endpoint: str, deployment: str) -> Response:
        """Delete a deployment that gets no requests."""
        found = self._deployment(endpoint, deployment)
        if found.state != "Deleting":
            self._check_idle(endpoint)
        if (self.endpoints[endpoint]["properties"].get("traffic") or {}).get(deployment):
            message = f"Cannot delete the deployment {deployment} because it has traffic."
            raise ServiceError(400, "BadRequest", message)
        found.state = "Deleting"
        return self._start_operation(endpoint, deployment, 202)

    @route("POST", DEPLOYMENT + "/getLogs")
    def get_logs(self, request: Request, endpoint: str, deployment: str) -> Response:
        """Return the last lines of a server's log. Without an image there is no server."""
        found = self._deployment(endpoint, deployment)
        if not found.log.exists():
            raise ServiceError(404, "NotFound", f"The deployment {deployment} has no log.")
        lines = found.log.read_text(errors="replace").splitlines()
        return json_response({"content": "\n".join(lines[-request.json()["tail"] :])})

    # ---- Operations

    @route("GET", LOCATION + "/mfeOperationsStatus/{id}")
    def get_endpoint_operation(self, request: Request, id: str, **_) -> Response:
        """Describe an operation."""
        self._finish_operations()
        operation = get_or_404(self._operations, id, "Operation")
        body = {"id": id, "name": id, "status": operation["status"], "error": operation["error"]}
        return json_response(body, x_ms_retry_after_ms=POLL_MILLISECONDS)

    def _start_operation(self, endpoint: str, deployment: str | None, status: int) -> Response:
        id = str(uuid.uuid4())
        self._operations[id] = {
            "endpoint": endpoint,
            "deployment": self.deployments[endpoint].get(deployment),
            "end": time.monotonic() + OPERATION_SECONDS,
            "status": "InProgress",
            "error": None,
        }
        workspace = self.emulator.workspace
        url = (
            f"https://{self.hosts[0]}/subscriptions/{workspace['subscription']}"
            "/providers/Microsoft.MachineLearningServices"
            f"/locations/{workspace['location']}/mfeOperationsStatus/{id}"
        )
        body = {} if status == 202 else self._describe(endpoint, deployment)
        return json_response(
            body,
            status,
            Azure_AsyncOperation=f"{url}?api-version=2025-12-01",
            x_ms_retry_after_ms=POLL_MILLISECONDS,
        )

    def _finish_operations(self) -> None:
        """End the operations whose time is over, and do what they have to do."""
        for operation in self._operations.values():
            deployment, is_over = operation["deployment"], time.monotonic() > operation["end"]
            creating = deployment and deployment.state == "Creating"
            if operation["status"] == "InProgress" and is_over and not creating:
                operation["error"] = self._finish(operation["endpoint"], deployment)
                operation["status"] = "Failed" if operation["error"] else "Succeeded"

    def _finish(self, endpoint: str, deployment: OnlineDeployment | None) -> dict | None:
        """Finish an operation, and return its error."""
        if endpoint not in self.endpoints:
            return None
        record, deployments = self.endpoints[endpoint], self.deployments[endpoint]
        if deployment and deployment.state == "Deleting":
            deployments.pop(deployment.name, deployment).stop()
        elif deployment:
            return deployment.error
        elif record["provisioningState"] == "Deleting":
            for one in deployments.values():
                one.stop()
            del self.endpoints[endpoint], self.deployments[endpoint]
        else:
            record["provisioningState"] = "Succeeded"
        return None

    # ---- Checks and answers

    def _check_exists(self, endpoint: str) -> None:
        self._finish_operations()
        get_or_404(self.endpoints, endpoint, "Endpoint")

    def _deployment(self, endpoint: str, name: str) -> OnlineDeployment:
        self._check_exists(endpoint)
        return get_or_404(self.deployments[endpoint], name, "Deployment")

    def _check_idle(self, endpoint: str) -> None:
        """Refuse an operation while another one on the endpoint or a deployment is going on."""
        states = [self.endpoints[endpoint]["provisioningState"]]
        states += [one.state for one in self.deployments[endpoint].values()]
        if not {"Creating", "Updating", "Deleting"}.isdisjoint(states):
            message = f"Already running method Write on the endpoint {endpoint}."
            raise ServiceError(409, "Conflict", message)

    def _describe(self, endpoint: str, deployment: str | None = None) -> dict:
        record, path = self.endpoints[endpoint], f"onlineEndpoints/{endpoint}"
        address = f"https://{endpoint}.{self.emulator.workspace['location']}.inference.ml.azure.com"
        properties = record["properties"] | {
            "provisioningState": record["provisioningState"],
            "scoringUri": f"{address}/score",
            "swaggerUri": f"{address}/swagger.json",
            "properties": {},
        }
        sent = record
        if deployment is not None:
            found = self.deployments[endpoint][deployment]
            path, sent = f"{path}/deployments/{deployment}", found.resource
            state = {"provisioningState": found.state}
            properties = DEFAULT_SETTINGS | sent["properties"] | state
        system = {"createdBy": "emulated", "createdAt": record["created"]}
        system |= {"lastModifiedBy": "emulated", "lastModifiedAt": record["created"]}
        return self.resource(path, properties) | {
            "location": self.emulator.workspace["location"],
            "tags": sent["tags"],
            "identity": {"type": "SystemAssigned", "principalId": "none", "tenantId": "none"},
            "kind": "Managed",
            "sku": sent.get("sku"),
            "systemData": system,
        }
