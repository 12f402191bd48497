"""The backend azureml: train on a cluster of a workspace, and register the model there.

It does the same with SDK v1 and SDK v2, see :mod:`image_workflow.backends.azureml.workspace`.
"""

import json
import logging
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from image_workflow.backends.azureml import failures, runs, state
from image_workflow.backends.azureml.workspace import (
    ModelVersion,
    Run,
    Submission,
    Workspace,
    open_workspace,
)
from image_workflow.backends.interface import Check, Job, Registration
from image_workflow.backends.settings import compute_settings
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import Promotion, Receipt, RunReport, Training, Version

log = logging.getLogger(__name__)

TAG_LENGTH = 1000  # the most characters that Azure ML allows in a tag
AGAIN = "Run the same command again: it continues from here, and trains nothing twice."
NO_ALIASES = Promotion(
    False, None, "a workspace of Azure ML has no aliases. Set promote: false, or use backend: local"
)


class AzureML:
    """A workspace, as a trainer and a registry, see :mod:`image_workflow.backends.interface`.

    Parameters
    ----------
    workspace : Workspace
    settings : dict
        The configuration's section azureml, with the environment variables applied.
    experiment : str
        The experiment's name.
    """

    def __init__(self, workspace: Workspace, settings: dict, experiment: str):
        self.workspace, self.settings, self.experiment = workspace, settings, experiment

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
                run = self.workspace.find_run(run_id)
            if run is None:
                return self._submit(job, run_id)
            handle = state.read(state.HANDLE)
            awaited = handle.get("run_id") == run_id and handle.get("state") != state.ENDED
            unusable = run.status in runs.ENDED_BADLY or runs.UNUSABLE in run.tags
            if awaited or not unusable:
                log.info("run %s: found, %s", run_id, run.status)
                self._write_handle(job, run)
                return run_id
            log.info("run %s: %s earlier", run_id, run.status)
            number += 1

    def _submit(self, job: Job, run_id: str) -> str:
        """Submit a new run, after creating what it needs."""
        workspace, settings = self.workspace, self.settings
        cluster = self._find_or_create_cluster(settings["compute"])
        data = workspace.register_data(job.data_folder, job.data_sha256, settings["dataset_name"])
        environment = workspace.register_environment(job.environment, settings["environment_name"])
        with failures.step("submit the run", AGAIN), tempfile.TemporaryDirectory() as folder:
            # Nothing of this path reaches the workspace but the last folder's name.
            source = Path(folder, "code")
            submission = Submission(
                run_id=run_id,
                experiment=self.experiment,
                source=source,
                script=job.program.name,
                arguments=runs.stage(job, source),
                cluster=cluster,
                data=data,
                environment=environment,
                limit_seconds=settings["run_limit_seconds"],
                tags={
                    "fingerprint": job.fingerprint,
                    "data_sha256": job.data_sha256,
                    runs.CLUSTER: cluster,
                },
            )
            facts = {"fingerprint": job.fingerprint, "run_id": run_id}
            facts |= {"experiment": self.experiment, "workspace": workspace.info}
            state.write_handle(state.INTENDED, **facts)
            state.note_created(workspace.info, "runs", run_id)
            try:
                run = workspace.submit(submission)
            except Exception as error:
                if failures.kind(error) != failures.CONNECTION:
                    self._end_if_refused(run_id)
                raise
        self._write_handle(job, run)
        log.info("run %s: submitted, %s", run_id, run.portal_url)
        return run_id

    def _find_or_create_cluster(self, settings: dict) -> str:
        """Return the name of the cluster, after it was found or created."""
        name = settings["name"]
        advice = "Choose another cluster with azureml.compute.name."
        with failures.step(f"look for the cluster {name}", advice):
            found = self.workspace.find_cluster(name)
        if found is None:
            log.info(
                "cluster %s: creating %s, %d to %d nodes",
                *(name, settings["vm_size"], settings["min_nodes"], settings["max_nodes"]),
            )
            more = (
                "Ask for more quota, choose another azureml.compute.vm_size, or name a cluster "
                "that exists with azureml.compute.name."
            )
            with failures.step(f"create the cluster {name}", more):
                self.workspace.create_cluster(settings)
        elif found.kind != "AmlCompute":
            raise failures.CloudError(
                f"expected {name} to be a cluster (AmlCompute), found a {found.kind}. {advice}"
            )
        elif found.state == "Failed":
            raise failures.CloudError(
                f"the cluster {name} is there, but its creation failed. Delete it in the portal, "
                "or choose another with azureml.compute.name."
            )
        else:
            log.info("cluster %s: found, %s", name, found.description)
        return name

    def _end_if_refused(self, run_id: str) -> None:
        """End the handle of a run that the service refused."""
        with suppress(Exception):
            if self.workspace.find_run(run_id) is None:
                state.end_handle("Refused")
                state.forget_created(self.workspace.info, "runs", run_id)

    def wait(self, run_id: str) -> None:
        """Follow the run to its end. Raise UserError with the run's last lines if it fails."""
        run = self._run(run_id)
        names = "poll_seconds", "patience_seconds", "run_limit_seconds"
        try:
            end = runs.follow(self.workspace, run_id, *(self.settings[name] for name in names))
        except KeyboardInterrupt:
            log.warning(
                "the run continues in the cloud: the same command waits for it again, and "
                "`snakemake azureml_cancel` ends it"
            )
            raise
        folder = runs.save_logs(run_id, end.logs)
        if end.status == "Completed":
            return
        state.end_handle(end.status)
        ended = {
            "Failed": "failed",
            "Canceled": "was canceled, or took longer than azureml.run_limit_seconds",
        }[end.status]
        cause = failures.describe(RuntimeError(end.error)) if end.error else ""
        lines = runs.last_lines(end.logs)
        raise UserError(
            f"run {run_id} {ended}. {cause}\n"
            + (f"{lines}\n" if lines else "")
            + f"Its logs are in {folder}, the run is at {run.portal_url}. Fix the cause; "
            "the next call submits it anew."
        )

    def collect(self, run_id: str, job: Job, reason: str) -> Training:
        """Download the run's model and sweep.json, check them, and describe the training."""
        run = self._run(run_id)
        with failures.step("download the model", AGAIN):
            names = self._check_complete(run)
            report = self._download(run, job.model)
        state.end_handle("Completed")
        log.info("run %s: model collected; the run's files: %s", run_id, ", ".join(names))
        clusters = state.created(self.workspace.info).get("clusters", [])
        cluster = run.tags.get(runs.CLUSTER)
        return Training(
            backend="azureml",
            backend_reason=reason,
            run_id=run_id,
            portal_url=run.portal_url,
            experiment=run.experiment,
            workspace=self.workspace.info,
            cluster=cluster and {"name": cluster, "created": cluster in clusters},
            metrics=report.metrics,
            model_sha256=report.model_sha256,
            machine=report.machine,
            deterministic=report.deterministic,
            fingerprint=job.fingerprint,
            arguments=job.settings.arguments(),
            environment={
                package: version
                for package, version in pinned_versions(job.environment).items()
                if package.partition("[")[0] not in self.workspace.unused_packages
            },
        )

    def _unusable(self, run: Run, problem: str, found: str) -> UserError:
        """Tag a completed run, so that the next call submits it anew, and return the error."""
        self.workspace.tag(run.id, runs.UNUSABLE, problem)
        state.end_handle("Completed without a model")
        return UserError(
            f"run {run.id} completed, but {found}. See {run.portal_url}; the next call submits it "
            "anew."
        )

    def _check_complete(self, run: Run) -> list[str]:
        """Return the run's files.

        Raises
        ------
        UserError
            If one of the results is missing. The run is tagged as unusable.
        """
        names = self.workspace.files(run.id)
        for name in (runs.MODEL, runs.SWEEP, runs.METRICS):
            if name not in names:
                found = f"has no {name}; it has {', '.join(names) or 'no files'}"
                raise self._unusable(run, f"{name} is missing", found)
        return names

    def _download(self, run: Run, model: Path) -> RunReport:
        """Download a run's model, and its sweep.json beside it, and return the run's report.

        Both files are written, or neither.

        Raises
        ------
        UserError
            If a file does not have the checksum that the run reported.
        """
        with tempfile.TemporaryDirectory() as folder:
            metrics = Path(folder, "metrics.json")
            self.workspace.download(run.id, runs.METRICS, metrics)
            try:
                report = RunReport.read(metrics)
            except UserError:
                problem = f"{runs.METRICS} cannot be read"
                raise self._unusable(run, problem, f"its {problem}") from None
        wanted = {
            runs.MODEL: (model, report.model_sha256),
            runs.SWEEP: (model.with_name("sweep.json"), report.sweep_sha256),
        }
        with replacing(*(target for target, _ in wanted.values())) as parts:
            for part, (name, (_, expected)) in zip(parts, wanted.items(), strict=True):
                self.workspace.download(run.id, name, part)
                if (found := sha256_of_file(part)) != expected:
                    file = "the model" if name == runs.MODEL else name
                    raise UserError(
                        f"{file} of run {run.id} did not arrive whole: expected sha256 {expected}, "
                        f"found {found}. {AGAIN}"
                    )
        return report

    def register(self, registration: Registration) -> Version:
        """Register the run's model, unless a version with the same content exists."""
        training, name = registration.training, registration.name
        workspace, info = self.workspace, self.workspace.info
        class_names = class_names_tag(registration.data_set.class_names())
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
            versions = self._versions(registration, class_names)
            # A client that was killed after the registration did not note it.
            ours = training.run_id in state.created(info).get("runs", []) or not versions
            if versions:
                log.info("this model is registered already")
            else:
                run_id = self._run(training.run_id).id
                registered = workspace.register_model(name, run_id, runs.MODEL, tags, properties)
                versions = self._versions(registration, class_names) or [registered]
            version, *doubles = versions
            if ours:
                # After a lost answer SDK v1 repeats the request, and registers a second version.
                for double in doubles:
                    workspace.delete("models", double.id, {})
                state.note_created(info, "models", version.id)
        log.info("%s version %s in workspace %s", name, version.version, info["name"])
        return Version(
            name=name,
            version=version.version,
            id=version.id,
            registry="azureml",
            registry_uri=uri(info),
            run_id=training.run_id,
            artifact_sha256=training.model_sha256,
            promotion=NO_ALIASES if registration.promote else None,
        )

    def _versions(self, registration: Registration, class_names: str) -> list[ModelVersion]:
        """Return the versions with the same content, the oldest first.

        That is the model, the data, the class names, and the user's file: an edit of a method such
        as ``predict`` does not change the pickle of the model, and another test set leads to other
        metrics.
        """
        data_sha256 = registration.sha256["data"]
        # Earlier versions of this workflow registered no class names.
        same = [
            found
            for found in self.workspace.models(registration.name)
            if found.properties.get("model_sha256") == registration.training.model_sha256
            and found.properties.get("data_sha256", data_sha256) == data_sha256
            and found.tags.get("class_names", class_names) == class_names
            and found.properties.get("estimator_sha256") == registration.sha256.get("estimator")
        ]
        return sorted(same, key=lambda found: found.version)

    def check(self, receipt: Receipt) -> list[Check]:
        """Compare the registered version and its file with the receipt; change nothing.

        A version keeps the tags of its first registration. So only those are compared that depend
        on nothing but the content: an edit of the code can leave the model as it is.
        """
        info, what = self.workspace.info, f"{receipt.name} version {receipt.version}"
        place = Check("workspace", receipt.registry_uri, uri(info))
        with failures.step("list the models", "Try again."):
            versions = {found.version: found for found in self.workspace.models(receipt.name)}
        found = versions.get(receipt.version)
        if not found:
            return [place, Check(what, "registered", f"not in workspace {info['name']}")]
        names = {one["label"]: one["name"] for one in receipt.classes}
        tags = {key: str(value) for key, value in receipt.metrics.items()}
        tags["class_names"] = class_names_tag(names)
        properties = {
            f"{key}_sha256": receipt.sha256.get(key, "none")
            for key in ("model", "data", "estimator")
        }
        return [
            place,
            Check(what, str(receipt.id), found.id),
            Check(f"{what}, run", receipt.run_id, found.run_id or "none"),
            *(
                Check(f"{what}, tag {key}", expected, found.tags.get(key, "none"))
                for key, expected in tags.items()
            ),
            *(
                Check(f"{what}, {key}", expected, found.properties.get(key, "none"))
                for key, expected in properties.items()
            ),
            Check(f"{what}, file", receipt.artifact_sha256, self._file_sha256(found)),
        ]

    def _file_sha256(self, version: ModelVersion) -> str:
        """Return the checksum of a version's file, or why it cannot be read."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                with failures.step(f"download {version.id}", "Try again."):
                    file = self.workspace.download_model(version, Path(folder))
            except failures.CloudError as error:
                return f"unreadable: {error}"
            return sha256_of_file(file)

    def _run(self, run_id: str) -> Run:
        with failures.step(f"find run {run_id}", AGAIN):
            run = self.workspace.find_run(run_id)
        if run is None:
            raise UserError(
                f"run {run_id} is not in workspace {self.workspace.info['name']} any more. Delete "
                "results/model.pkl and run again to train anew."
            )
        return run

    def _write_handle(self, job: Job, run: Run) -> None:
        state.write_handle(
            state.SUBMITTED,
            fingerprint=job.fingerprint,
            run_id=run.id,
            experiment=self.experiment,
            workspace=self.workspace.info,
            portal_url=run.portal_url,
        )


def class_names_tag(class_names: dict[int, str]) -> str:
    """Return the name of each class by its label, as JSON. The last ones are left out if too long.

    Parameters
    ----------
    class_names : dict of str
    """
    names = {str(label): name for label, name in class_names.items()}
    while len(text := json.dumps(names, ensure_ascii=False)) > TAG_LENGTH:
        names.popitem()
    return text


def uri(workspace_info: dict[str, str]) -> str:
    """Return the workspace's address in the form of MLflow's plugin for Azure ML."""
    return (
        f"azureml://subscriptions/{workspace_info['subscription_id']}"
        f"/resourceGroups/{workspace_info['resource_group']}/workspaces/{workspace_info['name']}"
    )
