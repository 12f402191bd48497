"""Run a command that SDK v2 has submitted."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from ..messages import ServiceError
from .job import Job, copy_files
from .service import API

#: A reference in a command, such as `${{inputs.data}}`.
REFERENCE = re.compile(r"\$\{\{\s*(inputs|outputs)\.(\w+)\s*\}\}")

#: A time limit, such as PT10M, as the service writes durations.
DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?")


class CommandJob(Job):
    """Run a command with the shell. `python` is the emulator's interpreter.

    Parameters
    ----------
    emulator, run_id
        See `Job`.
    definition : dict
        The properties of the resource that the client sent.
    """

    def __init__(self, emulator, run_id: str, definition: dict):
        super().__init__(emulator, run_id)
        self.definition = definition
        self._values: dict[tuple[str, str], str] = {}
        self._check_references()

    @property
    def limit_seconds(self) -> float:
        """Return the time after which the service cancels the run."""
        text = (self.definition.get("limits") or {}).get("timeout")
        return _seconds(text) if text else float("inf")

    @property
    def target(self) -> str:
        """Return the name of the compute target."""
        return self.definition["computeId"].rpartition("/")[2]

    @property
    def named_outputs(self) -> list[str]:
        """Return the names of the outputs besides the folder outputs."""
        return [name for name in self.definition.get("outputs") or {} if name != "default"]

    def run_fields(self, experiment: str) -> dict:
        """Return the fields that the run history stores when a client submits the run."""
        scope = f"https://{API}/execution/v1.0{self.emulator.scope}/experiments/{experiment}"
        properties = {
            "_azureml.ComputeTargetType": "amlctrain",
            "_azureml.ClusterName": self.target,
        }
        name, _, version = (
            self.definition["environmentId"].rpartition("/environments/")[2].partition("/versions/")
        )
        # The keys that SDK v1 reads when it cancels the run.
        definition = {
            "command": self.definition["command"],
            "target": self.target,
            "environment": {"name": name, "version": version},
        }
        return {
            "status": "Starting",
            "runType": "azureml.scriptrun",
            "target": self.target,
            "displayName": self.definition.get("displayName") or self.run_id,
            "description": self.definition.get("description"),
            "runDefinition": definition,
            "cancelUri": f"{scope}/runId/{self.run_id}/cancel",
            "properties": properties | (self.definition.get("properties") or {}),
            "tags": dict(self.definition.get("tags") or {}),
            "inputDatasets": [],
            "hidden": bool(self.definition.get("isArchived")),
        }

    def copy_files(self) -> None:
        """Copy the code and the inputs. A copy emulates both a mount and a download."""
        if code := self.definition.get("codeId"):
            copy_files(self.emulator.code_assets.files(code), self.source_folder)
        for name, value in (self.definition.get("inputs") or {}).items():
            self._values["inputs", name] = self._copy_input(name, value)
        for name in self.named_outputs:
            self._output_folder(name).mkdir(parents=True)
            self._values["outputs", name] = str(self._output_folder(name))

    def command(self) -> list[str]:
        """Return the command line of the shell."""

        def resolve(reference: re.Match) -> str:
            return self._values[reference[1], reference[2]]

        return ["sh", "-c", REFERENCE.sub(resolve, self.definition["command"])]

    def variables(self) -> dict[str, str]:
        """Return the job's variables, and the path to the folder with the command `python`."""
        # A symbolic link would lose the packages of a virtual environment.
        folder = self.folder / "bin"
        folder.mkdir()
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(self.emulator.python)} "$@"\n')
        python.chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        tracking = {
            "MLFLOW_TRACKING_URI": f"azureml://{API}/mlflow/v1.0{self.emulator.scope}",
            "MLFLOW_TRACKING_TOKEN": self.emulator.entra.issue_token(self.run_id),
            "MLFLOW_RUN_ID": self.run_id,
        }
        return {"PATH": path} | tracking | (self.definition.get("environmentVariables") or {})

    def upload_outputs(self) -> None:
        """Upload the folder outputs as artifacts, and named outputs to the default datastore."""
        super().upload_outputs()
        account, container = self.emulator.datastores.container(self.emulator.datastores.default)
        for name in self.named_outputs:
            target = self.emulator.blobs.path(account, container, f"azureml/{self.run_id}/{name}")
            folder = self._output_folder(name)
            files = (path for path in folder.rglob("*") if path.is_file())
            copy_files({path.relative_to(folder).as_posix(): path for path in files}, target)

    def _copy_input(self, name: str, value: dict) -> str:
        if value["jobInputType"] == "literal":
            return str(value["value"])
        folder = self.folder / "inputs" / name
        files = self.emulator.data_assets.files(value["uri"])
        copy_files(files, folder)
        is_file = value["jobInputType"] == "uri_file"
        return str(folder / next(iter(files)) if is_file else folder)

    def _output_folder(self, name: str) -> Path:
        return self.folder / "named-outputs" / name

    def _check_references(self) -> None:
        """Refuse a command that refers to a missing input or output, as the service does."""
        for kind, name in REFERENCE.findall(self.definition["command"]):
            if name not in (self.definition.get(kind) or {}):
                message = f"The command refers to {kind}.{name}, which the job does not have."
                raise ServiceError(400, "UserError", message)


def _seconds(duration: str) -> float:
    days, hours, minutes, seconds = (
        float(text or 0) for text in DURATION.fullmatch(duration).groups()
    )
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
