"""Test the emulator's faults in opening the workspace and in creating clusters."""

from __future__ import annotations

import json

from emulator_client import capture, control, needs_sdk, open_workspace
from emulator_http import open_tunnel, send_request


def client_connection_faults():
    """Open the workspace under each fault of the connection, and then without a fault."""
    results = {}
    for name in ("wrong_secret", "unknown_workspace", "unknown_subscription"):
        control("PUT", f"faults/{name}", times=1)
        results[name] = capture(open_workspace)
    control("PUT", "faults/no_permission", times=1, step="get_workspace")
    results["no_permission"] = capture(open_workspace)
    results["none"] = capture(open_workspace)
    return results


@needs_sdk
def test_sdk_reports_why_it_cannot_open_the_workspace(run_client):
    results = run_client(client_connection_faults)
    errors = {name: result.get("error") for name, result in results.items()}
    assert errors == {
        "wrong_secret": "AuthenticationError",
        "unknown_workspace": "ProjectSystemException",
        "unknown_subscription": "UserErrorException",
        "no_permission": "ProjectSystemException",
        "none": None,
    }
    assert "AADSTS7000215: Invalid client secret" in results["wrong_secret"]["message"]
    assert "Workspace not found." in results["unknown_workspace"]["message"]
    assert "You don't have access" in results["unknown_subscription"]["message"]
    assert "AuthorizationFailed" in results["no_permission"]["message"]


def client_compute_faults():
    """Create a cluster without the permission, and then without the quota."""
    from azureml.core.compute import AmlCompute, ComputeTarget

    workspace = open_workspace()
    configuration = AmlCompute.provisioning_configuration("STANDARD_D2_V2", max_nodes=4)
    control("PUT", "faults/no_permission", times=1, step="create_compute")
    refused = capture(ComputeTarget.create, workspace, "refused", configuration)
    control("PUT", "faults/quota_exceeded", times=1)
    cluster = ComputeTarget.create(workspace, "over-quota", configuration)
    failed = capture(cluster.wait_for_completion)
    control("PUT", "computes/notebook", computeType="ComputeInstance")
    instance_type = type(ComputeTarget(workspace, "notebook")).__name__
    return [refused, failed, cluster.provisioning_state, cluster.get_status(), instance_type]


@needs_sdk
def test_sdk_reports_why_it_cannot_create_a_cluster(shared_emulator, run_client):
    refused, failed, state, status, instance_type = run_client(client_compute_faults)
    assert refused["error"] == failed["error"] == "ComputeTargetException"
    assert "Response Code: 403" in refused["message"]
    assert "ClusterCoreQuotaReached" in failed["message"]
    # A failed cluster stays in the workspace, but has no status.
    assert (state, status) == ("Failed", None)
    computes = shared_emulator.state()["computes"]
    assert computes["over-quota"]["provisioningState"] == "Failed" and "refused" not in computes
    assert instance_type == "ComputeInstance"


def test_services_require_a_token_and_the_name_of_the_workspace(shared_emulator):
    path = f"/history/v1.0{shared_emulator.scope}/experiments/none"
    headers = {"Authorization": f"Bearer {shared_emulator.entra.issue_token('test')}"}
    with open_tunnel(shared_emulator, "westeurope.api.azureml.ms") as connection:
        assert send_request(connection, "GET", path)[0] == 401
        other_path = path.replace("emulated-workspace", "other")
        status, body, _ = send_request(connection, "GET", other_path, headers=headers)
        assert (status, json.loads(body)["error"]["code"]) == (404, "ResourceNotFound")
