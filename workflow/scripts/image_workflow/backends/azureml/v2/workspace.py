"""Sign in, and open the workspace within a deadline."""

import itertools
import json
import logging
import os
import sys
import webbrowser
from pathlib import Path

from image_workflow.backends.azureml import failures, signin
from image_workflow.backends.azureml.v2 import (
    assets,
    compute,
    data,
    endpoints,
    environment,
    models,
    runs,
    storage,
)
from image_workflow.backends.azureml.v2.network import OPTIONS
from image_workflow.backends.azureml.workspace import (
    Cluster,
    ModelVersion,
    Progress,
    Run,
    Submission,
)
from image_workflow.deadline import within

ANSWER_SECONDS = 120
SUBMISSION_SECONDS = 600
#: `az` may take long to start. The deadline for opening the workspace is shorter.
CLI_SECONDS = 60
#: The time that a user has to sign in in a browser.
INTERACTIVE_SECONDS = 300
#: The time between two looks at an operation such as the creation of a cluster.
POLLING_SECONDS = 5

#: What happens to each kind in the ledger, in this order, and why the others are kept.
REMOVAL = {
    "endpoints": "delete",
    "models": "archive",
    "data": "archive",
    "environments": "archive",
    "paths": "delete",
    "clusters": "delete",
}
KEPT = {
    "datasets": "which SDK v1 can delete: .venv-azureml-v1/bin/snakemake azureml_cleanup",
    "runs": "which has the model, so that the same command need not train again",
}


class WorkspaceV2:
    """A workspace through azure-ai-ml, see :class:`image_workflow.backends.azureml.workspace`.

    Parameters
    ----------
    client : azure.ai.ml.MLClient
    credential : azure.core.credentials.TokenCredential
    info : dict of str
        ``name``, ``resource_group``, ``subscription_id`` and ``location``.
    """

    package = "azure-ai-ml"
    unused_packages = environment.RUNTIME_OF_V1
    removal = REMOVAL
    kept = KEPT

    def __init__(self, client, credential, info: dict[str, str]):
        self.client, self.info = client, info
        self.storage = storage.Storage(client, credential)
        self.endpoints = endpoints.OnlineEndpoints(client, self.storage, info)
        self._logs: dict[str, dict[str, bytes]] = {}

    def find_run(self, run_id: str) -> Run | None:
        job = within(ANSWER_SECONDS, assets.find, self.client.jobs, run_id)
        return job and runs.describe(job)

    def submit(self, submission: Submission) -> Run:
        job = within(
            SUBMISSION_SECONDS, runs.submit, self.client, self.storage, submission, self.info
        )
        return runs.describe(job)

    def progress(self, run_id: str, seconds: float) -> Progress:
        return within(seconds, self._progress, run_id)

    def _progress(self, run_id: str) -> Progress:
        job = self.client.jobs.get(run_id)
        status = runs.describe(job).status
        datastore, path = runs.place(job)
        logs = self._logs.setdefault(run_id, {})
        runs.read_logs(self.storage.container(datastore), path, logs)
        error = runs.error_of(self.client, run_id) if status == "Failed" else ""
        texts = {name: text.decode(errors="replace") for name, text in logs.items()}
        return Progress(status, texts, error)

    def cancel(self, run_id: str) -> None:
        within(ANSWER_SECONDS, self.client.jobs.begin_cancel, run_id)

    def tag(self, run_id: str, name: str, value: str) -> None:
        within(ANSWER_SECONDS, self.client.jobs.update, run_id, tags={name: value})

    def files(self, run_id: str) -> list[str]:
        container, path = within(ANSWER_SECONDS, self._place, run_id)
        return list(within(ANSWER_SECONDS, storage.sizes, container, path))

    def download(self, run_id: str, name: str, target: Path) -> None:
        container, path = within(ANSWER_SECONDS, self._place, run_id)
        within(storage.TRANSFER_SECONDS, storage.fetch, container, f"{path}/{name}", target)

    def _place(self, run_id: str):
        """Return the container and the path of a run's files."""
        datastore, path = runs.place(self.client.jobs.get(run_id))
        return self.storage.container(datastore), path

    def runs(self, experiment: str) -> list[Run]:
        jobs = within(
            ANSWER_SECONDS, lambda: list(itertools.islice(self.client.jobs.list(), runs.MAX_JOBS))
        )
        # The SDK gives None for a job of a kind that it does not know.
        return [runs.describe(job) for job in jobs if job and job.experiment_name == experiment]

    def find_cluster(self, name: str) -> Cluster | None:
        return within(ANSWER_SECONDS, compute.describe, self.client, name)

    def create_cluster(self, settings: dict) -> None:
        compute.create(self.client, settings, self.info)

    def register_data(self, folder: Path, sha256: str, name: str) -> str:
        return data.register(self.client, self.storage, folder, sha256, name, self.info)

    def register_environment(self, file: Path, name: str) -> str:
        return environment.register(self.client, file, name, self.info)

    def models(self, name: str) -> list[ModelVersion]:
        return within(ANSWER_SECONDS, models.versions, self.client, name)

    def register_model(
        self,
        name: str,
        run_id: str,
        path: str,
        tags: dict[str, str],
        properties: dict[str, str],
    ) -> ModelVersion:
        return within(
            ANSWER_SECONDS, models.register, self.client, name, run_id, path, tags, properties
        )

    def download_model(self, version: ModelVersion, folder: Path) -> Path:
        datastore, path = within(ANSWER_SECONDS, models.place, self.client, version)
        container = within(ANSWER_SECONDS, self.storage.container, datastore)
        within(storage.TRANSFER_SECONDS, storage.fetch, container, path, folder / "model")
        return folder / "model"

    def delete(self, kind: str, name: str, created: dict[str, list[str]]) -> None:
        if kind == "endpoints":
            self.endpoints.delete(name)
        elif kind == "clusters":
            compute.delete(self.client, name)
        elif kind == "paths":
            datastore = within(ANSWER_SECONDS, self.storage.default_datastore)
            storage.remove(within(ANSWER_SECONDS, self.storage.container, datastore), name)
        else:
            collection = getattr(self.client, kind)
            within(ANSWER_SECONDS, assets.archive, collection, *name.rsplit(":", 1))


