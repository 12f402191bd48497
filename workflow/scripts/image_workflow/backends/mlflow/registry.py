"""Register a model in MLflow, once for its content, whoever else registers it at the same time."""

import logging
import warnings

import mlflow
from mlflow.entities.model_registry import ModelVersion

from image_workflow.backends.interface import Check, Registration
from image_workflow.backends.mlflow.checking import (
    Fault,
    check_version,
    find_fault,
    location_of,
    run_file_sha256,
)
from image_workflow.backends.mlflow.database import prepare_store, registration_lock
from image_workflow.backends.mlflow.errors import store_errors
from image_workflow.backends.mlflow.promotion import accuracy_tags, promote
from image_workflow.backends.mlflow.runs import experiment_id, find_or_log_model
from image_workflow.backends.mlflow.stored import copy_of, files_sha256
from image_workflow.backends.mlflow.texts import (
    MODEL_DESCRIPTION,
    SAME,
    content_tags,
    description,
    score_tags,
)
from image_workflow.backends.mlflow.unfinished import (
    TOKEN,
    delete,
    delete_run_if_unused,
    delete_unused_runs,
    end_registration,
    is_unfinished,
    registration_token,
)
from image_workflow.backends.settings import BackendSettings
from image_workflow.backends.sqlite_registry import ARTIFACT_TAG, database_path, update_locations
from image_workflow.lineage.results import Receipt, Version

log = logging.getLogger(__name__)


class MlflowRegistry:
    """An MLflow store, as a :class:`image_workflow.backends.interface.Registry`.

    Parameters
    ----------
    settings : BackendSettings
    """

    def __init__(self, settings: BackendSettings):
        self.uri, self.experiment = settings.registry_uri, settings.experiment

    def register(self, registration: Registration) -> Version:
        """Register the model, unless an intact version with the same content exists.

        Raises
        ------
        UserError
            If the store refuses, or cannot be reached.
        """
        self._open()
        with store_errors(self.uri), registration_lock(self.uri):
            prepare_store(self.uri)
            if database := database_path(self.uri):
                update_locations(database)
            with registration_token(self.uri) as (token, dead):
                return register_once(registration, self.experiment, token, dead)

    def check(self, receipt: Receipt) -> list[Check]:
        """Compare the registered version and its files with the receipt; change nothing."""
        database = database_path(self.uri)
        if database and not database.exists():
            return [Check(f"the registry {self.uri}", "exists", "missing")]
        self._open()
        with store_errors(self.uri):
            return check_version(receipt)

    def _open(self) -> None:
        mlflow.set_tracking_uri(self.uri)


def register_once(
    registration: Registration, experiment: str, token: str, dead: list[str]
) -> Version:
    """Return the version with the registration's content, after making it if there is none.

    A server has no lock, so two registrations at the same time can make a version each. Both list
    the versions afterwards, choose the same one, and delete the other. If one is killed before
    that, the next registration of the same model does it. Until then the version has the tag
    ``registration``, and no receipt names it.

    Parameters
    ----------
    registration : Registration
    experiment : str
        The experiment's name.
    token : str
        The value of that tag.
    dead : list of str
        The tokens of registrations that were killed.
    """
    faults: dict[str, Fault] = {}
    while True:
        versions = same_versions(registration)
        usable = [version for version in versions if version.version not in faults]
        chosen = choose(usable)
        if chosen is None:
            make_version(registration, experiment, token)
        elif chosen.tags.get(TOKEN) == token:
            break
        elif fault := find_fault(chosen):
            log.info("version %s of %s: %s", chosen.version, chosen.name, fault.text)
            faults[chosen.version] = fault
        else:
            log.info("this model is registered already")
            restore_run_files(chosen.run_id, registration)
            break
    lost = [found for found in versions if found.version in faults and faults[found.version].lost]
    unsettled = [found for found in usable if found != chosen and is_unfinished(found)]
    for version in (*lost, *unsettled):
        if replace_version(version, chosen):
            log.info("version %s replaces version %s", chosen.version, version.version)
        else:
            log.info(
                "version %s should be deleted, because version %s replaces it; you may not delete "
                "it, so ask the administrator of the server",
                *(version.version, chosen.version),
            )
    delete_unused_runs([token, *dead, *(version.tags[TOKEN] for version in unsettled)])
    return settle(chosen, registration)


