"""List, register and find the versions of a model."""

from image_workflow.backends.azureml.failures import CloudError
from image_workflow.backends.azureml.v2.storage import DATASTORE_PATH
from image_workflow.backends.azureml.workspace import ModelVersion


def versions(client, name: str) -> list[ModelVersion]:
    """Return the numbered versions of a model that are not archived."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        found = list(client.models.list(name))
    except ResourceNotFoundError:
        return []
    # Others may register a version under any text. Ours are numbers.
    return [describe(model) for model in found if model.version.isdecimal()]


def register(
    client, name: str, run_id: str, path: str, tags: dict[str, str], properties: dict[str, str]
) -> ModelVersion:
    """Register one of a run's files as a new version of a model."""
    from azure.ai.ml.entities import Model

    model = Model(
        name=name,
        path=f"azureml://jobs/{run_id}/outputs/artifacts/paths/{path}",
        type="custom_model",
        tags=tags,
        properties=properties,
    )
    return describe(client.models.create_or_update(model))


def place(client, version: ModelVersion) -> tuple[str, str]:
    """Return the datastore and the path of a version's file."""
    address = client.models.get(version.name, str(version.version)).path
    found = DATASTORE_PATH.fullmatch(address or "")
    if not found:
        raise CloudError(f"{version.id} is no file of a datastore, but {address}.")
    return found["datastore"], found["path"]


def describe(model) -> ModelVersion:
    """Return the description of the SDK's model."""
    return ModelVersion(
        name=model.name,
        version=int(model.version),
        run_id=getattr(model, "job_name", None),
        tags=dict(model.tags or {}),
        properties=dict(model.properties or {}),
    )
