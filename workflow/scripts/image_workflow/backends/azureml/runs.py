"""What a run gets and gives: its files, its log, and its end, the same for both SDKs."""

import logging
import time
from pathlib import Path

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.workspace import Progress, Workspace
from image_workflow.backends.interface import Job
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.code import code_digests, copy_code

log = logging.getLogger(__name__)

MODEL = "outputs/sklearn_mnist_model.pkl"
SWEEP = "outputs/sweep.json"
METRICS = "outputs/metrics.json"
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


def stage(job: Job, folder: Path) -> list[str]:
    """Copy the training script and the user's estimator to a new folder.

    The user's files get a folder of their own, so that none of them can replace one of ours.

    Returns
    -------
    list of str
        The arguments of the script, which runs in this folder, without ``--data-folder``.

    Raises
    ------
    UserError
        If a file was edited after the job's fingerprint was computed.
    """
    copy_unchanged(job.program, folder)
    arguments = ["--metrics", METRICS, *job.settings.arguments()]
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


def follow(
    workspace: Workspace, run_id: str, poll: float, patience: float, limit: float
) -> Progress:
    """Follow a run to its end, log its status and its output, and return its last progress.

    Parameters
    ----------
    workspace : Workspace
    run_id : str
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
            progress = workspace.progress(run_id, min(ANSWER_SECONDS, patience))
        except Exception as error:
            silent = time.monotonic() - answered
            cause, kind = failures.describe(error), failures.kind(error)
            problem = f"the workspace has not answered for {silent:.0f} s"
            if kind == failures.PERMISSION:
                problem = "the run cannot be followed any more"
            if silent >= patience or kind == failures.PERMISSION:
                raise failures.CloudError(f"{problem}: {cause} {again}", kind, cause) from None
            log.info("%5.0f s  no answer, trying again: %s", time.monotonic() - began, cause)
            time.sleep(poll)
            continue
        answered = time.monotonic()
        if progress.status != status:
            status = progress.status
            log.info("%5.0f s  %s", answered - began, status)
        show_new_lines(progress.logs, shown)
        if status in FINAL:
            return progress
        if answered - began > limit:
            raise failures.CloudError(f"the run has not ended in {limit:.0f} s. {again}")
        time.sleep(poll)


def show_new_lines(logs: dict[str, str], shown: dict[str, int]) -> None:
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
            part.write_text(failures.without_secrets(text), encoding="utf-8")
    return folder


def last_lines(logs: dict[str, str]) -> str:
    """Return the last lines of the script's log, or else of the log of the image build."""
    names = sorted(logs, key=lambda name: (not name.startswith("user_logs/"), name))
    lines = next((logs[name].splitlines() for name in names if logs[name].strip()), [])
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:])
