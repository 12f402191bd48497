"""Load a registered version, if its files are those that were registered."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion

from image_workflow.backends.mlflow.checking import location_of
from image_workflow.backends.mlflow.errors import store_errors
from image_workflow.backends.mlflow.stored import copy_of, files_sha256
from image_workflow.backends.mlflow.unfinished import is_unfinished
from image_workflow.backends.sqlite_registry import ARTIFACT_TAG, database_path
from image_workflow.errors import UserError, nearest
from image_workflow.imports import make_importable
from image_workflow.inference.classifier import ImageClassifier
from image_workflow.inference.model_input import INPUT_FILE
from image_workflow.models.loading import missing_module

REFERENCE = re.compile(r"(?P<name>[^/@']+)(/(?P<version>\d+)|/?@(?P<alias>[^/@]+))?")


class NotRegistered(UserError):
    """A version that the registry does not have."""


@contextmanager
def registered_classifier(reference: str, registry_uri: str) -> Iterator[ImageClassifier]:
    """Yield the classifier of a registered version.

    A version of the user's own estimator imports modules from a temporary copy of its files while
    it predicts. The copy is deleted at the end.

    Parameters
    ----------
    reference, registry_uri : str
        See :func:`registered_files`, and the errors there.
    """
    with registered_files(reference, registry_uri) as (title, files):
        make_importable(files / "code")
        try:
            classifier = ImageClassifier.load(files)
        except (ImportError, AttributeError) as error:
            raise missing_module(title, error) from error
        yield classifier


@contextmanager
def registered_files(
    reference: str, registry_uri: str, artifact_sha256: str | None = None
) -> Iterator[tuple[str, Path]]:
    """Yield the title of a registered version, and a temporary copy of its files.

    Parameters
    ----------
    reference : str
        ``NAME``, ``NAME/VERSION`` or ``NAME@ALIAS``. A name stands for its newest version.
    registry_uri : str
        The MLflow store.
    artifact_sha256 : str, optional
        The digest of the files. By default it is that of the version's tag.

    Raises
    ------
    NotRegistered
        If there is no such version.
    UserError
        If its files are not those that were registered. They are not loaded then.
    """
    database = database_path(registry_uri)
    if database and not database.exists():
        raise NotRegistered(
            f"the registry {registry_uri} does not exist. Run snakemake results/registered.json to "
            "register the model, or name another registry with --registry-uri."
        )
    mlflow.set_tracking_uri(registry_uri)
    with ExitStack() as stack:
        with store_errors(registry_uri):
            version = find_version(reference, registry_uri)
            files = stack.enter_context(copy_of(location_of(version)))
            found = files_sha256(files)
        title = f"version {version.version} of {version.name}"
        expected = artifact_sha256 or version.tags.get(ARTIFACT_TAG)
        if expected is None:
            raise UserError(
                f"{title} is not loaded, because it was not registered by this workflow: it has no "
                f"tag {ARTIFACT_TAG}. Choose another version, or leave out --registered."
            )
        if found != expected:
            raise UserError(
                f"{title} is not loaded, because its files are not those that were registered: "
                f"expected {ARTIFACT_TAG} {expected}, found {found or 'no files'}. Run snakemake "
                "verify, or choose another version."
            )
        if not (files / INPUT_FILE).exists():
            raise UserError(
                f"{title} does not describe its input, because an earlier version of this workflow "
                "registered it. Run snakemake results/registered.json to register the model anew, "
                "or leave out --registered."
            )
        yield title, files


def find_version(reference: str, registry_uri: str) -> ModelVersion:
    """Return the version that a reference names, or raise NotRegistered."""
    named = REFERENCE.fullmatch(reference)
    if not named:
        raise NotRegistered(
            f"{reference!r} names no version. Write NAME, NAME/VERSION or NAME@ALIAS, such as "
            "sklearn_mnist/1."
        )
    client, name = mlflow.MlflowClient(), named["name"]
    versions = {
        int(found.version): found
        for found in client.search_model_versions(f"name = '{name}'")
        # Its registration may still be undone.
        if not is_unfinished(found)
    }
    if not versions:
        models = [found.name for found in client.search_registered_models()]
        raise NotRegistered(
            f"there is no model {name} in {registry_uri}: "
            + (nearest(name, models) if models else "it has no models.")
        )
    if named["version"]:
        known = {str(number): number for number in versions}
        wanted = str(int(named["version"]))
    elif named["alias"]:
        known = client.get_registered_model(name).aliases
        wanted = named["alias"]
    else:
        return versions[max(versions)]
    if wanted not in known:
        kind = "version" if named["version"] else "alias"
        allowed = ", ".join(sorted(known)) or "none"
        raise NotRegistered(f"{name} has no {kind} {wanted} in {registry_uri}. It has: {allowed}.")
    return versions[int(known[wanted])]
