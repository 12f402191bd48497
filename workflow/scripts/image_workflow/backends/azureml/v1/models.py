"""List the versions of a model, and download one."""

from pathlib import Path

from image_workflow.backends.azureml.workspace import ModelVersion


def versions(workspace, name: str) -> list[ModelVersion]:
    """Return all versions of a model.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    name : str
    """
    from azureml.core import Model

    return [describe(model) for model in Model.list(workspace, name=name)]


def download(workspace, version: ModelVersion, folder: Path) -> Path:
    """Download the file of a version into a folder, and return its path."""
    from azureml.core import Model

    model = Model(workspace, name=version.name, version=version.version)
    return Path(model.download(str(folder), exist_ok=True))


def describe(model) -> ModelVersion:
    """Return the description of the SDK's model."""
    return ModelVersion(
        name=model.name,
        version=int(model.version),
        run_id=model.run_id,
        tags=model.tags,
        properties=model.properties,
    )
