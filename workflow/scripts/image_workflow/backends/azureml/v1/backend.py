"""The backend azureml: train on a cluster of a workspace, and register the model there."""

import json
import logging
import os
from pathlib import Path

from image_workflow.backends.azureml import failures, state
from image_workflow.backends.azureml.v1 import compute, data, environment, runs
from image_workflow.backends.azureml.v1.workspace import describe, open_workspace, uri
from image_workflow.backends.interface import Job, Registration
from image_workflow.backends.settings import compute_settings
from image_workflow.deadline import within
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import DataSet, Training, Version

log = logging.getLogger(__name__)

TAG_LENGTH = 1000  # the most characters that Azure ML allows in a tag
AGAIN = "Run the same command again: it continues from here, and trains nothing twice."


class AzureML:
    """A workspace, as a trainer and a registry, see :mod:`image_workflow.backends.interface`.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    settings : dict
        The configuration's section azureml, with the environment variables applied.
    experiment : str
        The experiment's name.
    """

    def __init__(self, workspace, settings: dict, experiment: str):
        self.workspace, self.settings, self.experiment = workspace, settings, experiment
        self.workspace_info = describe(workspace)

    @classmethod
    def open(cls, settings: dict, experiment: str) -> "AzureML":
        """Open the configured workspace.

        Parameters
        ----------
        settings : dict
            The configuration's section azureml.
        experiment : str
            The experiment's name.
        """
        compute = compute_settings(settings["compute"], os.environ)
        return cls(open_workspace(settings), settings | {"compute": compute}, experiment)

    def train(self, job: Job, reason: str) -> Training:
        """Submit the job's run or find it, wait for it, and collect its files."""
        run_id = self.submit(job)
        self.wait(run_id)
        return self.collect(run_id, job, reason)

    def submit(self, job: Job) -> str:
        """Return the id of the job's run: an active or completed one, or else a new one.

        A run id is the fingerprint and a number. So the fingerprint suffices to find a run, and no
        run can be submitted twice. A run that failed is skipped, unless its failure was not
        reported yet.
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
            handle = state.read(state.HANDLE)
            awaited = handle.get("run_id") == run_id and handle.get("state") != state.ENDED
            unusable = status in runs.ENDED_BADLY or runs.UNUSABLE in tags
            if awaited or not unusable:
                log.info("run %s: found, %s", run_id, status)
                self._write_handle(job, run)
                return run_id
            log.info("run %s: %s earlier", run_id, status)
            number += 1

    def _submit(self, job: Job, run_id: str) -> str:
        """Submit a new run, after creating what it needs."""
        info, settings = self.workspace_info, self.settings
        target = compute.cluster(self.workspace, settings["compute"], info)
        arrays = data.dataset(
            self.workspace, job.data_folder, job.data_sha256, settings["dataset_name"], info
        )
        env = environment.environment(
            self.workspace, settings["environment_name"], job.environment, info
        )
        facts = {"fingerprint": job.fingerprint, "run_id": run_id, "experiment": self.experiment}
        state.write_handle(state.INTENDED, **facts, workspace=info)
        with failures.step("submit the run", AGAIN):
            where = self.workspace, self.experiment, target, env, arrays
            try:
                run = within(600, runs.submit, job, run_id, *where, settings["run_limit_seconds"])
            except Exception as error:
                if failures.kind(error) != failures.CONNECTION:
                    # The service refused, so no run exists.
                    state.end_handle("Refused")
                raise
        self._write_handle(job, run)
        state.note_created(info, "runs", run_id)
        log.info("run %s: submitted, %s", run_id, run.get_portal_url())
        return run_id

    def wait(self, run_id: str) -> None:
        """Follow the run to its end. Raise UserError with the run's last lines if it fails."""
        run = self._run(run_id)
        names = "poll_seconds", "patience_seconds", "run_limit_seconds"
        try:
            details = runs.watch(run, *(self.settings[name] for name in names))
        except KeyboardInterrupt:
            log.warning(
                "the run continues in the cloud: the same command waits for it again, and "
                "`snakemake azureml_cancel` ends it"
            )
            raise
        folder = runs.save_logs(run_id, details["logFiles"])
        if details["status"] == "Completed":
            return
        state.end_handle(details["status"])
        ended = {"Failed": "failed", "Canceled": "was canceled"}[details["status"]]
        message = ((details.get("error") or {}).get("error") or {}).get("message") or ""
        cause = failures.describe(RuntimeError(message)) if message else ""
        lines = runs.last_lines(details["logFiles"])
        raise UserError(
            f"run {run_id} {ended}. {cause}\n"
            + (f"{lines}\n" if lines else "")
            + f"Its logs are in {folder}, the run is at {run.get_portal_url()}. Fix the cause; "
            "the next call submits it anew."
        )

    def collect(self, run_id: str, job: Job, reason: str) -> Training:
        """Download the run's model and sweep.json, check them, and describe the training."""
        run = self._run(run_id)
        with failures.step("download the model", AGAIN):
            names = within(120, run.get_file_names)
            properties, tags = run.get_properties(), run.get_tags()
            self._check_complete(run, names)
            model_sha256 = download_results(run, job.model, properties)
        with failures.step("read the run's metrics", AGAIN):
            seconds = self.settings["metrics_seconds"], self.settings["poll_seconds"]
            wanted = ("accuracy",) if job.settings.is_own else ("regularization rate", "accuracy")
            metrics = runs.metrics(run, wanted, *seconds)
        state.end_handle("Completed")
        log.info("run %s: model collected; the run's files: %s", run_id, ", ".join(names))
        clusters = state.created(self.workspace_info).get("clusters", [])
        cluster = tags.get(runs.CLUSTER)
        return Training(
            backend="azureml",
            backend_reason=reason,
            run_id=run_id,
            portal_url=run.get_portal_url(),
            experiment=run.experiment.name,
            workspace=self.workspace_info,
            cluster=cluster and {"name": cluster, "created": cluster in clusters},
            metrics=metrics,
            model_sha256=model_sha256,
            machine=json.loads(properties.get("machine", "null")),
            deterministic=json.loads(properties.get("deterministic", "null")),
            fingerprint=job.fingerprint,
            arguments=job.settings.arguments(),
            environment=pinned_versions(job.environment),
        )

    def _check_complete(self, run, names: list[str]) -> None:
        """Raise UserError, and tag the run as unusable, if one of its results is missing."""
        for name in (runs.MODEL, runs.SWEEP):
            if name not in names:
                run.tag(runs.UNUSABLE, f"{name} is missing")
                state.end_handle("Completed without a model")
                raise UserError(
                    f"run {run.id} completed, but has no {name}; it has "
                    f"{', '.join(names) or 'no files'}. See {run.get_portal_url()}; the next "
                    "call submits it anew."
                )

    def register(self, registration: Registration) -> Version:
        """Register the run's model, unless a version with the same content exists."""
        training, name, info = registration.training, registration.name, self.workspace_info
        class_names = class_names_tag(registration.data_set)
        if info != training.workspace:
            raise UserError(
                f"the model was trained in workspace {training.workspace['name']}, and config.json "
                f"names {info['name']}. Bring back the first one's config.json, or train in the "
                "other: delete results/model.pkl and run again."
            )
        tags = {
            **{key: text[:TAG_LENGTH] for key, text in registration.parameters.items()},
            **{key: str(value) for key, value in registration.metrics.summary().items()},
            "class_names": class_names,
            "fingerprint": training.fingerprint,
            "git_commit": str(registration.git["commit"]),
        }
        properties = {f"{key}_sha256": value for key, value in registration.sha256.items()}
        with failures.step("register the model", AGAIN):
            versions = within(120, self._versions, registration, class_names)
            if versions:
                log.info("this model is registered already")
            else:
                run = self._run(training.run_id)
                details = {"model_path": runs.MODEL, "tags": tags, "properties": properties}
                registered = within(300, run.register_model, name, **details)
                versions = within(120, self._versions, registration, class_names) or [registered]
                # After a lost answer the SDK repeats the request, and registers a second version.
                for double in versions[1:]:
                    within(120, double.delete)
                state.note_created(info, "models", versions[0].id)
        version = versions[0]
        log.info("%s version %s in workspace %s", name, version.version, info["name"])
        return Version(
            name=name,
            version=int(version.version),
            id=version.id,
            registry="azureml",
            registry_uri=uri(info),
            run_id=training.run_id,
        )

    def _versions(self, registration: Registration, class_names: str) -> list:
        """Return the versions with the same content, the oldest first.

        That is the model, the class names, and the user's file: an edit of a method such as
        ``predict`` does not change the pickle of the model.
        """
        from azureml.core import Model

        wanted = [["model_sha256", registration.training.model_sha256]]
        found = Model.list(self.workspace, name=registration.name, properties=wanted)
        # Earlier versions of this workflow registered no class names.
        same = [
            model
            for model in found
            if model.tags.get("class_names", class_names) == class_names
            and model.properties.get("estimator_sha256") == registration.sha256.get("estimator")
        ]
        return sorted(same, key=lambda model: int(model.version))

    def _run(self, run_id: str):
        with failures.step(f"find run {run_id}", AGAIN):
            run = runs.find(self.workspace, run_id)
        if run is None:
            raise UserError(
                f"run {run_id} is not in workspace {self.workspace_info['name']} any more. Delete "
                "results/model.pkl and run again to train anew."
            )
        return run

    def _write_handle(self, job: Job, run) -> None:
        state.write_handle(
            state.SUBMITTED,
            fingerprint=job.fingerprint,
            run_id=run.id,
            experiment=self.experiment,
            workspace=self.workspace_info,
            portal_url=run.get_portal_url(),
        )


