"""The trainer of the backend local: train on this machine."""

import platform
from pathlib import Path

from image_workflow.backends.interface import Job
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.pins import installed_version, pinned_versions
from image_workflow.lineage.results import Training


class LocalTrainer:
    """This machine, as a :class:`image_workflow.backends.interface.Trainer`."""

    def train(self, job: Job, reason: str) -> Training:
        """Train in this process, see :func:`image_workflow.models.training.train`."""
        # scikit-learn takes a second to import. Training in the cloud does not need it here.
        from image_workflow.lineage.machine import machine
        from image_workflow.models.training import train

        versions = installed_versions(job.environment)
        deterministic = train(
            job.data_folder,
            job.settings,
            job.threads,
            job.model,
            job.candidates,
            job.program,
            # The default needs no other package than those that are always compared.
            versions if job.settings.is_own else None,
        )
        return Training(
            backend="local",
            backend_reason=reason,
            model_sha256=sha256_of_file(job.model),
            machine=machine(),
            deterministic=deterministic,
            arguments=job.settings.arguments(),
            environment=versions,
        )


def installed_versions(environment: Path) -> dict[str, str]:
    """Return the installed versions of Python and of the packages that the file pins."""
    found = {package: installed_version(package) for package in pinned_versions(environment)}
    found["python"] = platform.python_version()
    return {package: version for package, version in found.items() if version}
