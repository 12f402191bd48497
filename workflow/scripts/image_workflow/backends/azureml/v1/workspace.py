"""Sign in, and open the workspace within a deadline."""

import os
from pathlib import Path

from image_workflow.backends.azureml import failures, signin
from image_workflow.backends.azureml.v1 import compute, data, deletion, environment, models, runs
from image_workflow.backends.azureml.workspace import (
    Cluster,
    ModelVersion,
    Progress,
    Run,
    Submission,
)
from image_workflow.deadline import within


class WorkspaceV1:
    """A workspace through azureml-core, see :class:`image_workflow.backends.azureml.workspace`.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    """

    package = "azureml-core"
    unused_packages = ()
    removal = deletion.REMOVAL
    kept = deletion.KEPT
    endpoints = None

    def __init__(self, workspace):
        self.workspace = workspace
        self.info = {
            "name": workspace.name,
            "resource_group": workspace.resource_group,
            "subscription_id": workspace.subscription_id,
            "location": workspace.location,
        }

    def find_run(self, run_id: str) -> Run | None:
        run = runs.find(self.workspace, run_id)
        return run and within(runs.ANSWER_SECONDS, runs.describe, run)

    def submit(self, submission: Submission) -> Run:
        run = within(runs.SUBMISSION_SECONDS, runs.submit, self.workspace, submission)
        return within(runs.ANSWER_SECONDS, runs.describe, run)

    def progress(self, run_id: str, seconds: float) -> Progress:
        return within(seconds, lambda: runs.progress(self.workspace.get_run(run_id)))

    def cancel(self, run_id: str) -> None:
        within(120, self._run(run_id).cancel)

    def tag(self, run_id: str, name: str, value: str) -> None:
        within(120, self._run(run_id).tag, name, value)

    def files(self, run_id: str) -> list[str]:
        return within(120, self._run(run_id).get_file_names)

    def download(self, run_id: str, name: str, target: Path) -> None:
        within(600, self._run(run_id).download_file, name, str(target))

    def runs(self, experiment: str) -> list[Run]:
        from azureml.core import Experiment

        found = within(120, lambda: list(Experiment(self.workspace, experiment).get_runs()))
        return [within(runs.ANSWER_SECONDS, runs.describe, run) for run in found]

    def find_cluster(self, name: str) -> Cluster | None:
        return within(120, compute.describe, self.workspace, name)

    def create_cluster(self, settings: dict) -> None:
        compute.create(self.workspace, settings, self.info)

    def register_data(self, folder: Path, sha256: str, name: str):
        return data.dataset(self.workspace, folder, sha256, name, self.info)

    def register_environment(self, file: Path, name: str):
        return environment.environment(self.workspace, name, file, self.info)

    def models(self, name: str) -> list[ModelVersion]:
        return within(120, models.versions, self.workspace, name)

    def register_model(
        self,
        name: str,
        run_id: str,
        path: str,
        tags: dict[str, str],
        properties: dict[str, str],
    ) -> ModelVersion:
        details = {"model_path": path, "tags": tags, "properties": properties}
        return models.describe(within(300, self._run(run_id).register_model, name, **details))

    def download_model(self, version: ModelVersion, folder: Path) -> Path:
        return within(600, models.download, self.workspace, version, folder)

    def delete(self, kind: str, name: str, created: dict[str, list[str]]) -> None:
        deletion.DELETE[kind](self.workspace, name, created)

    def _run(self, run_id: str):
        return within(runs.ANSWER_SECONDS, self.workspace.get_run, run_id)


def connect(config: Path, auth: str, seconds: float) -> WorkspaceV1:
    """Open the workspace that a config.json describes.

    Parameters
    ----------
    config : pathlib.Path
        The file from the Azure portal.
    auth : str
        The setting azureml.auth.
    seconds : float
        How long to wait for the service.

    Raises
    ------
    CloudError
        If the workspace cannot be opened.
    """
    with failures.step("load the Azure ML SDK", "Run `make setup-azureml-v1` again."):
        from azureml.core import Workspace
    with failures.step("open the workspace", signin.ADVICE):
        account = authentication(signin.configured_way(auth))
        workspace = within(seconds, Workspace.from_config, str(config), auth=account)
    return WorkspaceV1(workspace)


def authentication(way: str):
    """Return the SDK's authentication object for a way to sign in."""
    from azureml.core import authentication as sdk

    # Without a name the SDK asks the network for the list of clouds.
    cloud = os.environ.get("AZUREML_CURRENT_CLOUD", "AzureCloud")
    if way == "service_principal":
        return sdk.ServicePrincipalAuthentication(
            *signin.principal(os.environ), cloud=cloud, _enable_caching=True
        )
    if way == "managed_identity":
        return sdk.MsiAuthentication(cloud=cloud)
    if way == "cli":
        return sdk.AzureCliAuthentication(cloud=cloud)
    return sdk.InteractiveLoginAuthentication(cloud=cloud)
