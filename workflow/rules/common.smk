# Checks the configuration, and defines code_of.

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

from image_workflow.configuration import ConfigurationError, checked, load
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.code import code_digests

# Rules run the interpreter that runs Snakemake, unless they have an environment of their own.
PYTHON = Path("python" if workflow.deployment_settings.deployment_method else sys.executable)

try:
    DATASETS = checked(
        load(Path("config/datasets.yaml")),
        load(WORKFLOW / "schemas/datasets.schema.yaml"),
        "config/datasets.yaml",
    )
    config_schema = load(WORKFLOW / "schemas/config.schema.yaml")
    config_schema["properties"]["dataset"]["enum"] = list(DATASETS)
    config.update(checked(config, config_schema, "config"))
except ConfigurationError as error:
    raise WorkflowError(str(error))


def code_of(program, *environments):
    """Return the digests of a program, of the modules it imports, and of its pinned packages.

    They are short, because Snakemake prints the digests that differ.
    """
    digests = code_digests(SCRIPTS / program)
    digests |= {name: sha256_of_file(WORKFLOW / "envs" / name) for name in environments}
    return {name: digest[:16] for name, digest in digests.items()}
