# Repeats jobs whose results are not those that a fresh clone would have.
#
# Snakemake forgets a job that failed together with its outputs, and does not miss a file as long as
# the files made from it exist. So the results are compared with the job records (see
# workflow/scripts/image_workflow/lineage/steps.py), and Snakemake is asked to repeat the wrong ones,
# as with its option --forcerun. Snakemake then runs everything that follows from them.

import os

from image_workflow.backends.sqlite_registry import fault_of_receipt
from image_workflow.errors import UserError
from image_workflow.lineage.job_records import recipe
from image_workflow.lineage.results import Training
from image_workflow.lineage.steps import Step, restore_order, steps_to_repeat


def step(rule, recipe, inputs, reason=None, **wildcards):
    """Return a rule's job as a Step. The last output of each rule is its record."""
    *outputs, record = expand(getattr(rules, rule).output, **wildcards)
    return Step(record, recipe, outputs, list(inputs), reason)


def reason_to_remove(orphans):
    """Return the reason to repeat the job that removes these files, or None if there are none."""
    for path in filter(os.path.exists, orphans):
        return f"{path} is of another configuration"
    return None


def reason_to_train():
    """Return a reason to train that settings and files do not show, or None.

    A model is kept under backend=auto, and under the name of the backend that trained it.
    """
    if reason := reason_to_remove(ORPHANS):
        return reason
    try:
        trained_by = Training.read(Path("results/training.json")).backend
    except (OSError, UserError):
        return None
    if config["backend"] in ("auto", trained_by):
        return None
    return f"results/model.pkl was trained by the backend {trained_by}"


def data_steps():
    """Return the jobs that write the data set, in the order in which they run."""
    if DOWNLOADED:
        sources = [
            step("download", DOWNLOAD_RECIPES[part], [], part=part) for part in ["train", "t10k"]
        ]
    else:
        sources = [step("convert", CONVERT_RECIPE, [])]
    parses = [
        step("parse", PARSE_RECIPES[part], [RAW_IMAGES[part], RAW_LABELS[part]], part=part)
        for part in ["train", "test"]
    ]
    reason = reason_to_remove(CONVERSION_ORPHANS)
    describe = step("describe", DESCRIBE_RECIPE, rules.describe.input, reason)
    return [*sources, *parses, describe]


def all_steps():
    """Return all jobs that write results, in the order in which they run."""
    train = step("train", TRAIN_RECIPE, ARRAYS, reason_to_train())
    evaluate = step("evaluate", EVALUATE_RECIPE, rules.evaluate.input)
    pictures = [
        step(rule, PICTURE_RECIPES[rule], getattr(rules, rule).input) for rule in PICTURE_RECIPES
    ]
    reason = fault_of_receipt(Path(rules.register.output.receipt))
    register = step("register", REGISTER_RECIPE, rules.register.input, reason)
    return [*data_steps(), train, evaluate, *pictures, register]


def report_steps():
    """Return the jobs that write the report from the results."""
    summarize = step("summarize", SUMMARIZE_RECIPE, rules.summarize.input)
    return [summarize, step("report", REPORT_RECIPE, rules.report.input)]


def steps_on_demand():
    """Return the jobs that run only if the report or predictions are asked for."""
    return [*report_steps(), step("predict", PREDICT_RECIPE, PREDICT_INPUTS)]


def benchmark_files(wildcards):
    """Return the files with the run times of all jobs that write results."""
    return [f"results/benchmarks/{Path(step.record).stem}.jsonl" for step in all_steps()]


def score_steps():
    """Return the jobs of all candidates. They make no result: train fits what they have not scored."""
    return [
        Step(
            f"results/records/score_candidate_{candidate}.json",
            SCORE_RECIPES[candidate],
            [f"results/candidates/{candidate}.json"],
            ["results/arrays/train-images.npy", "results/arrays/train-labels.npy"],
        )
        for candidate in CANDIDATES
    ]


def spreads():
    """Return whether each candidate is a job of its own before train, as on a cluster."""
    if IN_CLOUD or not IS_SWEEP or workflow.execution_settings is None:
        return False
    # Snakemake sets this for each executor that is not local. In a dry run it hides the executor.
    return workflow.execution_settings.use_threads


def has_to_train():
    """Return whether the model, or the data that it is made from, is missing or out of date."""
    *steps_to_arrays, _describe = data_steps()
    records = [*(step.record for step in steps_to_arrays), rules.train.output.record]
    return not os.path.exists(records[-1]) or not JOBS_TO_REPEAT.keys().isdisjoint(records)


def scores_before_training(wildcards):
    """Return the records of the candidates' jobs that train waits for."""
    if not workflow.is_main_process:
        return []  # Snakemake has waited before it sent the job to a node.
    if has_to_train():
        return [step.record for step in score_steps()] if spreads() else []
    # Keep the inputs that Snakemake has noted: others would be a reason to train.
    noted = workflow.persistence.input(rules.train.output.model) or []
    return [name for name in noted if Path(name).name.startswith("score_candidate_")]


def check_links(steps):
    """Raise WorkflowError if a result is a link to nowhere, which Snakemake cannot replace."""
    for path in [path for each in steps for path in [*each.outputs, each.record]]:
        if os.path.islink(path) and not os.path.exists(path):
            raise WorkflowError(
                f"{path} is a link to {os.readlink(path)}, which does not exist. Connect the disk, "
                "or delete the link and run again."
            )


def jobs_to_repeat():
    """Return the records of the jobs to repeat, each with the reason.

    A job in a process of its own has been chosen by the main process, and needs no comparison.
    """
    if not workflow.is_main_process:
        return {}
    steps = [*all_steps(), *steps_on_demand()]
    check_links(steps)
    jobs = steps_to_repeat(steps)
    restore_order([step for step in steps if step.record not in jobs])
    return jobs


def request_repeats(wildcards):
    """Return the file of the shipped data sets, and ask Snakemake to repeat JOBS_TO_REPEAT.

    Snakemake calls this input function of download and convert while it plans, whatever the target
    is. The option --forcerun is read before the rules are, and --force would add targets.
    """
    jobs = JOBS_TO_REPEAT
    if spreads() and has_to_train():
        jobs = jobs | steps_to_repeat(
            [step for step in score_steps() if os.path.exists(step.record)]
        )
    targets = {rule.name for rule in workflow.dag.targetrules} | workflow.dag.targetfiles
    for made, records in [
        (["report", "results/report.html"], REPORT_RECORDS),
        (["predict", *PREDICTIONS], [PREDICT_RECORD]),
    ]:
        if targets.isdisjoint(made):
            # It is made on demand. A run without it leaves an old one as it is.
            jobs = {record: jobs[record] for record in jobs if record not in records}
    if jobs.keys() - workflow.dag.forcefiles:
        workflow.dag.forcefiles.update(jobs)
        for reason in jobs.values():
            logger.info(f"Out of date: {reason}.")
    return ENTRY_FILES[0]
