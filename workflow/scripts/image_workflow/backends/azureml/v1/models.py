"""List the versions of a model."""

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


def describe(model) -> ModelVersion:
    """Return the description of the SDK's model."""
    return ModelVersion(
        name=model.name,
        version=int(model.version),
        run_id=model.run_id,
        tags=model.tags,
        properties=model.properties,
    )
