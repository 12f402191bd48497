# Checks the configuration, chooses the data set, and defines functions for the rules.

import logging
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

if workflow.modifier.path_modifier.replace_prefix("results/model.pkl") != "results/model.pkl":
    raise WorkflowError(
        "this workflow cannot be imported with prefix: or replace_prefix:, because its commands name "
        "files in results/; import it without them, into a working directory of its own."
    )

WORKFLOW = Path(workflow.current_basedir).parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.append(str(SCRIPTS))

from image_workflow import interrupts

sys.excepthook = interrupts.end_with_a_line
# Without this, each message prints a traceback if Snakemake's log cannot be written.
logging.raiseExceptions = False

from image_workflow.configuration import ConfigurationError, checked, load
from image_workflow.conversion import FILE_KEYS
from image_workflow.data.entries import chosen_entry, load_entries
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.code import code_digests
from image_workflow.lineage.content import content_digest
from image_workflow.paths import expanded

# Rules run the interpreter that runs Snakemake, unless they have an environment of their own.
PYTHON = Path("python" if workflow.deployment_settings.deployment_method else sys.executable)

# Settings that other tools left for their Python, such as PYTHONOPTIMIZE or PYTHONWARNINGS=error, do
# not reach the programs. Those that say where modules are do.
for name in os.environ.keys() - {"PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"}:
    if name.startswith("PYTHON"):
        del os.environ[name]

# The shipped data sets, and the user's own.
ENTRY_FILES = [own_or_shipped(f"config/{name}.yaml") for name in ("datasets", "my_datasets")]

# An empty section has no parameters. And Snakemake adds the parameters of this call to those in
# config.yaml, which belong to the estimator in config.yaml.
CALL = workflow.config_settings.overwrite_config
config["parameters"] = (CALL if "estimator" in CALL else config).get("parameters") or {}

try:
    # Of a key that is there twice, Snakemake takes the last one.
    for file in map(Path, workflow.configfiles):
        if file.suffix in (".yaml", ".yml"):
            load(file)
    config.update(checked(config, load(WORKFLOW / "schemas/config.schema.yaml"), "config"))
    DATASETS = load_entries(ENTRY_FILES, WORKFLOW / "schemas")
    DATASET_NAME, DATASET = chosen_entry(config["dataset"], DATASETS, WORKFLOW / "schemas")
except ConfigurationError as error:
    raise WorkflowError(str(error))


def code_of(program, *environments):
    """Return the digests of a program, of the modules it imports, and of its pinned packages.

    They are short, because Snakemake prints the digests that differ.
    """
    digests = code_digests(SCRIPTS / program)
    digests |= {name: sha256_of_file(WORKFLOW / "envs" / name) for name in environments}
    return {name: digest[:16] for name, digest in digests.items()}


def files_to_predict_with(wildcards):
    """Return the files of the model, or end with a sentence if there is nothing to predict."""
    if TO_PREDICT is None:
        # Snakemake would show the traceback of an exception.
        sys.exit(
            "there are no pictures to predict. Name a picture, a folder of pictures or a .npy file: "
            "snakemake results/predictions.csv --config predict=path/to/photos"
        )
    return PREDICT_INPUTS