def connect(config: Path, auth: str, seconds: float) -> WorkspaceV2:
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
    with failures.step("load the Azure ML SDK", "Run `make setup-azureml` again."):
        from azure.ai.ml import MLClient
    log_errors_only()
    with failures.step("open the workspace", signin.ADVICE):
        way = signin.configured_way(auth)
        credential = credential_of(way)
        names = json.loads(config.read_text(encoding="utf-8"))
        client = MLClient(
            credential,
            names["subscription_id"],
            names["resource_group"],
            names["workspace_name"],
            enable_telemetry=False,
            show_progress=False,
            polling_interval=POLLING_SECONDS,
            **OPTIONS,
        )
        if way == "interactive":
            seconds = max(seconds, INTERACTIVE_SECONDS)
        workspace = within(seconds, client.workspaces.get, names["workspace_name"])
    # The names of config.json, as with SDK v1: the service may write them in another case.
    info = {
        "name": names["workspace_name"],
        "resource_group": names["resource_group"],
        "subscription_id": names["subscription_id"],
        "location": workspace.location,
    }
    return WorkspaceV2(client, credential, info)


def log_errors_only() -> None:
    """Let the SDK log no warnings, such as those of experimental classes that it uses itself.

    When it is imported, it starts to write to the terminal.
    """
    logger = logging.getLogger("azure.ai.ml")
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.ERROR)


def credential_of(way: str):
    """Return the credential for a way to sign in, see :func:`signin.way_to_sign_in`."""
    from azure import identity

    if way == "service_principal":
        return identity.ClientSecretCredential(*signin.principal(os.environ), **OPTIONS)
    if way == "managed_identity":
        # A user-assigned identity is named by the variable that azure-identity documents.
        client_id = os.environ.get("AZURE_CLIENT_ID") or None
        return identity.ManagedIdentityCredential(client_id=client_id, **OPTIONS)
    if way == "cli":
        return identity.AzureCliCredential(process_timeout=CLI_SECONDS)
    try:
        webbrowser.get()
    except webbrowser.Error:
        return identity.DeviceCodeCredential(prompt_callback=show_device_code, **OPTIONS)
    return identity.InteractiveBrowserCredential(**OPTIONS)


def show_device_code(address: str, code: str, expires: object) -> None:
    """Ask the user to sign in on another device."""
    print(f"To sign in to Azure, open {address} and enter the code {code}.", file=sys.stderr)
