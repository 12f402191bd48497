"""Runs: finding, submitting and watching them, and fetching what they leave."""

import shutil
import tempfile
import time
from pathlib import Path

from backends import Job, failures
from backends.deadline import within
from lib import code
from lib.command import log
from lib.files import replacing

MODEL = "outputs/sklearn_mnist_model.pkl"
SWEEP = "outputs/sweep.json"
FINAL = "Completed", "Failed", "Canceled"
ENDED_BADLY = "Failed", "Canceled", "CancelRequested"
LOGS = Path("results/azureml/logs")
ANSWER_SECONDS = 60
LAST_LINES = 15

#: The tag that a completed run gets when it has no model to collect.
UNUSABLE = "unusable"


def find(workspace, run_id: str):
    """Return the run of an id, None if there is none."""
    try:
        return within(ANSWER_SECONDS, workspace.get_run, run_id)
    except Exception as error:
        if getattr(error, "status_code", None) == 404 or "(404)" in failures.words(error):
            return None
        raise


def submit(workspace, job: Job, run_id: str, experiment: str, target, environment, data, limit):
    """Submit the training script under a run id; return the run.

    The id is ours, so that the service refuses a second run of it, whatever has happened to the
    answer to the first.

    Parameters
    ----------
    workspace : azureml.core.Workspace
    job : Job
    run_id, experiment, target : str
    environment : azureml.core.Environment
    data : azureml.data.FileDataset
    limit : int
        After how many seconds the service ends the run by itself.
    """
    from azureml.core import Experiment, RunConfiguration, ScriptRunConfig

    settings = RunConfiguration()
    settings.target = target
    settings.environment = environment
    settings.max_run_duration_seconds = limit
    tags = {"fingerprint": job.fingerprint, "data_sha256": job.data_sha256}
    mounted = data.as_named_input("arrays").as_mount()
    with tempfile.TemporaryDirectory() as source:
        for path in code.files(job.script):
            copy = Path(source, path.relative_to(job.script.parent))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        config = ScriptRunConfig(
            source,
            job.script.name,
            ["--data-folder", mounted, *job.arguments],
            run_config=settings,
        )
        try:
            run = Experiment(workspace, experiment).submit(config, tags=tags, run_id=run_id)
        except Exception as error:
            run = find(workspace, run_id)
            if run is None:
                raise
            log.info("the answer to the submission was lost (%s)", failures.words(error))
            for key, value in tags.items():
                run.tag(key, value)
    return run


def watch(run, poll: float, patience: float, limit: float) -> dict:
    """Follow a run to its end, its status and log on the way; return its details.

    Parameters
    ----------
    run : azureml.core.Run
    poll, patience, limit : float
        Seconds between two looks, without an answer until giving up, and in all.

    Raises
    ------
    CloudError
        If the service does not answer for too long, or the run does not end; it goes on then.
    """
    began = answered = time.monotonic()
    status, shown = None, {}
    again = "The run goes on; run the same command again to wait for it."
    while True:
        try:
            # The SDK's retries alone take 20 s; with them the patience is kept, not exceeded.
            details = within(min(ANSWER_SECONDS, patience), run.get_details_with_logs)
        except Exception as error:
            silent = time.monotonic() - answered
            cause = failures.words(error)
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
    """Log the lines that each of a run's logs has more than the last time."""
    for name, text in logs.items():
        if not name.startswith(("user_logs/", "azureml-logs/")):
            continue
        whole = text[: text.rfind("\n") + 1]
        for line in whole[shown.get(name, 0) :].splitlines():
            log.info("         | %s", line)
        shown[name] = max(len(whole), shown.get(name, 0))


def save_logs(run_id: str, logs: dict[str, str]) -> Path:
    """Write a run's logs below results/, and return their folder."""
    folder = LOGS / run_id
    for name, text in logs.items():
        with replacing(folder / name) as (part,):
            part.write_text(text, encoding="utf-8")
    return folder


def last_lines(logs: dict[str, str]) -> str:
    """Return the end of the log that says most: the script's, or else of the image's build."""
    names = sorted(logs, key=lambda name: (not name.startswith("user_logs/"), name))
    lines = next((logs[name].splitlines() for name in names if logs[name].strip()), [])
    return "\n".join(f"  | {line}" for line in lines[-LAST_LINES:])


def download(run, name: str, target: Path) -> None:
    """Download one of a run's files."""
    within(600, run.download_file, name, str(target))


def metrics(run, wanted: tuple[str, ...], seconds: float, poll: float) -> dict:
    """Return a run's metrics; they may come some time after its end."""
    deadline = time.monotonic() + seconds
    while True:
        found = within(ANSWER_SECONDS, run.get_metrics)
        if all(name in found for name in wanted):
            return {name: found[name] for name in wanted}
        if time.monotonic() > deadline:
            log.warning(
                "the run's metrics have not come in %.0f s; the workflow measures the model itself",
                seconds,
            )
            return {}
        time.sleep(poll)
