# Chooses the estimator, its parameters and its packages, and checks them before anything runs.

from image_workflow.configuration import typed
from image_workflow.errors import UserError
from image_workflow.models.checking import checked_estimator
from image_workflow.models.settings import TrainingSettings

# The conda environment files of the model's rules with the user's packages, if there are any.
MERGED, EXTRA_PACKAGES = {}, {}

try:
    if config["extra_packages"]:
        # Most runs do not need this import, which takes longer than the rest of this file.
        from image_workflow.lineage.packages import check_installed, read_packages, write_merged

        environments = {path.name: path for path in sorted((WORKFLOW / "envs").glob("*.yaml"))}
        packages = read_packages(expanded(config["extra_packages"]), environments.values())
        if not workflow.deployment_settings.deployment_method:
            check_installed(packages, environments.values())
        for name in [
            "train.yaml",
            "azureml.yaml",
            "pictures.yaml",
            "predict.yaml",
            "register.yaml",
            "serve.yaml",
        ]:
            folder = Path(".snakemake/environments").absolute()
            MERGED[name] = write_merged(environments[name], packages, folder)
        EXTRA_PACKAGES["extra_packages"] = packages.digest[:16]
    SETTINGS = TrainingSettings.from_config(config | {"parameters": typed(config["parameters"])})
    ESTIMATOR = checked_estimator(
        SETTINGS,
        SCRIPTS / "check_estimator.py",
        Path(".snakemake/estimators"),
        # Packages that Snakemake installs itself may be missing in the environment that it runs in.
        may_miss_packages=bool(workflow.deployment_settings.deployment_method),
        extra_packages=EXTRA_PACKAGES.get("extra_packages", ""),
    )
except UserError as error:
    raise WorkflowError(str(error))

IS_SWEEP, IS_LINEAR = SETTINGS.is_sweep, ESTIMATOR["is_linear"]
# The user's file, the modules that it imports, and the user's packages.
ESTIMATOR_CODE = {
    name: digest[:16] for name, digest in SETTINGS.estimator_digests().items()
} | EXTRA_PACKAGES
# How a program finds that file, to load a model of a class of the user's own. A UserDict, because
# its content is compared, and not its place.
ESTIMATOR_OPTIONS = UserDict(
    folder=["--estimator-folder", SETTINGS.estimator_folder] if SETTINGS.file else []
)
