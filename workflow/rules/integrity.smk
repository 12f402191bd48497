# Repeats jobs whose results are not those that a fresh clone would have.
#
# Snakemake forgets a job that failed together with its outputs, and does not miss a file as long as
# the files made from it exist. So the results are compared with the job records (see
# workflow/scripts/image_workflow/lineage/steps.py), and Snakemake is asked to repeat the wrong ones,
# as with its option --forcerun. Snakemake then runs everything that follows from them.

import os

from image_workflow.errors import UserError
from image_workflow.lineage.job_records import recipe
from image_workflow.lineage.results import Training
from image_workflow.lineage.steps import Step, steps_to_repeat


def step(rule, recipe, inputs, reason=None, **wildcards):
    """Return a rule's job as a Step. The last output of each rule is its record."""
    *outputs, record = expand(getattr(rules, rule).output, **wildcards)
    return Step(record, recipe, outputs, list(inputs), reason)


def reason_to_train():
    """Return a reason to train that settings and files do not show, or None.

    A model is kept under backend=auto, and under the name of the backend that trained it.
    """
    for path in filter(os.path.exists, ORPHANS):
        return f"{path} is of another configuration"
    try:
        trained_by = Training.read(Path("results/training.json")).backend
    except (OSError, UserError):
        return None
    if config["backend"] in ("auto", trained_by):
        return None
    return f"results/model.pkl was trained by the backend {trained_by}"


def all_steps():
    """Return all jobs that write results, in the order in which they run."""
    downloads = [
        step("download", DOWNLOAD_RECIPES[part], [], part=part) for part in ["train", "t10k"]
    ]
    parses = [
        step("parse", PARSE_RECIPES[part], [RAW_IMAGES[part], RAW_LABELS[part]], part=part)
        for part in ["train", "test"]
    ]
    preview = step("preview", PREVIEW_RECIPE, rules.preview.input)
    train = step("train", TRAIN_RECIPE, rules.train.input, reason_to_train())
    pictures = [step("draw_sweep", DRAW_SWEEP_RECIPE, rules.draw_sweep.input)] if SWEEP else []
    evaluate = step("evaluate", EVALUATE_RECIPE, rules.evaluate.input)
    register = step("register", REGISTER_RECIPE, rules.register.input)
    return [*downloads, *parses, preview, train, *pictures, evaluate, register]


def jobs_to_repeat():
    """Return the records of the jobs to repeat, each with the reason.

    A job in a process of its own has been chosen by the main process, and needs no comparison.
    """
    return steps_to_repeat(all_steps()) if workflow.is_main_process else {}


def request_repeats(wildcards):
    """Return the registry of data sets, and ask Snakemake to repeat JOBS_TO_REPEAT.

    Snakemake calls this input function of download while it plans, whatever the target is. The
    option --forcerun is read before the rules are, and --force would add targets.
    """
    if JOBS_TO_REPEAT.keys() - workflow.dag.forcefiles:
        workflow.dag.forcefiles.update(JOBS_TO_REPEAT)
        for reason in JOBS_TO_REPEAT.values():
            logger.info(f"Out of date: {reason}.")
    return "config/datasets.yaml"
