# Runs each rule in an image, with `snakemake --sdm apptainer`, see docs/container.md.

import shlex

from snakemake.settings.types import DeploymentMethod

if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    if not os.path.exists(PROJECT / "container.sif"):
        raise WorkflowError(
            f"--sdm apptainer needs the image {PROJECT / 'container.sif'}, which does not exist. Make "
            "it as docs/container.md says."
        )
    # In the image, Apptainer shows only this folder: not the programs, downloads and registry of
    # the project.
    workflow.deployment_settings.apptainer_args += f" --bind {shlex.quote(str(PROJECT))}"

    # Relative, because Snakemake runs everything again if this text changes.
    container: os.path.relpath(PROJECT / "container.sif")
