"""Azure Machine Learning through its SDK v1: the four verbs of a backend."""

import hashlib
import json
from pathlib import Path

from backends import Job, failures, records
from backends.deadline import within
from backends.sdk_v1 import compute, data, environment, runs
from backends.sdk_v1 import workspace as workspaces
from lib.command import UserError, log
from lib.files import replacing

METRICS = "regularization rate", "accuracy"
AGAIN = "Run the same command again: it goes on from here, and trains nothing twice."


class AzureML:
    """A workspace, as a :class:`backends.Backend`.

    Parameters
    ----------
    workspace : azureml.core.Workspace
        Open, see :func:`backends.sdk_v1.workspace.connect`.
    settings : dict
        The configuration's section azureml.
    experiment : str
        The experiment's name.
    """

    def __init__(self, workspace, settings: dict, experiment: str):
        self.workspace, self.settings, self.experiment = workspace, settings, experiment
        self.account = workspaces.description(workspace)

    def submit(self, job: Job) -> str:
        """Return the run of the job's fingerprint: one that is active or completed, or a new one.

        The ids are the fingerprint and a number, so that nothing but the fingerprint is needed to
        find a run, and none can be submitted twice. A run that failed is left behind, but first
        reported by the call that waited for it.
        """
        number = 1
        while True:
            run_id = f"mnist-sklearn-{job.fingerprint[:24]}-{number}"
            with failures.step("look for a run of this training", AGAIN):
                run = runs.find(self.workspace, run_id)
            if run is None:
                return self._submit(job, run_id)
            with failures.step("read the run's status", AGAIN):
                status, tags = run.status, run.get_tags()
            handle = records.read(records.HANDLE)
            awaited = handle.get("run_id") == run_id and handle.get("state") != records.ENDED
            ended_badly = status in runs.ENDED_BADLY or runs.UNUSABLE in tags
            if awaited or not ended_badly:
                log.info("run %s: found, %s", run_id, status)
                self._write_handle(records.SUBMITTED, job.fingerprint, run)
                return run_id
            log.info("run %s: %s earlier", run_id, status)
            number += 1

    def _submit(self, job: Job, run_id: str) -> str:
        target = compute.cluster(self.workspace, self.settings["compute"], self.account)
        arrays = data.dataset(
            self.workspace,
            job.data_folder,
            job.data_sha256,
            self.settings["dataset_name"],
            self.account,
        )
        env = environment.environment(
            self.workspace, self.settings["environment_name"], job.environment, self.account
        )
        facts = {"fingerprint": job.fingerprint, "run_id": run_id, "experiment": self.experiment}
        records.write_handle(records.INTENDED, **facts, workspace=self.account)
        with failures.step("submit the run", AGAIN):
            try:
                run = within(
                    600,
                    runs.submit,
                    self.workspace,
                    job,
                    run_id,
                    self.experiment,
                    target,
                    env,
                    arrays,
                    self.settings["run_limit_seconds"],
                )
            except Exception as error:
                if failures.kind(error) != failures.CONNECTION:
                    # A refusal: there is no run.
                    records.end_handle("Refused")
                raise
        self._write_handle(records.SUBMITTED, job.fingerprint, run)
        records.note_created(self.account, "runs", run_id)
        log.info("run %s: submitted, %s", run_id, run.get_portal_url())
        return run_id

    def wait(self, run_id: str) -> None:
        """Follow the run to its end; one that fails is an error with its own last words."""
        run = self._run(run_id)
        try:
            details = runs.watch(
                run,
                self.settings["poll_seconds"],
                self.settings["patience_seconds"],
                self.settings["run_limit_seconds"],
            )
        except KeyboardInterrupt:
            log.warning(
                "the run goes on in the cloud: the same command waits for it again, and "
                "`snakemake azureml_cancel` ends it"
            )
            raise
        folder = runs.save_logs(run_id, details["logFiles"])
        if details["status"] == "Completed":
            return
        records.end_handle(details["status"])
        ended = {"Failed": "failed", "Canceled": "was canceled"}[details["status"]]
        said = ((details.get("error") or {}).get("error") or {}).get("message") or ""
        said = failures.words(RuntimeError(said)) if said else ""
        lines = runs.last_lines(details["logFiles"])
        raise UserError(
            f"run {run_id} {ended}. {said}\n"
            + (f"{lines}\n" if lines else "")
            + f"Its logs are in {folder}, the run is at {run.get_portal_url()}. Mend the cause; "
            "the next call submits it anew."
        )

    def collect(self, run_id: str, model: Path) -> dict:
        """Download what the run has made, and check that it is that."""
        run = self._run(run_id)
        with failures.step("download the model", AGAIN):
            names = within(120, run.get_file_names)
            properties = run.get_properties()
            wanted = [
                (runs.MODEL, model, properties.get("model_sha256")),
                (runs.SWEEP, model.with_name("sweep.json"), properties.get("sweep_sha256")),
            ]
            for name, _, _ in wanted:
                if name not in names:
                    run.tag(runs.UNUSABLE, f"{name} is missing")
                    records.end_handle("Completed without a model")
                    raise UserError(
                        f"run {run_id} completed, but has no {name}; it has "
                        f"{', '.join(names) or 'no files'}. See {run.get_portal_url()}; the next "
                        "call submits it anew."
                    )
            with replacing(*(target for _, target, _ in wanted)) as parts:
                found = [
                    self._download(run, name, part, expected)
                    for part, (name, _, expected) in zip(parts, wanted, strict=True)
                ]
        with failures.step("read the run's metrics", AGAIN):
            metrics = runs.metrics(
                run, METRICS, self.settings["metrics_seconds"], self.settings["poll_seconds"]
            )
        records.end_handle("Completed")
        log.info("run %s: model collected; the run's files: %s", run_id, ", ".join(names))
        return {
            "run_id": run_id,
            "portal_url": run.get_portal_url(),
            "experiment": run.experiment.name,
            "workspace": self.account,
            "files": names,
            "metrics": metrics,
            "model_sha256": found[0],
            "machine": json.loads(properties.get("machine", "null")),
        }

    def _download(self, run, name: str, target: Path, expected: str | None) -> str:
        """Download one of the run's files, whole or not at all; return its sha256."""
        runs.download(run, name, target)
        sha256 = hashlib.sha256(target.read_bytes()).hexdigest()
        if not target.stat().st_size or (expected and sha256 != expected):
            what = "the model" if name == runs.MODEL else name
            raise UserError(
                f"{what} of run {run.id} did not arrive whole: expected sha256 {expected}, found "
                f"{sha256}. {AGAIN}"
            )
        return sha256

    def register(self, training: dict, name: str, tags: dict, properties: dict) -> dict:
        """Register the run's model, unless a version of it is registered; return the version."""
        sha256 = training["model_sha256"]
        with failures.step("register the model", AGAIN):
            versions = within(120, self._versions, name, sha256)
            if versions:
                log.info("this model is registered already")
            else:
                run = self._run(training["run_id"])
                registered = within(
                    300,
                    run.register_model,
                    name,
                    model_path=runs.MODEL,
                    tags=tags,
                    properties=properties,
                )
                versions = within(120, self._versions, name, sha256) or [registered]
                # The SDK repeats a request whose answer was lost, and so registers twice.
                for double in versions[1:]:
                    within(120, double.delete)
                records.note_created(self.account, "models", versions[0].id)
        version = versions[0]
        log.info("%s version %s in workspace %s", name, version.version, self.account["name"])
        return {"name": name, "version": int(version.version), "id": version.id}

    def _versions(self, name: str, sha256: str) -> list:
        """Return the registered versions of this very model, the oldest first."""
        from azureml.core import Model

        found = Model.list(self.workspace, name=name, properties=[["model_sha256", sha256]])
        return sorted(found, key=lambda model: int(model.version))

    def _run(self, run_id: str):
        with failures.step(f"find run {run_id}", AGAIN):
            run = runs.find(self.workspace, run_id)
        if run is None:
            raise UserError(
                f"run {run_id} is not in workspace {self.account['name']} any more. Delete "
                "results/model.pkl and run again to train anew."
            )
        return run

    def _write_handle(self, state: str, fingerprint: str, run) -> None:
        records.write_handle(
            state,
            fingerprint=fingerprint,
            run_id=run.id,
            experiment=self.experiment,
            workspace=self.account,
            portal_url=run.get_portal_url(),
        )