def class_names_tag(data_set: DataSet) -> str:
    """Return the name of each class by its label, as JSON. The last ones are left out if too long.

    Parameters
    ----------
    data_set : DataSet
    """
    names = {str(label): name for label, name in data_set.class_names().items()}
    while len(text := json.dumps(names, ensure_ascii=False)) > TAG_LENGTH:
        names.popitem()
    return text


def download_results(run, model: Path, properties: dict[str, str]) -> str:
    """Download a run's model, and its sweep.json beside it, and return the model's sha256.

    Both files are written, or neither.

    Parameters
    ----------
    run : azureml.core.Run
    model : pathlib.Path
        The file to write.
    properties : dict of str
        The run's properties, which have the checksums of the files.

    Raises
    ------
    UserError
        If a file does not have the checksum that the run reported.
    """
    wanted = {
        runs.MODEL: (model, properties.get("model_sha256")),
        runs.SWEEP: (model.with_name("sweep.json"), properties.get("sweep_sha256")),
    }
    found = []
    with replacing(*(target for target, _ in wanted.values())) as parts:
        for part, (name, (_, expected)) in zip(parts, wanted.items(), strict=True):
            runs.download(run, name, part)
            found.append(sha256_of_file(part))
            if not part.stat().st_size or (expected and found[-1] != expected):
                file = "the model" if name == runs.MODEL else name
                raise UserError(
                    f"{file} of run {run.id} did not arrive whole: expected sha256 {expected}, "
                    f"found {found[-1]}. {AGAIN}"
                )
    return found[0]
