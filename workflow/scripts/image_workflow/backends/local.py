"""The trainer of the backend local: train on this machine."""

import importlib.metadata
import platform
from pathlib import Path

from image_workflow.backends.interface import Job
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.pins import pinned_packages
from image_workflow.lineage.results import Training


class LocalTrainer:
    """This machine, as a :class:`image_workflow.backends.interface.Trainer`."""

    def train(self, job: Job, reason: str) -> Training:
        """Train in this process, see :func:`image_workflow.models.training.train`."""
        # scikit-learn takes a second to import. Training in the cloud does not need it here.
        from image_workflow.lineage.machine import machine
        from image_workflow.models.training import train

        train(job.data_folder, job.settings, job.threads, job.model, job.candidates, job.program)
        return Training(
            backend="local",
            backend_reason=reason,
            model_sha256=sha256_of_file(job.model),
            machine=machine(),
            arguments=job.settings.arguments(),
            environment=installed_versions(job.environment),
        )


def installed_versions(environment: Path) -> dict[str, str]:
    """Return the installed versions of Python and of the packages that the file pins."""
    versions = {"python": platform.python_version()}
    for package in pinned_packages(environment):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
