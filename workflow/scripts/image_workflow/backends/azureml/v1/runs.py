"""Find, submit and read runs."""

import logging

from image_workflow.backends.azureml import failures
from image_workflow.backends.azureml.workspace import Progress, Run, Submission
from image_workflow.deadline import within

log = logging.getLogger(__name__)

ANSWER_SECONDS = 60
SUBMISSION_SECONDS = 600


def find(workspace, run_id: str):
    """Return the SDK's run with this id, or None."""
    try:
        return within(ANSWER_SECONDS, workspace.get_run, run_id)
    except Exception as error:
        if getattr(error, "status_code", None) == 404 or "(404)" in failures.describe(error):
            return None
        raise


def describe(run) -> Run:
    """Return the description of the SDK's run."""
    return Run(
        id=run.id,
        status=run.status,
        portal_url=run.get_portal_url(),
        experiment=run.experiment.name,
        tags=dict(run.get_tags()),
    )


def submit(workspace, submission: Submission):
    """Submit the training script and return the SDK's run.

    We choose the run id, so the service refuses a second run even if its answer to the first
    submission was lost.
    """
    from azureml.core import Experiment, RunConfiguration, ScriptRunConfig

    settings = RunConfiguration()
    settings.target = submission.cluster
    settings.environment = submission.environment
    settings.max_run_duration_seconds = submission.limit_seconds
    mounted = submission.data.as_named_input("arrays").as_mount()
    config = ScriptRunConfig(
        str(submission.source),
        submission.script,
        ["--data-folder", mounted, *submission.arguments],
        run_config=settings,
    )
    experiment = Experiment(workspace, submission.experiment)
    try:
        return experiment.submit(config, tags=submission.tags, run_id=submission.run_id)
    except Exception as error:
        run = find(workspace, submission.run_id)
        if run is None:
            raise
        log.info("the answer to the submission was lost (%s)", failures.describe(error))
        for key, value in submission.tags.items():
            run.tag(key, value)
        return run


def progress(run) -> Progress:
    """Return the status and the logs of the SDK's run."""
    details = run.get_details_with_logs()
    error = (details.get("error") or {}).get("error") or {}
    return Progress(details["status"], details["logFiles"], error.get("message") or "")
