"""The JSON files among the results, as types.

Each class is one file in results/, or the part of the receipt that a registry supplies, and
workflow/schemas/ has a JSON Schema for each file.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from image_workflow.errors import UserError
from image_workflow.files import write_json

#: The version of the receipt's schema. Raise it when a key changes its meaning or goes away.
RECEIPT_SCHEMA = 1


class Result:
    """A dataclass that is stored as a JSON file, with one key for each field."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the content of a file.

        Raises
        ------
        UserError
            If the file does not have this class's keys.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(
                f"{path} is damaged, or another version of this workflow wrote it. Delete it and "
                "run again."
            ) from None

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        return cls(**content)

    def write(self, path: Path) -> None:
        """Write the file."""
        write_json(path, asdict(self))


@dataclass(frozen=True)
class Candidate:
    """The score of one regularization rate.

    Attributes
    ----------
    regularization_rate : float
    train_accuracy : float
        On the images that the candidate was fitted on.
    validation_accuracy : float
        On the images that were held out.
    """

    regularization_rate: float
    train_accuracy: float
    validation_accuracy: float


@dataclass(frozen=True)
class Sweep(Result):
    """sweep.json: the comparison of regularization rates.

    Attributes
    ----------
    regularization_rate : float
        The chosen rate.
    n_train, n_validation : int
        How many images the candidates were fitted on, and how many were held out.
    candidates : list of Candidate
        Empty if a single rate was given, because nothing was compared then.
    """

    regularization_rate: float
    n_train: int
    n_validation: int
    candidates: list[Candidate]

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        candidates = [Candidate(**candidate) for candidate in content["candidates"]]
        return cls(**content | {"candidates": candidates})


@dataclass(frozen=True)
class Metrics(Result):
    """metrics.json: the model on the test set.

    Attributes
    ----------
    accuracy : float
    regularization_rate : float
    n_train, n_test : int
        How many images the model was trained on and measured on.
    classes : list of int
    per_class : list of dict
        For each class: ``class``, ``precision``, ``recall``, ``f1`` and ``support``.
    confusion_matrix : list of list of int
        One row for each true class and one column for each predicted class, in the order of
        ``classes``.
    """

    accuracy: float
    regularization_rate: float
    n_train: int
    n_test: int
    classes: list[int]
    per_class: list[dict]
    confusion_matrix: list[list[int]]

    def summary(self) -> dict[str, float]:
        """Return the numbers that the registry and the receipt show."""
        names = "accuracy", "regularization_rate", "n_train", "n_test"
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """training.json: where, why and with which versions the model was trained.

    Attributes
    ----------
    backend : {"local", "azureml"}
    backend_reason : str
        Why this backend was chosen.
    run_id, portal_url, experiment : str or None
        The run in Azure ML, its web page and its experiment; None for training on this machine.
    workspace : dict or None
        ``name``, ``resource_group``, ``subscription_id`` and ``location``; None for training on
        this machine.
    cluster : dict or None
        The ``name`` of the cluster that ran the training, and whether this workflow ``created`` it;
        None for training on this machine.
    metrics : dict or None
        The metrics that the run in Azure ML logged.
    model_sha256 : str
    machine : dict or None
        See :func:`image_workflow.lineage.machine.machine`; None if a run did not report it.
    fingerprint : str or None
        The digest of everything that decides the model; None for training on this machine.
    arguments : list of str
        The arguments that decide the model, as fit.py takes them.
    environment : dict of str
        The versions of Python and of the pinned packages.
    """

    backend: str
    backend_reason: str
    run_id: str | None = None
    portal_url: str | None = None
    experiment: str | None = None
    workspace: dict | None = None
    cluster: dict | None = None
    metrics: dict | None = None
    model_sha256: str
    machine: dict | None
    fingerprint: str | None = None
    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class Version:
    """A registered model version, the part of the receipt that the registry supplies.

    Attributes
    ----------
    name : str
    version : int
    id : str or None
        The registry's own identifier; MLflow has none.
    registry : {"local", "azureml"}
    registry_uri : str
    run_id : str
        The run that the model belongs to.
    """

    name: str
    version: int
    id: str | None
    registry: str
    registry_uri: str
    run_id: str


@dataclass(frozen=True)
class Receipt(Result):
    """registered.json: the model version, and everything that it was made from."""

    schema_version: int
    name: str
    version: int
    id: str | None
    registry: str
    registry_uri: str
    backend: str
    backend_reason: str
    workspace: dict | None
    cluster: dict | None
    run_id: str
    portal_url: str | None
    metrics: dict
    sweep: Sweep | None
    parameters: dict[str, str]
    sha256: dict[str, str]
    idx_sha256: dict[str, str]
    environment: dict[str, str]
    machine: dict | None
    git: dict

    @classmethod
    def of(
        cls,
        version: Version,
        training: Training,
        metrics: Metrics,
        sweep: Sweep,
        parameters: dict[str, str],
        sha256: dict[str, str],
        idx_sha256: dict[str, str],
        git: dict,
    ) -> Self:
        """Combine the results into a receipt.

        Parameters
        ----------
        parameters : dict of str
            The settings of the training, as text.
        sha256 : dict of str
            The checksums of ``model``, ``data`` and ``code``.
        idx_sha256 : dict of str
            The checksums of the four IDX files, as in config/datasets.yaml.
        git : dict
            See :func:`image_workflow.lineage.git.git_state`.
        """
        return cls(
            schema_version=RECEIPT_SCHEMA,
            **asdict(version),
            backend=training.backend,
            backend_reason=training.backend_reason,
            workspace=training.workspace,
            cluster=training.cluster,
            portal_url=training.portal_url,
            metrics=metrics.summary(),
            sweep=sweep if sweep.candidates else None,
            parameters=parameters,
            sha256=sha256,
            idx_sha256=idx_sha256,
            environment=training.environment,
            machine=training.machine,
            git=git,
        )
