"""The interface to a workspace, which SDK v1 and SDK v2 implement.

The backend, and the commands whose names begin with ``azureml_``, use nothing else of an SDK. So
they do the same with either.
"""

import importlib.metadata
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from image_workflow.backends.azureml.availability import available_workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run of the training script, called a job in SDK v2.

    Attributes
    ----------
    id : str
        The run id, which is the job's name in SDK v2.
    status : str
        One of Azure ML's words, such as Queued, Running or Completed.
    portal_url : str
        The address of the run's page.
    experiment : str
        The name of the run's experiment.
    tags : dict of str
    """

    id: str
    status: str
    portal_url: str
    experiment: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    status : str
    logs : dict of str
        The text of each log file by its path, such as ``user_logs/std_log.txt``.
    error : str
        The service's message, if the run failed.
    """

    status: str
    logs: dict[str, str]
    error: str = ""


@dataclass(frozen=True)
class Cluster:
    """A compute target.

    Attributes
    ----------
    kind : str
        AmlCompute for a cluster, or the kind of another compute target.
    state : str
        Such as Succeeded or Failed.
    description : str
        The size, the number of nodes and the state.
    """

    kind: str
    state: str
    description: str


@dataclass(frozen=True)
class Submission:
    """A run to submit.

    Attributes
    ----------
    run_id : str
    experiment : str
        The experiment's name.
    source : pathlib.Path
        The folder with the training script, and nothing else. The script runs in a copy of it.
    script : str
        The script's file name.
    arguments : list of str
        The script's arguments beside ``--data-folder``.
    cluster : str
        The cluster's name.
    data, environment : object
        As returned by :meth:`Workspace.register_data` and :meth:`Workspace.register_environment`.
    limit_seconds : int
        The service ends the run after this time.
    tags : dict of str
    """

    run_id: str
    experiment: str
    source: Path
    script: str
    arguments: list[str]
    cluster: str
    data: object
    environment: object
    limit_seconds: int
    tags: dict[str, str]


@dataclass(frozen=True)
class ModelVersion:
    """A registered version of a model.

    Attributes
    ----------
    name : str
    version : int
    run_id : str or None
        The run that made the model.
    tags, properties : dict of str
    """

    name: str
    version: int
    run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name and the version, such as sklearn_mnist:1, as both SDKs write it."""
        return f"{self.name}:{self.version}"


@dataclass(frozen=True)
class Deployment:
    """Machines that answer requests with one version of a model.

    Attributes
    ----------
    name : str
    state : str
        Such as Creating, Succeeded or Failed.
    tags : dict of str
    """

    name: str
    state: str
    tags: dict[str, str]


@dataclass(frozen=True)
class Endpoint:
    """An online endpoint: an address, and the deployments that answer there.

    Attributes
    ----------
    name, state : str
    scoring_uri : str
        The address.
    traffic : dict of int
        The percentage of the requests that each deployment gets, without those that get none.
    tags : dict of str
    deployments : dict of Deployment
        By name.
    """

    name: str
    state: str
    scoring_uri: str
    traffic: dict[str, int]
    tags: dict[str, str]
    deployments: dict[str, Deployment]


@dataclass(frozen=True)
class DeploymentRequest:
    """A deployment to create.

    Attributes
    ----------
    endpoint, name : str
    model : str
        The name and the version of the registered model, such as sklearn_mnist:1.
    source : pathlib.Path
        The folder with the scoring script, and nothing else.
    script : str
        The scoring script's file name.
    environment : object
        As returned by :meth:`Workspace.register_environment`.
    instance_type : str
    instance_count : int
    tags : dict of str
    """

    endpoint: str
    name: str
    model: str
    source: Path
    script: str
    environment: object
    instance_type: str
    instance_count: int
    tags: dict[str, str]


class Endpoints(Protocol):
    """The online endpoints of a workspace.

    As with :class:`Workspace`, every method returns within a deadline, and may raise any exception.
    ``create``, ``deploy`` and ``direct`` return when the service has begun. Then :meth:`find` shows
    the state, and the function that they return gives the service's message if it has failed.
    """

    def names(self) -> list[str]:
        """Return the names of all endpoints."""

    def find(self, name: str) -> Endpoint | None:
        """Return the endpoint of this name, or None."""

    def create(self, name: str, tags: dict[str, str]) -> Callable[[], str]:
        """Create an endpoint without a deployment, whose users need a key."""

    def deploy(self, request: DeploymentRequest) -> Callable[[], str]:
        """Create a deployment, which gets no requests yet."""

    def direct(self, name: str, deployment: str) -> Callable[[], str]:
        """Let a deployment answer all requests to its endpoint."""

    def key(self, name: str) -> str:
        """Return the key of an endpoint, which must not be written or shown."""

    def logs(self, name: str, deployment: str) -> str:
        """Return the last lines that a deployment's server has written."""

    def delete_deployment(self, name: str, deployment: str) -> None:
        """Delete a deployment, and wait until it is gone."""

    def delete(self, name: str) -> None:
        """Delete an endpoint with its deployments, and wait until it is gone."""


