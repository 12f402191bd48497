# Says which files this folder shares with the folder of the workflow.
#
# `snakemake --directory runs/NAME` runs in a folder of its own, see docs/side-by-side.md.

import os
from pathlib import Path

PROJECT = Path(workflow.current_basedir).parents[1]
# A folder inside the project shares the project's downloads and registry. Any other folder has its
# own, because the workflow may be in a place that cannot be written to, such as an image.
SHARED = Path(os.path.relpath(PROJECT) if PROJECT.resolve() in Path.cwd().parents else ".")


def own_or_shipped(name):
    """Return the path of a file in this folder, or of the project's if this folder has none."""
    return Path(name if os.path.exists(name) else os.path.relpath(PROJECT / name))
