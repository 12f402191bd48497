"""A change runs again exactly the rules whose results are out of date."""

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from checkout import TOP, Checkout
from image_workflow.lineage.code import code_files

MODEL = {
    "train": 1,
    "evaluate": 1,
    "draw_confusion": 1,
    "draw_mistakes": 1,
    "draw_weights": 1,
    "register": 1,
}
SWEEP = {"draw_sweep": 1} | MODEL
DATA = {"describe": 1, "preview": 1, "draw_class_balance": 1}
EVERY = {"download": 2, "parse": 2} | DATA | SWEEP
# Rules that a run of the digits without the report does not need.
OTHERS = ["convert", "report", "summarize"]
FIRST_OUTPUTS = {
    "download": "results/raw/",
    "parse": "results/arrays/",
    "describe": "results/dataset.json",
    "preview": "results/preview.png",
    "draw_class_balance": "results/class_balance.png",
    "draw_confusion": "results/confusion.png",
    "draw_mistakes": "results/mistakes.png",
    "draw_weights": "results/weights.png",
    "train": "results/model.pkl",
    "draw_sweep": "results/sweep.png",
    "evaluate": "results/metrics.json",
    "register": "results/registered.json",
}
ALL = sorted([*EVERY, *OTHERS])
# The training code: the receipt has its checksum.
TRAINING = ["register", "train"]
# The rules that load the model.
LOADERS = ["draw_mistakes", "draw_weights", "evaluate", *TRAINING]
PICTURES = sorted(rule for rule in EVERY if rule == "preview" or rule.startswith("draw_"))
# The rules that use a file themselves. Rules that follow from them run again as well.
USERS = {
    "scripts/azureml_cancel.py": [],
    "scripts/azureml_cleanup.py": [],
    "scripts/azureml_status.py": [],
    "scripts/check_estimator.py": [],
    "scripts/convert.py": ["convert"],
    "scripts/describe.py": ["describe"],
    "scripts/download.py": ["download"],
    "scripts/draw_class_balance.py": ["draw_class_balance"],
    "scripts/draw_confusion.py": ["draw_confusion"],
    "scripts/draw_mistakes.py": ["draw_mistakes"],
    "scripts/draw_sweep.py": ["draw_sweep"],
    "scripts/draw_weights.py": ["draw_weights"],
    "scripts/evaluate.py": ["evaluate"],
    "scripts/fit.py": TRAINING,
    "scripts/image_workflow/__init__.py": ALL,
    "scripts/image_workflow/backends/__init__.py": TRAINING,
    "scripts/image_workflow/backends/azureml/__init__.py": TRAINING,
    "scripts/image_workflow/backends/azureml/availability.py": TRAINING,
    "scripts/image_workflow/backends/azureml/backend.py": TRAINING,
    "scripts/image_workflow/backends/azureml/failures.py": TRAINING,
    "scripts/image_workflow/backends/azureml/reporting.py": TRAINING,
    "scripts/image_workflow/backends/azureml/runs.py": TRAINING,
    "scripts/image_workflow/backends/azureml/session.py": TRAINING,
    "scripts/image_workflow/backends/azureml/signin.py": TRAINING,
    "scripts/image_workflow/backends/azureml/state.py": TRAINING,
    "scripts/image_workflow/backends/azureml/uploads.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/__init__.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/compute.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/data.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/deletion.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/environment.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/models.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/runs.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v1/workspace.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/__init__.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/assets.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/compute.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/data.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/environment.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/models.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/network.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/runs.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/storage.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/workspace.py": TRAINING,
    "scripts/image_workflow/backends/azureml/workspace.py": TRAINING,
    "scripts/image_workflow/backends/choice.py": ["train"],
    "scripts/image_workflow/backends/interface.py": TRAINING,
    "scripts/image_workflow/backends/local.py": ["train"],
    "scripts/image_workflow/backends/mlflow/__init__.py": ["register"],
    "scripts/image_workflow/backends/mlflow/database.py": ["register"],
    "scripts/image_workflow/backends/mlflow/registry.py": ["register"],
    "scripts/image_workflow/backends/mlflow/texts.py": ["register"],
    "scripts/image_workflow/backends/settings.py": TRAINING,
    "scripts/image_workflow/command.py": ALL,
    "scripts/image_workflow/configuration.py": [],
    "scripts/image_workflow/conversion/__init__.py": ["convert"],
    "scripts/image_workflow/conversion/converting.py": ["convert"],
    "scripts/image_workflow/conversion/formats.py": ["convert"],
    "scripts/image_workflow/conversion/labels.py": ["convert"],
    "scripts/image_workflow/conversion/numpy_files.py": ["convert"],
    "scripts/image_workflow/conversion/parts.py": ["convert"],
    "scripts/image_workflow/conversion/pictures.py": ["convert"],
    "scripts/image_workflow/conversion/pixels.py": ["convert"],
    "scripts/image_workflow/conversion/split.py": ["convert"],
    "scripts/image_workflow/conversion/tables.py": ["convert"],
    "scripts/image_workflow/data/__init__.py": [
        "convert",
        "describe",
        "download",
        "parse",
        *TRAINING,
    ],
    "scripts/image_workflow/data/arrays.py": ["convert", "describe", "download", *TRAINING],
    "scripts/image_workflow/data/entries.py": [],
    "scripts/image_workflow/data/idx.py": ["convert", "describe", "download", "parse", *TRAINING],
    "scripts/image_workflow/data/idx_names.py": ["convert", "download"],
    "scripts/image_workflow/data/sources.py": ["download"],
    "scripts/image_workflow/deadline.py": ["download", *TRAINING],
    "scripts/image_workflow/errors.py": ALL,
    "scripts/image_workflow/files.py": ALL,
    "scripts/image_workflow/imports.py": sorted([*PICTURES, "evaluate", *TRAINING]),
    "scripts/image_workflow/lineage/__init__.py": ALL,
    "scripts/image_workflow/lineage/checksums.py": ALL,
    "scripts/image_workflow/lineage/code.py": TRAINING,
    "scripts/image_workflow/lineage/content.py": [],
    "scripts/image_workflow/lineage/custody.py": sorted(
        set(ALL) - {"convert", "download"},
    ),
    "scripts/image_workflow/lineage/git.py": ["register"],
    "scripts/image_workflow/lineage/job_records.py": ALL,
    "scripts/image_workflow/lineage/machine.py": TRAINING,
    "scripts/image_workflow/lineage/packages.py": [],
    "scripts/image_workflow/lineage/pins.py": TRAINING,
    "scripts/image_workflow/lineage/results.py": sorted(
        [*PICTURES, "convert", "describe", "evaluate", "summarize", *TRAINING]
    ),
    "scripts/image_workflow/lineage/steps.py": [],
    "scripts/image_workflow/models/__init__.py": LOADERS,
    "scripts/image_workflow/models/checking.py": [],
    "scripts/image_workflow/models/confidences.py": ["draw_mistakes"],
    "scripts/image_workflow/models/estimator.py": LOADERS,
    "scripts/image_workflow/models/memory.py": TRAINING,
    "scripts/image_workflow/models/own_estimator.py": TRAINING,
    "scripts/image_workflow/models/own_fit.py": TRAINING,
    "scripts/image_workflow/models/settings.py": TRAINING,
    "scripts/image_workflow/models/solvers.py": TRAINING,
    "scripts/image_workflow/models/sweep.py": TRAINING,
    "scripts/image_workflow/models/training.py": TRAINING,
    "scripts/image_workflow/newton/__init__.py": TRAINING,
    "scripts/image_workflow/newton/estimator.py": TRAINING,
    "scripts/image_workflow/newton/hessian.py": TRAINING,
    "scripts/image_workflow/newton/objective.py": TRAINING,
    "scripts/image_workflow/newton/optimizer.py": TRAINING,
    "scripts/image_workflow/newton/rounding.py": TRAINING,
    "scripts/image_workflow/newton/rows.py": TRAINING,
    "scripts/image_workflow/paths.py": ["convert", "download", *TRAINING],
    "scripts/image_workflow/pictures/__init__.py": PICTURES,
    "scripts/image_workflow/pictures/candidates.py": ["draw_sweep"],
    "scripts/image_workflow/pictures/heat_map.py": ["draw_sweep"],
    "scripts/image_workflow/pictures/style.py": PICTURES,
    "scripts/image_workflow/pictures/table.py": ["draw_sweep"],
    "scripts/image_workflow/pictures/tiles.py": ["draw_mistakes", "draw_weights", "preview"],
    "scripts/parse.py": ["parse"],
    "scripts/preview.py": ["preview"],
    "scripts/register.py": ["register"],
    "scripts/report.py": ["report"],
    "scripts/summarize.py": ["summarize"],
    "scripts/train.py": ["train"],
    "envs/azureml.yaml": ["train"],
    "envs/convert.yaml": ["convert"],
    "envs/data.yaml": ["describe", "download", "parse"],
    "envs/pictures.yaml": PICTURES,
    "envs/register.yaml": ["register"],
    "envs/summary.yaml": ["summarize"],
    "envs/train.yaml": ["evaluate", *TRAINING],
}


