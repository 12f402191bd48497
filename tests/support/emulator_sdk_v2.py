"""Functions for client processes with SDK v2."""

from __future__ import annotations

import contextlib
import io
import os
import time

from emulator_process import control, write_source

#: The options that end a call in a few seconds when nobody answers.
TIMEOUTS = {
    "retry_total": 2,
    "retry_backoff_factor": 0.2,
    "connection_timeout": 3,
    "read_timeout": 3,
}


def open_client(**options):
    """Open the workspace as a service principal."""
    from azure.ai.ml import MLClient
    from azure.identity import ClientSecretCredential

    names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
    values = [os.environ[f"AZURE_{name}"] for name in names]
    options = TIMEOUTS | options
    credential = ClientSecretCredential(*values, **options)
    return MLClient.from_config(credential, path=os.environ["AZUREML_EMULATOR_CONFIG"], **options)


def open_container(client, datastore="workspaceblobstore"):
    """Open a datastore's container with the storage library and a shared access signature."""
    from azure.storage.blob import ContainerClient, LinearRetry

    store = client.datastores.get(datastore, include_secrets=True)
    return ContainerClient(
        f"https://{store.account_name}.blob.core.windows.net",
        store.container_name,
        credential=store.credentials.sas_token,
        retry_policy=LinearRetry(backoff=0.2, retry_total=2, random_jitter_range=0),
    )


def register_data(client, name="arrays", version="1", content=b"small"):
    """Upload a file, and register its folder as a data asset."""
    from azure.ai.ml.entities import Data

    folder = f"data/{name}/{version}"
    open_container(client).upload_blob(f"{folder}/small.npy", content, overwrite=True)
    path = f"azureml://datastores/workspaceblobstore/paths/{folder}/"
    return client.data.create_or_update(
        Data(name=name, version=version, path=path, type="uri_folder")
    )


def register_environment(client, name="emulated", version="1", packages=("scikit-learn",)):
    """Register an environment over a conda file."""
    from azure.ai.ml.entities import Environment

    conda = {"name": name, "dependencies": ["python=3.11", {"pip": list(packages)}]}
    image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04"
    return client.environments.create_or_update(
        Environment(name=name, version=version, image=image, conda_file=conda)
    )


def build_job(client, name, *arguments, max_seconds=None, **options):
    """Return a command job with the script `emulator_script.py`, and register what it needs."""
    from azure.ai.ml import Input, command

    control("PUT", "computes/cpu-cluster")
    source = write_source()
    data, environment = register_data(client), register_environment(client)
    arguments = ["--data ${{inputs.data}}", "--rate ${{inputs.rate}}", *arguments]
    defaults = {
        "code": str(source),
        "command": " ".join(["python train.py", *arguments]),
        "environment": f"{environment.name}:{environment.version}",
        "compute": "cpu-cluster",
    }
    job = command(
        name=name,
        display_name=name,
        experiment_name="faults",
        inputs={
            "data": Input(type="uri_folder", path=data.id, mode="ro_mount"),
            "rate": 0.5,
        },
        environment_variables={"TEST_VARIABLE": "here"},
        **(defaults | options),
    )
    if max_seconds:
        job.set_limits(timeout=max_seconds)
    return job


def submit_job(client, name, *arguments, **options):
    """Submit such a job."""
    return client.jobs.create_or_update(build_job(client, name, *arguments, **options))


def wait_for_job(client, name, *statuses, seconds=30):
    """Poll a job until it has one of the statuses, and return all statuses that it had."""
    seen, deadline = [client.jobs.get(name).status], time.monotonic() + seconds
    while seen[-1] not in statuses:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
        status = client.jobs.get(name).status
        seen += [status] if status != seen[-1] else []
    return seen


def stream_job(client, name) -> str:
    """Follow a job to its end, and return what the SDK prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        client.jobs.stream(name)
    return output.getvalue()
