"""Create, find and delete managed online endpoints and their deployments."""

from collections.abc import Callable

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.v2.assets import find
from image_workflow.backends.azureml.v2.runs import upload_code
from image_workflow.backends.azureml.v2.storage import Storage
from image_workflow.backends.azureml.workspace import Deployment, DeploymentRequest, Endpoint
from image_workflow.deadline import within

ANSWER_SECONDS = 120
SUBMISSION_SECONDS = 600
DELETION_SECONDS = 30 * 60
#: How many of the last lines of a deployment's log to ask for.
LOG_LINES = 100


class OnlineEndpoints:
    """The managed online endpoints, see :class:`image_workflow.backends.azureml.workspace`.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    storage : Storage
        Takes the code of a deployment.
    workspace_info : dict
        The workspace's description. A new path of code is noted under it.
    """

    def __init__(self, client, storage: Storage, workspace_info: dict):
        self.client, self.storage, self.workspace_info = client, storage, workspace_info

    def names(self) -> list[str]:
        return within(
            ANSWER_SECONDS, lambda: [found.name for found in self.client.online_endpoints.list()]
        )

    def find(self, name: str) -> Endpoint | None:
        return within(ANSWER_SECONDS, self._find, name)

    def _find(self, name: str) -> Endpoint | None:
        endpoint = find(self.client.online_endpoints, name)
        if endpoint is None:
            return None
        deployments = {
            one.name: Deployment(one.name, state_of(one), dict(one.tags or {}))
            for one in self.client.online_deployments.list(name)
        }
        return Endpoint(
            name=name,
            state=state_of(endpoint),
            scoring_uri=endpoint.scoring_uri,
            traffic={one: share for one, share in endpoint.traffic.items() if share},
            tags=dict(endpoint.tags or {}),
            deployments=deployments,
        )

    def create(self, name: str, tags: dict[str, str]) -> Callable[[], str]:
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key", tags=tags)
        begin = self.client.online_endpoints.begin_create_or_update
        return failure_of(within(ANSWER_SECONDS, begin, endpoint))

    def deploy(self, request: DeploymentRequest) -> Callable[[], str]:
        return failure_of(within(SUBMISSION_SECONDS, self._deploy, request))

    def _deploy(self, request: DeploymentRequest):
        from azure.ai.ml.entities import CodeConfiguration, ManagedOnlineDeployment

        code = upload_code(self.storage, request.source, self.workspace_info)
        deployment = ManagedOnlineDeployment(
            name=request.name,
            endpoint_name=request.endpoint,
            model=f"azureml:{request.model}",
            code_configuration=CodeConfiguration(code=code, scoring_script=request.script),
            environment=request.environment,
            instance_type=request.instance_type,
            instance_count=request.instance_count,
            tags=request.tags,
        )
        # The SDK would look for the script in a folder, and the code is in the storage already.
        return self.client.online_deployments.begin_create_or_update(
            deployment, skip_script_validation=True
        )

    def direct(self, name: str, deployment: str) -> Callable[[], str]:
        return failure_of(within(ANSWER_SECONDS, self._direct, name, deployment))

    def _direct(self, name: str, deployment: str):
        endpoint = self.client.online_endpoints.get(name)
        endpoint.traffic = {deployment: 100}
        return self.client.online_endpoints.begin_create_or_update(endpoint)

    def key(self, name: str) -> str:
        return within(ANSWER_SECONDS, self.client.online_endpoints.get_keys, name).primary_key

    def logs(self, name: str, deployment: str) -> str:
        read = self.client.online_deployments.get_logs
        return within(ANSWER_SECONDS, read, deployment, name, LOG_LINES)

    def delete_deployment(self, name: str, deployment: str) -> None:
        delete = self.client.online_deployments.begin_delete
        within(DELETION_SECONDS, within(ANSWER_SECONDS, delete, deployment, name).result)

    def delete(self, name: str) -> None:
        endpoints = self.client.online_endpoints
        if within(ANSWER_SECONDS, find, endpoints, name):
            within(DELETION_SECONDS, within(ANSWER_SECONDS, endpoints.begin_delete, name).result)


def state_of(resource) -> str:
    """Return the state of an endpoint or a deployment, a string whose text may not be its value."""
    return getattr(resource.provisioning_state, "value", resource.provisioning_state)


def failure_of(poller) -> Callable[[], str]:
    """Return a function that gives the service's message, if an operation has failed."""

    def failure() -> str:
        try:
            within(ANSWER_SECONDS, poller.result)
        except Exception as error:
            return failures.describe(error)
        return ""

    return failure
