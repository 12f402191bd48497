"""A copy of the workflow in a temporary folder, and Snakemake run in it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[1]
# The workflow under test; another version of it, to see that a test finds a fault that it had.
CODE = Path(os.environ.get("WORKFLOW_UNDER_TEST", TOP))
# As on a machine where no environment is activated.
ENVIRONMENT = {**os.environ, "PATH": os.defpath}


class Checkout:
    """A folder with the workflow as it stands in the working tree, not as it was committed."""

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
        """Return a copy of this checkout with all that its runs made, time stamps included."""
        shutil.copytree(self.path, path, dirs_exist_ok=True)
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

        It leads a process group of its own, of which nothing is left when this returns.
        """
        process = subprocess.Popen(
            command(*arguments, **config),
            cwd=self.path,
            env=ENVIRONMENT | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # Jobs write to the same pipes: they are at their ends when no job is left.
        said = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, *said)

    def finish(self, *arguments: str, **config) -> subprocess.CompletedProcess:
        """Run snakemake, which has to succeed."""
        ended = self.snakemake(*arguments, **config)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended

    def planned(self, *arguments: str, **config) -> dict[str, int]:
        """Return how many jobs of each rule a dry run says it would run, ``all`` left out."""
        said = self.finish("-n", *arguments, **config).stdout
        if "Nothing to be done" in said:
            return {}
        statistics = said.split("Job stats:")[1].split("\n\n")[0]
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", statistics, re.M))
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("all", "total")}

    def receipt(self) -> dict:
        """Return the content of registered.json."""
        return json.loads((self.path / "results/registered.json").read_text(encoding="utf-8"))


def command(*arguments: str, **config) -> list[str]:
    """Return a snakemake command line."""
    values = [f"{key}={value}" for key, value in config.items()]
    overrides = ["--config", *values] if values else []
    return [sys.executable, "-m", "snakemake", *arguments, *overrides]