SCRIPTS = TOP / "workflow/scripts"
# The programs of the rules that have two.
TRAINERS, REGISTRARS = ["train", "fit"], ["register", "fit"]
# One file for each list of users, all programs, and all environments.
EDITED = list({str(users): name for name, users in USERS.items()}.values())
EDITED += [name for name in USERS if name.count("/") == 1 and name not in EDITED]


def files(program: str) -> list[Path]:
    """Return the files of a program by its name."""
    return code_files(SCRIPTS / f"{program}.py")


def users(checkout: Checkout) -> list[str]:
    """Return the rules that are out of date themselves, without those that follow from them."""
    said = checkout.finish("-n", dataset="digits").stdout
    files = re.findall(r"^Out of date: (.+) was made with other .+ or code\.$", said, re.M)
    return sorted({rule for rule, made in FIRST_OUTPUTS.items() if re.search(made, str(files))})


def append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


# ---- Code ----------------------------------------------------------------------------------


def test_every_file_of_the_code_is_listed(digits_run: Checkout):
    workflow = digits_run.path / "workflow"
    found = [*workflow.glob("scripts/**/*.py"), *workflow.glob("envs/*.yaml")]
    assert sorted(str(path.relative_to(workflow)) for path in found) == sorted(USERS)


@pytest.mark.parametrize("name", [name for name in USERS if name.startswith("scripts/")])
def test_the_rules_depend_on_the_programs_and_modules_that_they_import(name: str):
    programs = {rule: [rule] for rule in ALL} | {"train": TRAINERS, "register": REGISTRARS}
    uses = {
        rule: {str(path.relative_to(SCRIPTS.parent)) for each in of for path in files(each)}
        for rule, of in programs.items()
    }
    assert sorted(rule for rule, used in uses.items() if name in used) == USERS[name]


