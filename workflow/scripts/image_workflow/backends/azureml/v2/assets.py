"""Find something in the workspace, or archive it."""

#: How many digits of a checksum are the version of a data asset or an environment.
VERSION_LENGTH = 24


def find(collection, *names: str):
    """Return something by its name, or by its name and version, or None.

    Parameters
    ----------
    collection
        An attribute of MLClient, such as jobs, compute or data.
    *names : str
    """
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return collection.get(*names)
    except ResourceNotFoundError:
        return None


def archive(collection, name: str, version: str) -> None:
    """Archive a version of a model, data asset or environment, if it exists."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        collection.archive(name, version)
    except ResourceNotFoundError:
        return
