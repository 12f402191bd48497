# Checks the configuration, and says how a rule calls its script.

import gc
import hashlib
import json
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.current_basedir).parent
SCRIPTS = WORKFLOW / "scripts"
sys.path.append(str(SCRIPTS))

from lib import code
from lib.configuration import ConfigurationError, checked, load

# Snakemake imports pandas, a quarter of its start-up, to look for data frames among the params,
# where there are none. A workflow that uses pandas itself has to delete this line.
sys.modules.setdefault("pandas", None)

# What was imported stays to the end: Python need not look for garbage in it.
gc.freeze()

# ---- Configuration -------------------------------------------------------------------------

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

# ---- Calling scripts -----------------------------------------------------------------------

# In a rule, python is the interpreter that runs Snakemake, unless the rule has its own environment.
if not workflow.deployment_settings.deployment_method:
    shell.prefix('set -euo pipefail; python() {{ %s "$@"; }}; ' % shlex.quote(sys.executable))


def code_of(script, env):
    """Return the digests of all that decides what a script does: its code and its pins."""
    files = [*code.files(SCRIPTS / script), WORKFLOW / "envs" / env]
    return code.digests(*files, folder=WORKFLOW)


def recipe(*decisive):
    """Return a digest of all that decides what a job makes beside its inputs, for its record."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


# ---- Planning ------------------------------------------------------------------------------


def begin(wildcards):
    """Return the registry of data sets, and ask Snakemake to repeat the jobs in REPEATED.

    Snakemake calls this while it plans, whatever the target: everything begins with a download. Its
    option --force would make each repeated file one more target. See integrity.smk.
    """
    if REPEATED.keys() - workflow.dag.forcefiles:
        workflow.dag.forcefiles.update(REPEATED)
        for reason in REPEATED.values():
            logger.info(f"Out of date: {reason}.")
    return "config/datasets.yaml"
