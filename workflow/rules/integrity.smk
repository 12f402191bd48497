# Repeats the jobs whose results are not what they made: see workflow/scripts/lib/integrity.py.
#
# Snakemake forgets a failed job together with its outputs, and does not miss a file as long as the
# files that were made from it exist. So the results are compared with the records of the jobs, and
# Snakemake is asked to repeat those that are wrong, as by --force. What follows from them runs too.

from lib.integrity import Step, steps_to_repeat


def step(rule, inputs, absent=(), **wildcards):
    """Return a step of the workflow, see lib/integrity.py; a rule's last output is its record."""
    *outputs, record = expand(getattr(rules, rule).output, **wildcards)
    return Step(rule, record, outputs, list(inputs), list(absent))


def all_steps():
    """Return all steps, in the order in which they run."""
    downloads = [step("download", [], part=part) for part in ["train", "t10k"]]
    parses = [
        step("parse", [RAW_IMAGES[part], RAW_LABELS[part]], part=part) for part in ["train", "test"]
    ]
    preview = step("preview", rules.preview.input)
    train = step("train", rules.train.input, absent=NO_PICTURE)
    pictures = [step("draw_sweep", rules.draw_sweep.input)] if SWEEP else []
    evaluate = step("evaluate", rules.evaluate.input)
    register = step("register", rules.register.input)
    return [*downloads, *parses, preview, train, *pictures, evaluate, register]


STEPS = all_steps() if workflow.is_main_process else []

# Without Snakemake's own records nobody knows with which settings the results were made. The
# downloads may stay: parse compares their checksums with those of the configuration.
UNKNOWN = set()
snakemakes_records = Path(".snakemake/metadata")
if not snakemakes_records.is_dir() or not any(snakemakes_records.iterdir()):
    UNKNOWN = {made.rule for made in STEPS} - {"download"}
    if ALONE:
        for made in STEPS:
            if made.rule in UNKNOWN:
                Path(made.record).unlink(missing_ok=True)

REPEATED = [made.record for made in steps_to_repeat(STEPS, UNKNOWN)]
