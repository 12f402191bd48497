"""Submit and read jobs, which the other modules call runs."""

import io
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.uploads import FOLDER
from image_workflow.backends.azureml.v2.assets import find
from image_workflow.backends.azureml.v2.storage import DATASTORE_PATH, Storage
from image_workflow.backends.azureml.workspace import Run, Submission
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json

log = logging.getLogger(__name__)

#: The folders of a run that have its logs.
LOG_FOLDERS = "user_logs/", "azureml-logs/"
#: Where the files of a run are, if the job does not say so.
RUN_FILES = "azureml://datastores/workspaceartifactstore/ExperimentRun/dcid.{}"
#: azureml_status looks at the newest jobs of the workspace only.
MAX_JOBS = 1000


def describe(job) -> Run:
    """Return the description of the SDK's job."""
    return Run(
        id=job.name,
        # JobStatus is a string whose text is not its value.
        status=getattr(job.status, "value", job.status),
        portal_url=job.studio_url,
        experiment=job.experiment_name,
        tags=dict(job.tags or {}),
    )


def submit(client, storage: Storage, submission: Submission, workspace_info: dict):
    """Submit the training script and return the SDK's job.

    The job's name is ours, so the service refuses a second job even if its answer to the first
    submission was lost.
    """
    from azure.ai.ml import Input, command

    script = ["python", submission.script, "--data-folder"]
    job = command(
        name=submission.run_id,
        experiment_name=submission.experiment,
        code=upload_code(storage, submission.source, workspace_info),
        command=f"{shlex.join(script)} ${{{{inputs.arrays}}}} {shlex.join(submission.arguments)}",
        inputs={"arrays": Input(type="uri_folder", path=submission.data, mode="ro_mount")},
        environment=submission.environment,
        compute=submission.cluster,
        tags=submission.tags,
    )
    job.set_limits(timeout=submission.limit_seconds)
    try:
        with no_git_facts():
            return client.jobs.create_or_update(job)
    except Exception as error:
        found = find(client.jobs, submission.run_id)
        if found is None:
            raise
        log.info("run %s is there already (%s)", found.name, failures.describe(error))
        return found


def upload_code(storage: Storage, source: Path, workspace_info: dict) -> str:
    """Send a folder with a script to a path with its checksum, and return the address."""
    files = {
        path.relative_to(source).as_posix(): path
        for path in sorted(source.rglob("*"))
        if path.is_file()
    }
    digest = sha256_of_json({name: sha256_of_file(path) for name, path in files.items()})
    path = f"{FOLDER}/code/{digest}"
    datastore = storage.default_datastore()
    storage.upload(files, datastore, path, workspace_info)
    return f"{storage.container(datastore).url.partition('?')[0]}/{path}"


@contextmanager
def no_git_facts() -> Iterator[None]:
    """Hide the current folder's git repository, whose remote the SDK sends with each job."""
    names = [name for name in os.environ if name.startswith("AZUREML_GIT_")]
    before = {name: os.environ.get(name) for name in ("GIT_DIR", *names)}
    for name in names:
        del os.environ[name]
    os.environ["GIT_DIR"] = os.devnull
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def place(job) -> tuple[str, str]:
    """Return the datastore and the path of a job's files."""
    output = (job.outputs or {}).get("default")
    address = getattr(output, "path", None) or RUN_FILES.format(job.name)
    found = DATASTORE_PATH.match(address)
    return found["datastore"], found["path"].strip("/")


def read_logs(container, path: str, known: dict[str, bytes]) -> None:
    """Read what was added to a job's logs.

    Parameters
    ----------
    container : azure.storage.blob.ContainerClient
    path : str
        The path of the job's files.
    known : dict of bytes
        The logs by their paths below ``path``. They are added to.
    """
    for folder in LOG_FOLDERS:
        for blob in container.list_blobs(name_starts_with=f"{path}/{folder}"):
            name = blob.name.removeprefix(f"{path}/")
            text = known.setdefault(name, b"")
            if blob.size > len(text):
                known[name] += container.download_blob(blob.name, offset=len(text)).readall()


def error_of(client, run_id: str) -> str:
    """Return the service's message on a job that failed.

    It is in the exception that streaming the job's log ends with, and nowhere else.
    """
    from azure.ai.ml.exceptions import JobException

    try:
        with redirect_stdout(io.StringIO()):
            client.jobs.stream(run_id)
    except JobException as error:
        return str(error)
    except Exception as error:
        return f"its cause cannot be read: {failures.describe(error)}"
    return ""
