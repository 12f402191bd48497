"""The interface of the backends: a trainer and a registry.

``local`` trains with ``local.LocalTrainer`` and registers with ``mlflow.registry.MlflowRegistry``.
They are separate, so that an edit of the registry trains nothing. ``azureml`` does both with
``azureml.backend.AzureML``.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import code_digests
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import DataSet, Metrics, Receipt, Training, Version
from image_workflow.models.settings import TrainingSettings


@dataclass(frozen=True)
class Job:
    """A training to do.

    Attributes
    ----------
    program : pathlib.Path
        The training script, fit.py.
    settings : TrainingSettings
    data_folder : pathlib.Path
        Has {train,test}-{images,labels}.npy.
    environment : pathlib.Path
        The conda environment file with the pinned packages.
    model : pathlib.Path
        The file to write the model to; sweep.json is written beside it.
    candidates : pathlib.Path
        A folder that keeps the score of each candidate, if training runs on this machine.
    threads : int
        How many threads to use, if training runs on this machine.
    """

    program: Path
    settings: TrainingSettings
    data_folder: Path
    environment: Path
    model: Path
    candidates: Path
    threads: int

    @cached_property
    def data_sha256(self) -> str:
        """The checksum of the four arrays."""
        # NumPy takes longer to import than it takes to find out that there is no workspace.
        from image_workflow.data.arrays import load_arrays
        from image_workflow.data.idx import payload_sha256

        return payload_sha256(*load_arrays(self.data_folder).values())

    @cached_property
    def fingerprint(self) -> str:
        """The digest of everything that decides the model: equal fingerprints mean equal models."""
        return sha256_of_json(
            {
                "data": self.data_sha256,
                "code": code_digests(self.program),
                "estimator": self.settings.estimator_digests(),
                "arguments": self.settings.arguments(),
                "pins": pinned_versions(self.environment),
            }
        )


class Validation(NamedTuple):
    """How well the chosen candidate did on the images that were held out.

    Attributes
    ----------
    accuracy : float
    images : str
        A digest of everything that decides which images were held out. Accuracies can be compared
        only if it is the same.
    """

    accuracy: float
    images: str


@dataclass(frozen=True)
class Registration:
    """A model to register, with everything that the registry shows of it.

    Attributes
    ----------
    name : str
        The registered model's name.
    model : pathlib.Path
        The model's file.
    training : Training
    metrics : Metrics
    data_set : DataSet
    parameters : dict of str
        The settings of the training. ``estimator`` is among them.
    sha256 : dict of str
        The checksums of ``model``, ``data`` and ``code``, and of ``estimator_file`` with the
        modules that it imports, ``estimator``, if there is one.
    git : dict
        The ``commit`` of the code, and whether it was ``dirty``.
    artifacts : list of pathlib.Path
        Files to store with the model, such as its pictures.
    data_folder : pathlib.Path
        Has the arrays, a few of which are the example input.
    environment : pathlib.Path
        The conda environment file with the packages that the model needs.
    estimator_file : pathlib.Path or None
        The user's file with the estimator, which the model may need.
    validation : Validation or None
        None if each parameter had a single value, so that nothing was compared.
    promote : bool
        Whether the version becomes the champion if it is not worse than the present one.
    """

    name: str
    model: Path
    training: Training
    metrics: Metrics
    data_set: DataSet
    parameters: dict[str, str]
    sha256: dict[str, str]
    git: dict
    artifacts: list[Path]
    data_folder: Path
    environment: Path
    estimator_file: Path | None
    validation: Validation | None
    promote: bool


class Trainer(Protocol):
    """Trains a job. The call may be interrupted and repeated: nothing is trained twice."""

    def train(self, job: Job, reason: str) -> Training:
        """Train the job, write its model and sweep.json, and describe the training.

        ``reason`` is why this backend was chosen.
        """


class Check(NamedTuple):
    """A comparison of what the receipt says with what was found.

    Attributes
    ----------
    what : str
        What was compared, such as ``artifacts of version 1``.
    expected, found : str
        Checksums or other short texts.
    """

    what: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether the expected text was found."""
        return self.expected == self.found


class Registry(Protocol):
    """Registers a model. The call may be interrupted and repeated: nothing is registered twice."""

    def register(self, registration: Registration) -> Version:
        """Register the model once for its content, and return its version."""

    def check(self, receipt: Receipt) -> list[Check]:
        """Compare the registered version and its artifacts with the receipt; change nothing."""