@pytest.mark.parametrize("name", EDITED)
def test_an_edit_runs_the_rules_that_use_the_file(finished: Checkout, name: str):
    append(finished.path / "workflow" / name, "\n# edited\n")
    assert users(finished) == [rule for rule in USERS[name] if rule not in OTHERS]


def test_an_edit_runs_the_rules_that_follow(finished: Checkout):
    append(finished.path / "workflow/scripts/preview.py", "\n# edited\n")
    assert finished.planned(dataset="digits") == {"preview": 1, "register": 1}


# ---- Time stamps ---------------------------------------------------------------------------


def test_a_touch_runs_nothing(finished: Checkout):
    names = "metrics.json", "sweep.png", "sweep.json", "model.pkl"
    results = [finished.path / "results" / name for name in names]
    for folder in ("candidates", "arrays", "raw"):
        results += sorted((finished.path / "results" / folder).iterdir())
    code = [path for path in (finished.path / "workflow").rglob("*") if path.is_file()]
    settings = [path for path in (finished.path / "config").rglob("*") if path.is_file()]
    # In this order each file becomes older than the files that it was made from.
    for path in (*results, *code, *settings, finished.path / "Snakefile"):
        os.utime(path)
    assert finished.planned(dataset="digits") == {}


def test_copied_results_run_nothing(digits_run: Checkout, tmp_path: Path):
    copy = Checkout.fresh(tmp_path)
    for folder in (".snakemake", "results"):
        # Without their time stamps.
        shutil.copytree(digits_run.path / folder, copy.path / folder, copy_function=shutil.copyfile)
    assert copy.planned(dataset="digits") == {}


