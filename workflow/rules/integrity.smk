# Repeats the jobs whose results are not what a first run would leave.
#
# Snakemake forgets a failed job together with its outputs, and does not miss a file as long as the
# files that were made from it exist. So the results are compared with the records of the jobs (see
# workflow/scripts/lib/integrity.py), and Snakemake is asked to repeat those that are wrong, as by
# --force. What follows from them runs too.

from lib.integrity import Step, steps_to_repeat


def step(rule, recipe, inputs, absent=(), **wildcards):
    """Return a step of the workflow, see lib/integrity.py; a rule's last output is its record."""
    *outputs, record = expand(getattr(rules, rule).output, **wildcards)
    return Step(record, recipe, outputs, list(inputs), list(absent))


def all_steps():
    """Return all steps, in the order in which they run."""
    downloads = [
        step("download", DOWNLOAD_RECIPES[part], [], part=part) for part in ["train", "t10k"]
    ]
    parses = [
        step("parse", PARSE_RECIPES[part], [RAW_IMAGES[part], RAW_LABELS[part]], part=part)
        for part in ["train", "test"]
    ]
    preview = step("preview", PREVIEW_RECIPE, rules.preview.input)
    train = step("train", TRAIN_RECIPE, rules.train.input, absent=NO_PICTURE)
    pictures = [step("draw_sweep", DRAW_SWEEP_RECIPE, rules.draw_sweep.input)] if SWEEP else []
    evaluate = step("evaluate", EVALUATE_RECIPE, rules.evaluate.input)
    register = step("register", REGISTER_RECIPE, rules.register.input)
    return [*downloads, *parses, preview, train, *pictures, evaluate, register]


# A job that runs in a process of its own was chosen by the main process.
REPEATED = steps_to_repeat(all_steps()) if workflow.is_main_process else {}