class Workspace(Protocol):
    """An open workspace.

    Every method asks the service, returns within a deadline, and may raise any exception of the
    SDK. The caller turns it into a sentence with :func:`failures.step`. What a method creates, it
    notes with :func:`state.note_created` before it can be lost.

    Attributes
    ----------
    info : dict of str
        ``name``, ``resource_group``, ``subscription_id`` and ``location``.
    package : str
        The package of the SDK.
    unused_packages : tuple of str
        The packages of the conda file that a run of this SDK does not get.
    removal : dict of str
        How cleaning up removes each kind of thing in the ledger, in this order: ``delete`` or
        ``archive``.
    kept : dict of str
        Why cleaning up keeps things of the other kinds, by kind.
    endpoints : Endpoints or None
        None with SDK v1, which knows no online endpoints.
    """

    info: dict[str, str]
    package: str
    unused_packages: tuple[str, ...]
    removal: dict[str, str]
    kept: dict[str, str]
    endpoints: Endpoints | None

    # ---- Runs

    def find_run(self, run_id: str) -> Run | None:
        """Return the run, or None if there is none of this id."""

    def submit(self, submission: Submission) -> Run:
        """Submit a run and return it. A second run of the same id is never submitted."""

    def progress(self, run_id: str, seconds: float) -> Progress:
        """Return the run's status and logs, within a time."""

    def cancel(self, run_id: str) -> None:
        """Cancel a run that has not ended."""

    def tag(self, run_id: str, name: str, value: str) -> None:
        """Give a run a tag."""

    def files(self, run_id: str) -> list[str]:
        """Return the paths of the run's files, such as outputs/sweep.json."""

    def download(self, run_id: str, name: str, target: Path) -> None:
        """Download one of the run's files."""

    def runs(self, experiment: str) -> list[Run]:
        """Return the runs of an experiment."""

    # ---- What a run needs

    def find_cluster(self, name: str) -> Cluster | None:
        """Return the compute target of this name, or None."""

    def create_cluster(self, settings: dict) -> None:
        """Create the cluster and wait until it is ready. Delete it again if that fails.

        ``settings`` is the configuration's section azureml.compute.
        """

    def register_data(self, folder: Path, sha256: str, name: str) -> object:
        """Return the registered arrays. They are uploaded and registered once for their content.

        ``sha256`` is the checksum of the four arrays in ``folder``, and ``name`` is the data's name
        in the workspace.
        """

    def register_environment(self, file: Path, name: str) -> object:
        """Return the registered environment of a conda file, registered once for its content."""

    # ---- Models, and deletion

    def models(self, name: str) -> list[ModelVersion]:
        """Return the versions of a model that are not deleted or archived."""

    def register_model(
        self,
        name: str,
        run_id: str,
        path: str,
        tags: dict[str, str],
        properties: dict[str, str],
    ) -> ModelVersion:
        """Register one of a run's files as a new version of a model."""

    def download_model(self, version: ModelVersion, folder: Path) -> Path:
        """Download the file of a registered version into a folder, and return its path."""

    def delete(self, kind: str, name: str, created: dict[str, list[str]]) -> None:
        """Delete or archive something in the ledger, if it still exists.

        ``created`` has the names of everything that the ledger lists, by kind.
        """


def open_workspace(azureml: dict) -> Workspace:
    """Open the configured workspace with the configured SDK, or with the one that is installed.

    Parameters
    ----------
    azureml : dict
        The configuration's section azureml.

    Raises
    ------
    UnavailableError
        If no workspace is configured, or the SDK is not installed.
    CloudError
        If the workspace cannot be opened.
    """
    config, sdk = available_workspace(Path.cwd(), azureml["workspace_config"], azureml["sdk"])
    # An SDK takes seconds to import.
    if sdk == "v2":
        from image_workflow.backends.azureml.v2.workspace import connect
    else:
        from image_workflow.backends.azureml.v1.workspace import connect
    workspace = connect(config, azureml["auth"], azureml["connect_seconds"])
    info = workspace.info
    log.info(
        "workspace %s in %s, resource group %s, %s %s",
        *(info["name"], info["location"], info["resource_group"]),
        *(workspace.package, importlib.metadata.version(workspace.package)),
    )
    return workspace