def test_job_records_decide_without_snakemakes_metadata(finished: Checkout):
    shutil.rmtree(finished.path / ".snakemake")
    assert finished.planned(dataset="digits") == {}
    assert finished.planned(dataset="digits", seed=7) == {"preview": 1} | SWEEP
    # A partial run does not change the rest.
    finished.finish("results/preview.png", dataset="digits", seed=7)
    assert finished.planned(dataset="digits", seed=7) == SWEEP


# ---- Configuration -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "rules"),
    [
        ({"regularization": 0.8}, MODEL),
        ({"regularization": [0.8, 0.80]}, MODEL),
        ({"regularization": [0.5, 2]}, SWEEP),
        ({"validation_fraction": 0.2}, SWEEP),
        ({"solver": "liblinear"}, SWEEP),
        ({"seed": 7}, {"preview": 1} | SWEEP),
        ({"preview_images": 10}, {"preview": 1, "register": 1}),
        ({"model_name": "other"}, {"register": 1}),
        ({"experiment_name": "other"}, {"register": 1}),
        ({"registry_uri": "sqlite:///other/mlflow.db"}, {"register": 1}),
        # Snakemake compares the set of a rule's values and ignores their names.
        (
            {"model_name": "Tutorial-sklearn-digits", "experiment_name": "sklearn_digits"},
            {"register": 1},
        ),
        ({"model_name": "sklearn_digits", "experiment_name": "Tutorial-sklearn-digits"}, {}),
        ({"dataset": "mnist"}, EVERY),
        ({"seed": 42, "validation_fraction": 0.16667}, {}),
        ({"regularization": [10, 0.50, 2.0, "1e-1"]}, {}),
    ],
)
def test_a_changed_key_runs_the_rules_that_depend_on_it(digits_run: Checkout, changed, rules):
    assert digits_run.planned(**({"dataset": "digits"} | changed)) == rules


def test_the_number_of_cores_runs_nothing(digits_run: Checkout):
    assert digits_run.planned("--cores", "1", dataset="digits") == {}


def test_the_same_setting_in_the_file_runs_nothing(finished: Checkout):
    settings = finished.path / "config/config.yaml"
    text = settings.read_text().replace("dataset: mnist", "dataset: digits  # for a moment")
    settings.write_text(text + "\n# a comment\n")
    assert finished.planned() == {}


def test_a_new_source_runs_nothing(finished: Checkout):
    append(finished.path / "config/datasets.yaml", "    - folder: data/digits\n")
    assert finished.planned(dataset="digits") == {}


def test_the_order_of_the_files_of_a_data_set_runs_nothing(finished: Checkout):
    registry = finished.path / "config/datasets.yaml"
    datasets = yaml.safe_load(registry.read_text())
    files = datasets["digits"]["files"]
    datasets["digits"]["files"] = dict(reversed(files.items()))
    registry.write_text(yaml.safe_dump(datasets, sort_keys=False))
    assert finished.planned(dataset="digits") == {}


