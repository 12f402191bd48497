"""Copy the workflow to a temporary folder, and run Snakemake there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake_server import run_snakemake

TOP = Path(__file__).parents[2]
# The workflow to test. Name an older version to check that a test finds its faults.
CODE = Path(os.environ.get("WORKFLOW_UNDER_TEST", TOP))
# The environment of a machine where no virtual environment is activated.
ENVIRONMENT = {**os.environ, "PATH": os.defpath}


class Checkout:
    """A folder with a copy of the workflow, including changes that are not committed."""

    def __init__(self, path: Path):
        self.path = path
        #: More environment variables for snakemake and its jobs.
        self.environment: dict[str, str] = {}

    @classmethod
    def fresh(cls, path: Path) -> "Checkout":
        """Return a checkout without data, results or registry."""
        path.mkdir(parents=True, exist_ok=True)
        shutil.copy(CODE / "Snakefile", path)
        for folder in ("workflow", "config", "profiles"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(CODE / folder, path / folder, ignore=ignored)
        return cls(path)

    def copied(self, path: Path) -> "Checkout":
        """Return a copy of this checkout, including its results and their time stamps."""
        shutil.copytree(self.path, path, dirs_exist_ok=True)
        if (database := path / "registry/mlflow.db").exists():
            # As the next registration would: a copied registry is a reason to register.
            # Imported here, because the demo of the cloud cannot import the workflow's package.
            from image_workflow.backends.sqlite_registry import update_locations

            update_locations(database)
        return Checkout(path)

    def start(self, *arguments: str, **config) -> subprocess.Popen:
        """Start snakemake as the leader of a process group of its own."""
        return subprocess.Popen(
            command(*arguments, **config),
            cwd=self.path,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def snakemake(self, *arguments: str, **config) -> subprocess.CompletedProcess:
        """Run snakemake to its end; ``config`` becomes ``--config key=value ...``.

        It leads a process group of its own. All processes of the group have ended on return.
        """
        environment = ENVIRONMENT | self.environment
        return run_snakemake(cli_arguments(*arguments, **config), self.path, environment)

    def snakemake_with_patch(
        self, patch: str, *arguments: str, **config
    ) -> subprocess.CompletedProcess:
        """Run snakemake to its end, with Python code that it and its jobs run at their start."""
        # A process of its own, because Python imports sitecustomize at its start.
        (self.path / "sitecustomize.py").write_text(patch)
        return subprocess.run(
            command(*arguments, **config),
            cwd=self.path,
            env=ENVIRONMENT | {"PYTHONPATH": str(self.path)},
            capture_output=True,
            text=True,
        )

    def finish(self, *arguments: str, **config) -> subprocess.CompletedProcess:
        """Run snakemake and assert that it succeeds."""
        ended = self.snakemake(*arguments, **config)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def planned(self, *arguments: str, **config) -> dict[str, int]:
        """Return the number of jobs of each rule in a dry run, without the rule ``all``."""
        said = self.finish("-n", *arguments, **config).stdout
        if "Nothing to be done" in said:
            return {}
        statistics = said.split("Job stats:")[1].split("\n\n")[0]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", statistics, re.M))
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "total")}

    def planned_jobs(self, *arguments: str, **config) -> set[str]:
        """Return the jobs of a dry run. A job has the name of its record, such as parse_test."""
        return planned_jobs(self.finish("-n", "-p", *arguments, **config).stdout)

    def receipt(self) -> dict:
        """Return the content of registered.json."""
        return json.loads((self.path / "results/registered.json").read_text(encoding="utf-8"))


def planned_jobs(said: str) -> set[str]:
    """Return the jobs in what a dry run with -p printed."""
    return set(re.findall(r" --record results/records/(\w+)\.json ", said))


def command(*arguments: str, **config) -> list[str]:
    """Return a snakemake command line."""
    return [sys.executable, "-m", "snakemake", *cli_arguments(*arguments, **config)]


def cli_arguments(*arguments: str, **config) -> list[str]:
    """Return the arguments of snakemake, with ``config`` as ``--config key=value ...``."""
    values = [f"{key}={value}" for key, value in config.items()]
    return [*arguments, *(["--config", *values] if values else [])]
