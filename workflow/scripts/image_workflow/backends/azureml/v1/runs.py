"""Find, submit and watch runs, and download their files."""

import logging
import tempfile
import time
from pathlib import Path

from image_workflow.backends.azureml import failures
from image_workflow.backends.interface import Job
from image_workflow.deadline import within
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.code import code_digests, copy_code

log = logging.getLogger(__name__)

MODEL = "outputs/sklearn_mnist_model.pkl"
SWEEP = "outputs/sweep.json"
FINAL = "Completed", "Failed", "Canceled"
ENDED_BADLY = "Failed", "Canceled", "CancelRequested"
LOGS = Path("results/azureml/logs")
ANSWER_SECONDS = 60
LAST_LINES = 15

#: Where a run has the user's file with the estimator, and the values of its parameters.
ESTIMATOR_FOLDER, PARAMETERS = "estimator", "parameters.json"
#: The tag of a completed run that lacks a result.
UNUSABLE = "unusable"
#: The tag with the name of the cluster that a run was submitted to.
CLUSTER = "cluster"


def find(workspace, run_id: str):
    """Return the run with this id, or None."""
    try:
        return within(ANSWER_SECONDS, workspace.get_run, run_id)
    except Exception as error:
        if getattr(error, "status_code", None) == 404 or "(404)" in failures.describe(error):
            return None
        raise


def submit(
    job: Job, run_id: str, workspace, experiment: str, target: str, environment, arrays, limit: int
):
    """Submit the training script and return the run.

    We choose the run id, so the service refuses a second run even if its answer to the first
    submission was lost.

    Parameters
    ----------
    job : Job
    run_id : str
    workspace : azureml.core.Workspace
    experiment, target : str
        The names of the experiment and of the cluster.
    environment : azureml.core.Environment
    arrays : azureml.data.FileDataset
    limit : int
        The service ends the run after this many seconds.
    """
    from azureml.core import Experiment, RunConfiguration, ScriptRunConfig

    settings = RunConfiguration()
    settings.target = target
    settings.environment = environment
    settings.max_run_duration_seconds = limit
    tags = {"fingerprint": job.fingerprint, "data_sha256": job.data_sha256, CLUSTER: target}
    mounted = arrays.as_named_input("arrays").as_mount()
    with tempfile.TemporaryDirectory() as source:
        arguments = ["--data-folder", mounted, *stage(job, Path(source))]
        config = ScriptRunConfig(source, job.program.name, arguments, run_config=settings)
        try:
            run = Experiment(workspace, experiment).submit(config, tags=tags, run_id=run_id)
        except Exception as error:
            run = find(workspace, run_id)
            if run is None:
                raise
            log.info("the answer to the submission was lost (%s)", failures.describe(error))
            for key, value in tags.items():
                run.tag(key, value)
    return run


def stage(job: Job, folder: Path) -> list[str]:
    """Copy the training script and the user's estimator to a folder.

    The user's files get a folder of their own, so that none of them can replace one of ours.

    Returns
    -------
    list of str
        The arguments of the script, which runs in this folder.

    Raises
    ------
    UserError
        If a file was edited after the job's fingerprint was computed.
    """
    copy_unchanged(job.program, folder)
    arguments = job.settings.arguments()
    if job.settings.is_own:
        # Azure ML puts a backslash before some special characters in arguments, and JSON has many.
        at = arguments.index("--parameters") + 1
        (folder / PARAMETERS).write_text(arguments[at], encoding="utf-8")
        arguments[at] = f"@{PARAMETERS}"
    if job.settings.file:
        copy_unchanged(job.settings.file, folder / ESTIMATOR_FOLDER)
        arguments += ["--estimator-folder", ESTIMATOR_FOLDER]
    return arguments


def copy_unchanged(program: Path, folder: Path) -> None:
    """Copy a Python file and the modules that it imports, or raise UserError if one was edited."""
    copy_code(program, folder)
    for name, digest in code_digests(program).items():
        # The digest was kept when the fingerprint was computed. Since then, a cluster may have been
        # created, which takes minutes.
        if sha256_of_file(folder / name) != digest:
            raise UserError(
                f"{program.parent / name} was edited while the run was prepared. Run the same "
                "command again to train with the edited file."
            )


def watch(run, poll: float, patience: float, limit: float) -> dict:
    """Follow a run to its end, log its status and its output, and return its details.

    Parameters
    ----------
    run : azureml.core.Run
    poll, patience, limit : float
        Seconds between two requests, seconds without an answer after which to give up, and seconds
        in all.

    Raises
    ------
    CloudError
        If the service does not answer for too long, or the run takes too long. The run continues.
    """
    began = answered = time.monotonic()
    status, shown = None, {}
    again = "The run continues; run the same command again to wait for it."
    while True:
        try:
            # The SDK retries for 20 s, which must not exceed the patience.
            details = within(min(ANSWER_SECONDS, patience), run.get_details_with_logs)
        except Exception as error:
            silent = time.monotonic() - answered
            cause = failures.describe(error)
            if silent >= patience or failures.kind(error) == failures.PERMISSION:
                raise failures.CloudError(
                    f"the workspace has not answered for {silent:.0f} s: {cause} {again}",
                    failures.kind(error),
                    cause,
                ) from None
            log.info("%5.0f s  no answer, trying again: %s", time.monotonic() - began, cause)
            time.sleep(poll)
            continue
        answered = time.monotonic()
        if details["status"] != status:
            status = details["status"]
            log.info("%5.0f s  %s", answered - began, status)
        stream(details["logFiles"], shown)
        if status in FINAL:
            return details
        if answered - began > limit:
            raise failures.CloudError(f"the run has not ended in {limit:.0f} s. {again}")
        time.sleep(poll)


def stream(logs: dict[str, str], shown: dict[str, int]) -> None:
    """Log the lines that were added to the run's logs since the last call."""
    for name, text in logs.items():
        if not name.startswith(("user_logs/", "azureml-logs/")):
            continue
        whole = text[: text.rfind("\n") + 1]
        for line in whole[shown.get(name, 0) :].splitlines():
            log.info("         | %s", line)
        shown[name] = max(len(whole), shown.get(name, 0))


def save_logs(run_id: str, logs: dict[str, str]) -> Path:
    """Write a run's logs below results/ and return their folder."""
    folder = LOGS / run_id
    for name, text in logs.items():
        with replacing(folder / name) as (part,):
            part.write_text(text, encoding="utf-8")
    return folder


def last_lines(logs: dict[str, str]) -> str:
    """Return the last lines of the script's log, or else of the log of the image build."""
    names = sorted(logs, key=lambda name: (not name.startswith("user_logs/"), name))
    lines = next((logs[name].splitlines() for name in names if logs[name].strip()), [])
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:])


def download(run, name: str, target: Path) -> None:
    """Download one of a run's files."""
    within(600, run.download_file, name, str(target))


def metrics(run, wanted: tuple[str, ...], seconds: float, poll: float) -> dict:
    """Return a run's metrics, which may arrive some time after its end."""
    deadline = time.monotonic() + seconds
    while True:
        found = within(ANSWER_SECONDS, run.get_metrics)
        if all(name in found for name in wanted):
            return {name: found[name] for name in wanted}
        if time.monotonic() > deadline:
            log.warning("the run's metrics did not arrive in %.0f s", seconds)
            return {}
        time.sleep(poll)
