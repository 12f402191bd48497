"""Where a model is trained and registered, other than on this machine.

A backend is one module here with a class that has the four verbs of :class:`Backend`; nothing else
in the workflow knows a cloud's names. ``azureml`` is Azure Machine Learning through its SDK v1.
Local training needs no backend: it is train.py, and its registry is register.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Job:
    """What is to be trained: all that decides the model.

    Attributes
    ----------
    script : pathlib.Path
        train.py; it and the modules of ours that it imports are sent.
    arguments : list of str
        Its arguments, without the data folder.
    data_folder : pathlib.Path
        Has {train,test}-{images,labels}.npy.
    data_sha256 : str
        The checksum of the arrays' IDX payloads.
    environment : pathlib.Path
        The conda environment file with the pins.
    fingerprint : str
        See :mod:`backends.fingerprint`; equal fingerprints mean equal models.
    """

    script: Path
    arguments: list[str]
    data_folder: Path
    data_sha256: str
    environment: Path
    fingerprint: str


class Backend(Protocol):
    """Trains a job elsewhere. A verb may be interrupted and called again: nothing is done twice."""

    def submit(self, job: Job) -> str:
        """Return the id of the job's run: the one that there is, or else a new one."""

    def wait(self, run_id: str) -> None:
        """Return when the run has completed; raise UserError if it ended otherwise."""

    def collect(self, run_id: str, model: Path) -> dict:
        """Write the run's model, beside it the sweep.json of a run that compared rates.

        Return what training.json says of the run.
        """

    def register(self, training: dict, name: str, tags: dict, properties: dict) -> dict:
        """Register the run's model once, and return what the receipt says of the version."""
