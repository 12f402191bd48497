"""Run the workflow with the profile for Slurm, for the tests in tests/slurm."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from checkout import ENVIRONMENT, TOP, Checkout
from slurm import Cluster, wait_until

PYTHON = TOP / ".venv-slurm/bin/python"
#: The test cluster has no accounting, and its jobs are short.
OPTIONS = ["--profile", "profiles/slurm", "--slurm-status-command", "squeue"]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "2"]
CLUSTER = Cluster.current()
ARRAYS = [
    f"results/arrays/{part}-{kind}.npy"
    for part in ("train", "test")
    for kind in ("images", "labels")
]

needs_client = pytest.mark.skipif(
    not PYTHON.exists(), reason="the executor for Slurm is not installed (make setup-slurm)"
)
needs_cluster = pytest.mark.skipif(
    not (PYTHON.exists() and CLUSTER and CLUSTER.pid("slurmctld")),
    reason="no cluster is running (make test-slurm starts one)",
)


class Client:
    """A Snakemake that sends the jobs of a checkout to the cluster."""

    def __init__(self, checkout: Checkout, *arguments: str, cwd: Path | None = None, **config):
        self.path = checkout.path
        self.output = self.path / "client.txt"
        values = [f"{key}={value}" for key, value in config.items()]
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "snakemake", *OPTIONS, *arguments]
                + (["--config", *values] if values else []),
                cwd=cwd or self.path,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        """Return what the client has printed until now."""
        return self.output.read_text()

    def wait(self, seconds: float = 540) -> int:
        """Wait until the client has ended, and return its exit code."""
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the client at once. Its jobs go on."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def succeed(self) -> str:
        """Wait for the client, assert that it succeeds, and return its output."""
        assert self.wait() == 0, self.said()
        return self.said()

    def fail(self) -> str:
        """Wait for the client, assert that it fails, and return its output."""
        assert self.wait() == 1, self.said()
        return self.said()

    def jobs(self, rule: str | None = None) -> list[dict[str, str]]:
        """Return the jobs that were submitted in this folder, or those of a rule."""
        jobs = CLUSTER.jobs(self.path)
        return [job for job in jobs if rule is None or job["rule"].startswith(f"rule_{rule}")]

    def wait_for(self, name: str, seconds: float = 90) -> None:
        """Wait until a file exists in this folder."""
        wait_until((self.path / name).exists, f"{name} exists; {self.said()}", seconds)


def planned(checkout: Checkout, *targets: str, **config) -> dict[str, int]:
    """Return the number of jobs of each rule in a dry run with the profile."""
    client = Client(checkout, "-n", *targets, **config)
    said = client.succeed()
    if "Nothing to be done" in said:
        return {}
    rows = said.split("Job stats:")[1].split("\n\n")[0].split("\n")[3:]
    return {
        row.split()[0]: int(row.split()[1]) for row in rows if row[:5] not in ("all  ", "total")
    }


def write_estimator(checkout: Checkout, fit: str) -> str:
    """Write a file with an estimator that runs code before it fits; return its setting."""
    lines = "\n".join(f"        {line}" for line in fit.splitlines())
    (checkout.path / "mine.py").write_text(
        f"""import os, time
from pathlib import Path

from sklearn.linear_model import RidgeClassifier


class Mine(RidgeClassifier):
    def fit(self, X, y):
        if len(X) < 200:  # a check, or a test of whether it is deterministic
            return super().fit(X, y)
{lines}
        return super().fit(X, y)


def make(alpha=1.0):
    return Mine(alpha=alpha)
"""
    )
    return "mine.py:make"


def unfinished_files(path: Path) -> list[str]:
    """Return the temporary files that a program left in the results."""
    return [str(file) for file in (path / "results").rglob("*.part")]