def test_a_package_that_is_added_to_the_cloud_trains_again(finished: Checkout):
    """training.json lists the versions of the packages in azureml.yaml."""
    append(finished.path / "workflow/envs/azureml.yaml", "      - another==1.0\n")
    assert finished.planned(dataset="digits") == SWEEP


def test_a_new_checksum_runs_the_rules_of_its_part(finished: Checkout):
    registry = finished.path / "config/datasets.yaml"
    before, last = registry.read_text().rsplit("t10k-labels-idx1-ubyte: ", 1)
    registry.write_text(f"{before}t10k-labels-idx1-ubyte: {'f' * 64}{last[64:]}")
    expected = {"download": 1, "parse": 1} | DATA | SWEEP
    assert finished.planned(dataset="digits") == expected


# ---- Results -------------------------------------------------------------------------------

MAKERS = {
    "raw/t10k-labels-idx1-ubyte.gz": {"download": 1, "parse": 1} | DATA | SWEEP,
    "arrays/train-labels.npy": {"parse": 1} | DATA | SWEEP,
    "dataset.json": DATA
    | {"evaluate": 1, "draw_mistakes": 1, "draw_weights": 1, "draw_confusion": 1, "register": 1},
    "preview.png": {"preview": 1, "register": 1},
    "class_balance.png": {"draw_class_balance": 1, "register": 1},
    "confusion.png": {"draw_confusion": 1, "register": 1},
    "mistakes.png": {"draw_mistakes": 1, "register": 1},
    "weights.png": {"draw_weights": 1, "register": 1},
    "model.pkl": SWEEP,
    "training.json": SWEEP,
    "sweep.json": SWEEP,
    "sweep.png": {"draw_sweep": 1, "register": 1},
    "metrics.json": {"evaluate": 1, "draw_confusion": 1, "register": 1},
    "registered.json": {"register": 1},
    "records/train.json": SWEEP,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("altered", [False, True], ids=["deleted", "altered"])
def test_a_missing_or_altered_result_is_made_again(finished: Checkout, name: str, altered: bool):
    path = finished.path / "results" / name
    if altered:
        path.write_bytes(path.read_bytes()[1:])
    else:
        path.unlink()
    assert finished.planned(dataset="digits") == MAKERS[name]


def test_only_results_that_the_target_needs_are_made_again(finished: Checkout):
    for name in ("preview.png", "model.pkl", "registered.json"):
        (finished.path / "results" / name).write_bytes(b"altered")
    assert finished.planned("results/preview.png", dataset="digits") == {"preview": 1}
    assert finished.planned("results/metrics.json", dataset="digits") == {"train": 1, "evaluate": 1}


def test_a_picture_of_another_configuration_is_deleted(finished: Checkout):
    finished.finish("results/metrics.json", dataset="digits", regularization=0.5)
    picture = finished.path / "results/sweep.png"
    assert not picture.exists()
    picture.touch()
    finished.finish("results/metrics.json", dataset="digits", regularization=0.5)
    assert not picture.exists()


def test_restored_earlier_results_are_not_mistaken_for_new_ones(finished: Checkout, tmp_path: Path):
    earlier = tmp_path / "earlier"
    shutil.copytree(finished.path / "results", earlier)
    finished.finish("results/metrics.json", dataset="digits", seed=7)
    shutil.rmtree(finished.path / "results")
    shutil.copytree(earlier, finished.path / "results")
    expected = {"preview": 1} | SWEEP
    assert finished.planned(dataset="digits", seed=7) == expected
    # The same holds if Snakemake is told that they are up to date.
    finished.finish("--touch", dataset="digits", seed=7)
    assert finished.planned(dataset="digits", seed=7) == expected
