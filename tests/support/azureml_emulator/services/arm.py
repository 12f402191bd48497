"""Emulate Azure Resource Manager: subscriptions, workspace, compute targets and operations."""

from __future__ import annotations

import uuid

from ..messages import Request, Response, ServiceError, json_response, now, page_response, route
from .service import API, ARM, Service, get_or_404

QUOTA_ERROR = {
    "code": "ClusterCoreQuotaReached",
    "message": (
        "Operation results in exceeding quota limits of Total Cluster Dedicated Regional vCPUs. "
        "Maximum allowed: 0, Current in use: 0, Additional requested: 8."
    ),
}

#: The settings of a cluster whose creator does not specify them.
DEFAULT_SETTINGS = {
    "vmSize": "STANDARD_D2_V2",
    "vmPriority": "Dedicated",
    "subnet": None,
    "scaleSettings": {
        "minNodeCount": 0,
        "maxNodeCount": 1,
        "nodeIdleTimeBeforeScaleDown": "PT120S",
    },
}

#: The interval at which SDK v2 looks at an operation. Azure asks for seconds.
POLL_MILLISECONDS = "100"

LOCATION = "/subscriptions/{subscription}/providers/{provider}/locations/{at}"

NODE_STATES = ("preparing", "running", "idle", "unusable", "leaving", "preempted")


