"""Azure Resource Manager: subscriptions, the workspace, compute targets and their operations."""

from __future__ import annotations

import uuid

from ..messages import Refusal, Request, Response, answer, now, page, route
from .service import API, Service, found

QUOTA = {
    "code": "ClusterCoreQuotaReached",
    "message": (
        "Operation results in exceeding quota limits of Total Cluster Dedicated Regional vCPUs. "
        "Maximum allowed: 0, Current in use: 0, Additional requested: 8."
    ),
}

#: What a cluster has that its creator says nothing about.
SETTINGS = {
    "vmSize": "STANDARD_D2_V2",
    "vmPriority": "Dedicated",
    "subnet": None,
    "scaleSettings": {
        "minNodeCount": 0,
        "maxNodeCount": 1,
        "nodeIdleTimeBeforeScaleDown": "PT120S",
    },
}

NODE_STATES = ("preparing", "running", "idle", "unusable", "leaving", "preempted")


class ResourceManager(Service):
    """Creates and deletes clusters as long-running operations, and describes the rest."""

    hosts = ("management.azure.com", API)

    def __init__(self, emulator):
        super().__init__(emulator)
        self.computes: dict[str, dict] = {}
        self._operations: dict[str, dict] = {}

    @route("GET", "/subscriptions")
    def list_subscriptions(self, request: Request) -> Response:
        """List what the account sees."""
        mine = self.emulator.workspace["subscription"]
        if self.faults.strike("unknown_subscription"):
            mine = str(uuid.uuid4())
        subscription = {
            "id": f"/subscriptions/{mine}",
            "subscriptionId": mine,
            "displayName": "Emulated subscription",
            "state": "Enabled",
            "tenantId": self.emulator.entra.tenant,
        }
        return page([subscription])

    @route("GET", "{WS}")
    def get_workspace(self, request: Request) -> Response:
        """Describe the workspace."""
        workspace = self.emulator.workspace
        if self.faults.strike("unknown_workspace"):
            message = f"The workspace '{workspace['workspace']}' was not found."
            raise Refusal(404, "ResourceNotFound", message)
        properties = {
            "workspaceId": workspace["id"],
            "discoveryUrl": f"https://{API}/discovery/workspaces/{workspace['id']}",
            "friendlyName": workspace["workspace"],
            "provisioningState": "Succeeded",
            "creationTime": workspace["created"],
        }
        return answer(
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
        """List the compute targets; the SDK would follow even an empty link to a next page."""
        return answer({"value": [self._shown(name) for name in self.computes]})

    @route("GET", "/rp/workspaces{WS}/computes/{name}", "{WS}/computes/{name}")
    def get_compute(self, request: Request, name: str) -> Response:
        """Describe a compute target."""
        found(self.computes, name, "Compute")
        return answer(self._shown(name))

    @route("PUT", "{WS}/computes/{name}")
    def create_compute(self, request: Request, name: str) -> Response:
        """Start to create or change a cluster."""
        created = self.computes.get(name, {"createdOn": now()})["createdOn"]
        self.computes[name] = self.compute(name, request.json(), created)
        failed = self.faults.strike("quota_exceeded")
        return self._begin(name, QUOTA if failed else None, 201, self._shown(name))

    @route("DELETE", "{WS}/computes/{name}")
    def delete_compute(self, request: Request, name: str) -> Response:
        """Start to delete a cluster."""
        found(self.computes, name, "Compute")["provisioningState"] = "Deleting"
        return self._begin(name, None, 202, {})

    @route("GET", "/subscriptions/{subscription}/providers/{provider}/locations/{at}/{kind}/{id}")
    def get_operation(self, request: Request, id: str, **_) -> Response:
        """Tell how far an operation is: the first look finds it in progress, the next one done."""
        operation = found(self._operations, id, "Operation")
        shown = dict(operation, status="InProgress")
        if operation["looks"]:
            self._finish(operation)
            shown = operation
        operation["looks"] += 1
        return answer({key: shown[key] for key in ("name", "status", "error") if key in shown})

    def compute(self, name: str, wanted: dict, created: str) -> dict:
        """Return what is kept of a compute target; `wanted` is the client's resource."""
        return {
            "name": name,
            "tags": wanted.get("tags", {}),
            "computeType": wanted["properties"]["computeType"],
            "description": wanted["properties"].get("description"),
            "settings": wanted["properties"].get("properties", {}),
            "provisioningState": "Creating",
            "provisioningErrors": None,
            "createdOn": created,
        }

    def _begin(self, name: str, error: dict | None, status: int, body: dict) -> Response:
        operation = {"name": str(uuid.uuid4()), "compute": name, "looks": 0, "failure": error}
        self._operations[operation["name"]] = operation
        url = (
            f"https://management.azure.com/subscriptions/{self.emulator.workspace['subscription']}"
            "/providers/Microsoft.MachineLearningServices/locations/"
            f"{self.emulator.workspace['location']}/mlComputeOperationsStatus/{operation['name']}"
        )
        return answer(body, status, Azure_AsyncOperation=f"{url}?api-version=2020-02-02")

    def _finish(self, operation: dict) -> None:
        compute = self.computes.get(operation["compute"])
        operation["status"] = "Failed" if operation["failure"] else "Succeeded"
        if compute and operation["failure"]:
            operation["error"] = operation["failure"]
            compute["provisioningErrors"] = [{"error": operation["failure"]}]
            compute["provisioningState"] = "Failed"
        elif compute and compute["provisioningState"] == "Deleting":
            del self.computes[operation["compute"]]
        elif compute:
            compute["provisioningState"] = "Succeeded"

    def _shown(self, name: str) -> dict:
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
            "properties": self._status(compute),
        }
        return {
            "id": f"{self.emulator.scope}/computes/{name}",
            "name": name,
            "type": "Microsoft.MachineLearningServices/workspaces/computes",
            "location": self.emulator.workspace["location"],
            "tags": compute["tags"],
            "properties": properties,
        }

    def _status(self, compute: dict) -> dict | None:
        if compute["computeType"] != "AmlCompute":
            return compute["settings"] or None
        # A node for every job that runs; the SDK's wait ends when the least count is reached.
        settings = SETTINGS | compute["settings"]
        running = self.emulator.execution.running_on(compute["name"])
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
