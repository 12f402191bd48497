"""Run a script that SDK v1 has submitted."""

from __future__ import annotations

import time
from pathlib import Path

from .job import Job, copy_files
from .service import API


class ScriptJob(Job):
    """Run a script from a snapshot, with the variables that connect it to its run.

    Parameters
    ----------
    emulator, run_id
        See `Job`.
    definition : dict
        The submission: configuration and snapshot.
    """

    def __init__(self, emulator, run_id: str, definition: dict):
        super().__init__(emulator, run_id)
        self.configuration, self.snapshot = definition["Configuration"], definition["SnapshotId"]
        self.inputs: dict[str, Path] = {}

    @property
    def limit_seconds(self) -> float:
        """Return the time after which the service cancels the run."""
        return self.configuration.get("maxRunDurationSeconds") or float("inf")

    def run_fields(self, experiment: str) -> dict:
        """Return the fields that the run history stores when a client submits the run."""
        scope = f"https://{API}/execution/v1.0{self.emulator.scope}/experiments/{experiment}"
        properties = {
            "ContentSnapshotId": self.snapshot,
            "_azureml.ComputeTargetType": "amlcompute",
        }
        return {
            "status": "Starting",
            "runType": "azureml.scriptrun",
            "target": self.configuration["target"],
            "scriptName": self.configuration["script"],
            "runDefinition": self.configuration,
            "cancelUri": f"{scope}/runId/{self.run_id}/cancel",
            "properties": properties,
            "inputDatasets": [
                {"identifier": {"savedId": saved_id}, "consumptionType": "RunInput"}
                for saved_id in self._input_ids().values()
            ],
        }

    def copy_files(self) -> None:
        """Copy the snapshot and the datasets. A copy emulates both a mount and a download."""
        self.emulator.snapshots.copy_files(self.snapshot, self.source_folder)
        for name, id in self._input_ids().items():
            files = self.emulator.datasets.files(id)
            self.inputs[name] = copy_files(files, self.folder / "inputs" / name)

    def command(self) -> list[str]:
        """Return the command line, with the folders of the inputs as arguments."""
        arguments = [self._resolve_argument(text) for text in self.configuration["arguments"]]
        return [self.emulator.python, self.configuration["script"], *arguments]

    def variables(self) -> dict[str, str]:
        """Return the configured variables, and those that the SDK reads in a run."""
        emulator, workspace = self.emulator, self.emulator.workspace
        run = emulator.history.runs[self.run_id]
        inputs = {name: str(path) for name, path in self.inputs.items()}
        return (
            self._configured_variables()
            | inputs
            | {
                "AZUREML_ARM_SUBSCRIPTION": workspace["subscription"],
                "AZUREML_ARM_RESOURCEGROUP": workspace["group"],
                "AZUREML_ARM_WORKSPACE_NAME": workspace["workspace"],
                "AZUREML_ARM_PROJECT_NAME": emulator.history.experiment_name(run),
                "AZUREML_EXPERIMENT_ID": run["experimentId"],
                "AZUREML_WORKSPACE_ID": workspace["id"],
                "AZUREML_SERVICE_ENDPOINT": f"https://{API}",
                "AZUREML_DISCOVERY_SERVICE_ENDPOINT": (
                    f"https://{API}/discovery/workspaces/{workspace['id']}"
                ),
                "AZUREML_RUN_TOKEN": emulator.entra.issue_token(self.run_id),
                "AZUREML_RUN_TOKEN_EXPIRY": str(int(time.time()) + 3600),
                "AZUREML_DATASET_ENVIRONMENT_VARS": ",".join(f"{name}:mount" for name in inputs),
            }
        )

    def _configured_variables(self) -> dict[str, str]:
        environment = self.configuration["environment"].get("environmentVariables") or {}
        variables = environment | (self.configuration.get("environmentVariables") or {})
        return {name: str(value) for name, value in variables.items()}

    def _input_ids(self) -> dict[str, str]:
        data = self.configuration.get("data") or {}
        return {name: value["dataLocation"]["dataset"]["id"] for name, value in data.items()}

    def _resolve_argument(self, argument) -> str:
        """Return an argument as text. Replace a reference to an input by the input's folder."""
        prefix, colon, name = str(argument).partition(":")
        is_reference = colon and prefix == "DatasetConsumptionConfig"
        return str(self.inputs[name] if is_reference else argument)