class ResourceManager(Service):
    """Create and delete clusters as long-running operations, and describe the other resources."""

    hosts = (ARM, API)

    def __init__(self, emulator):
        super().__init__(emulator)
        self.computes: dict[str, dict] = {}
        self._operations: dict[str, dict] = {}

    @route("GET", "/subscriptions")
    def list_subscriptions(self, request: Request) -> Response:
        """List the subscriptions that the service principal can see."""
        subscription_id = self.emulator.workspace["subscription"]
        if self.faults.trigger("unknown_subscription"):
            subscription_id = str(uuid.uuid4())
        subscription = {
            "id": f"/subscriptions/{subscription_id}",
            "subscriptionId": subscription_id,
            "displayName": "Emulated subscription",
            "state": "Enabled",
            "tenantId": self.emulator.entra.tenant,
        }
        return page_response([subscription])

    @route("GET", "{WS}")
    def get_workspace(self, request: Request) -> Response:
        """Describe the workspace."""
        if self.faults.trigger("unknown_subscription"):
            message = "The subscription could not be found."
            raise ServiceError(404, "SubscriptionNotFound", message)
        workspace = self.emulator.workspace
        storage = self.emulator.storage_account
        group = self.emulator.scope.partition("/providers/")[0]
        properties = {
            "workspaceId": workspace["id"],
            "discoveryUrl": f"https://{API}/discovery/workspaces/{workspace['id']}",
            "mlFlowTrackingUri": f"azureml://{API}/mlflow/v1.0{self.emulator.scope}",
            "storageAccount": f"{group}/providers/Microsoft.Storage/storageAccounts/{storage}",
            "friendlyName": workspace["workspace"],
            "provisioningState": "Succeeded",
            "creationTime": workspace["created"],
        }
        return json_response(
            {
                "id": self.emulator.scope,
                "name": workspace["workspace"],
                "type": "Microsoft.MachineLearningServices/workspaces",
                "location": workspace["location"],
                "sku": {"name": "Basic", "tier": "Basic"},
                "properties": properties,
            }
        )

    @route("GET", "/rp/workspaces{WS}/computes", "{WS}/computes")
    def list_computes(self, request: Request) -> Response:
        """List the compute targets. Omit `nextLink`: the SDK would follow even an empty link."""
        return json_response({"value": [self._describe(name) for name in self.computes]})

    @route("GET", "/rp/workspaces{WS}/computes/{name}", "{WS}/computes/{name}")
    def get_compute(self, request: Request, name: str) -> Response:
        """Describe a compute target."""
        get_or_404(self.computes, name, "Compute")
        return json_response(self._describe(name))

    @route("PUT", "{WS}/computes/{name}")
    def create_compute(self, request: Request, name: str) -> Response:
        """Start an operation that creates or changes a cluster."""
        if self.faults.trigger("vm_size_unknown"):
            size = request.json()["properties"].get("properties", {}).get("vmSize")
            message = f"The specified Azure ML Compute VM size {size} is not supported."
            raise ServiceError(400, "BadRequest", message)
        created = self.computes.get(name, {"createdOn": now()})["createdOn"]
        self.computes[name] = self.compute(name, request.json(), created)
        error = QUOTA_ERROR if self.faults.trigger("quota_exceeded") else None
        return self._start_operation(name, error, 201, self._describe(name))

    @route("POST", "{WS}/computes/{name}/listNodes")
    def list_nodes(self, request: Request, name: str) -> Response:
        """List a cluster's nodes. Each running job has a node."""
        get_or_404(self.computes, name, "Compute")
        nodes = [
            {"nodeId": f"node-{number}", "nodeState": "running", "runId": run_id, "port": 50000}
            for number, run_id in enumerate(self.emulator.execution.running_on(name))
        ]
        return json_response({"nodes": nodes})

    @route("DELETE", "{WS}/computes/{name}")
    def delete_compute(self, request: Request, name: str) -> Response:
        """Start an operation that deletes a cluster."""
        get_or_404(self.computes, name, "Compute")["provisioningState"] = "Deleting"
        return self._start_operation(name, None, 202, {})

    @route("GET", LOCATION + "/mlComputeOperationsStatus/{id}")
    def get_operation(self, request: Request, id: str, **_) -> Response:
        """Describe an operation. It is in progress at the first poll, and ends at the second."""
        operation = get_or_404(self._operations, id, "Operation")
        shown = dict(operation, status="InProgress")
        if operation["polls"]:
            self._finish_operation(operation)
            shown = operation
        operation["polls"] += 1
        body = {key: shown[key] for key in ("name", "status", "error") if key in shown}
        return json_response(body, x_ms_retry_after_ms=POLL_MILLISECONDS)

    def compute(self, name: str, resource: dict, created: str) -> dict:
        """Return the record of a new compute target from the resource that the client sent."""
        return {
            "name": name,
            "tags": resource.get("tags", {}),
            "computeType": resource["properties"]["computeType"],
            "description": resource["properties"].get("description"),
            "settings": resource["properties"].get("properties", {}),
            "provisioningState": "Creating",
            "provisioningErrors": None,
            "createdOn": created,
        }

    def _start_operation(
        self, compute_name: str, error: dict | None, status: int, body: dict
    ) -> Response:
        operation = {
            "name": str(uuid.uuid4()),
            "compute": compute_name,
            "polls": 0,
            "final_error": error,
        }
        self._operations[operation["name"]] = operation
        url = (
            f"https://{ARM}/subscriptions/{self.emulator.workspace['subscription']}"
            "/providers/Microsoft.MachineLearningServices/locations/"
            f"{self.emulator.workspace['location']}/mlComputeOperationsStatus/{operation['name']}"
        )
        return json_response(
            body,
            status,
            Azure_AsyncOperation=f"{url}?api-version=2020-02-02",
            x_ms_retry_after_ms=POLL_MILLISECONDS,
        )

    def _finish_operation(self, operation: dict) -> None:
        compute = self.computes.get(operation["compute"])
        error = operation["final_error"]
        operation["status"] = "Failed" if error else "Succeeded"
        if compute and error:
            operation["error"] = error
            compute["provisioningErrors"] = [{"error": error}]
            compute["provisioningState"] = "Failed"
        elif compute and compute["provisioningState"] == "Deleting":
            del self.computes[operation["compute"]]
        elif compute:
            compute["provisioningState"] = "Succeeded"

    def _describe(self, name: str) -> dict:
        compute = self.computes[name]
        properties = {
            "computeType": compute["computeType"],
            "computeLocation": self.emulator.workspace["location"],
            "description": compute["description"],
            "resourceId": None,
            "isAttachedCompute": False,
            "createdOn": compute["createdOn"],
            "modifiedOn": compute["createdOn"],
            "provisioningState": compute["provisioningState"],
            "provisioningErrors": compute["provisioningErrors"],
            "properties": self._describe_nodes(compute),
        }
        return {
            "id": f"{self.emulator.scope}/computes/{name}",
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": self.emulator.workspace["location"],
            "tags": compute["tags"],
            "properties": properties,
        }

    def _describe_nodes(self, compute: dict) -> dict | None:
        if compute["computeType"] != "AmlCompute":
            return compute["settings"] or None
        # Each running job has a node. The SDK stops waiting when the cluster has its minimum size.
        settings = DEFAULT_SETTINGS | compute["settings"]
        running = len(self.emulator.execution.running_on(compute["name"]))
        nodes = max(settings["scaleSettings"]["minNodeCount"], running)
        counts = {f"{state}NodeCount": 0 for state in NODE_STATES}
        counts |= {"runningNodeCount": running, "idleNodeCount": nodes - running}
        return settings | {
            "currentNodeCount": nodes,
            "targetNodeCount": nodes,
            "nodeStateCounts": counts,
            "allocationState": "Steady",
            "allocationStateTransitionTime": compute["createdOn"],
            "errors": None,
        }