def same_versions(registration: Registration) -> list[ModelVersion]:
    """Return the versions with the same model, data, input and estimator's code, oldest first.

    On another test set, the same model has other metrics. Another name of a class, or another
    preparation of pictures, leads to other answers. Another predict in the user's file leaves the
    bytes of the model as they are.
    """
    tags = content_tags(registration)
    criteria = f"name = '{registration.name}' and tag.model_sha256 = '{tags['model_sha256']}'"
    same = [
        version
        for version in mlflow.MlflowClient().search_model_versions(criteria)
        if all(version.tags.get(key) == tags.get(key) for key in SAME)
    ]
    return sorted(same, key=lambda version: int(version.version))


def choose(versions: list[ModelVersion]) -> ModelVersion | None:
    """Return the version that stays: the oldest one whose registration has ended, or the oldest.

    Each registration makes the same choice, because numbers only grow, and a version is settled
    only after it was chosen.
    """
    settled = [version for version in versions if not is_unfinished(version)]
    return next(iter(settled or versions), None)


def make_version(registration: Registration, experiment: str, token: str) -> None:
    """Log the model, unless a run has it, and register it."""
    model_uri, digest = find_or_log_model(experiment_id(experiment), registration, token)
    tags = score_tags(registration) | content_tags(registration)
    tags |= accuracy_tags(registration.validation) | {ARTIFACT_TAG: digest, TOKEN: token}
    mlflow.register_model(model_uri, registration.name, tags=tags)


def restore_run_files(run_id: str, registration: Registration) -> None:
    """Log the files of a run again if its copy of the model is missing or altered."""
    found = run_file_sha256(run_id, registration.model.name)
    if found != registration.sha256["model"]:
        log.info("run %s: its files are missing or altered; they are stored again", run_id)
        for path in registration.artifacts:
            mlflow.MlflowClient().log_artifact(run_id, str(path))


def replace_version(old: ModelVersion, new: ModelVersion) -> bool:
    """Give a version's aliases, stage, description and tags to another one, and delete it.

    Returns
    -------
    bool
        Whether this user may delete it.
    """
    client, number = mlflow.MlflowClient(), new.version
    for alias, version in client.get_registered_model(old.name).aliases.items():
        if int(version) == int(old.version):
            client.set_registered_model_alias(old.name, alias, number)
    if old.current_stage not in (None, "None"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # Stages are deprecated.
            client.transition_model_version_stage(old.name, number, old.current_stage)
    for key in old.tags.keys() - new.tags.keys() - {TOKEN}:
        client.set_model_version_tag(old.name, number, key, old.tags[key])
    if old.description and not new.description:
        client.update_model_version(old.name, number, old.description)
    if is_deleted := delete(client.delete_model_version, old.name, old.version):
        delete(delete_run_if_unused, old.run_id)
    return is_deleted


def settle(version: ModelVersion, registration: Registration) -> Version:
    """Describe the chosen version, and remove the tag of its registration."""
    client, name = mlflow.MlflowClient(), version.name
    digest = version.tags.get(ARTIFACT_TAG)
    if digest is None:
        with copy_of(location_of(version)) as files:
            digest = files_sha256(files)
        client.set_model_version_tag(name, version.version, ARTIFACT_TAG, digest)
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, MODEL_DESCRIPTION)
    if not client.get_model_version(name, version.version).description:
        client.update_model_version(name, version.version, description(registration))
    for key, accuracy in accuracy_tags(registration.validation).items():
        if version.tags.get(key) != accuracy:
            # The same model was registered without this comparison.
            client.set_model_version_tag(name, version.version, key, accuracy)
    if is_unfinished(version):
        end_registration(version)
    log.info("%s version %s", name, version.version)
    number = int(version.version)
    return Version(
        name=name,
        version=number,
        id=None,
        registry="local",
        registry_uri=mlflow.get_tracking_uri(),
        run_id=version.run_id,
        artifact_sha256=digest,
        promotion=promote(name, number, registration.validation) if registration.promote else None,
    )
