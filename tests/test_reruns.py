"""What runs again when: exactly what a change has made out of date."""

import os
import re
import shutil
from pathlib import Path

import pytest

from checkout import Checkout

MODEL = {"train": 1, "evaluate": 1, "register": 1}
SWEEP = {"draw_sweep": 1} | MODEL
EVERY = {"download": 2, "parse": 2, "preview": 1} | SWEEP
FIRST_OUTPUTS = {
    "download": "results/raw/",
    "parse": "results/arrays/",
    "preview": "results/preview.png",
    "train": "results/model.pkl",
    "draw_sweep": "results/sweep.png",
    "evaluate": "results/metrics.json",
    "register": "results/registered.json",
}
# Which rules use a file themselves; what follows from them runs again as well.
USERS = {
    "scripts/download.py": ["download"],
    "scripts/parse.py": ["parse"],
    "scripts/preview.py": ["preview"],
    "scripts/draw_sweep.py": ["draw_sweep"],
    "scripts/train.py": ["train"],
    "scripts/evaluate.py": ["evaluate"],
    "scripts/register.py": ["register"],
    "scripts/train_on.py": ["train"],
    "scripts/register_on.py": ["register"],
    "scripts/azureml_cancel.py": [],
    "scripts/azureml_cleanup.py": [],
    "scripts/azureml_status.py": [],
    "scripts/show_receipt.py": [],
    "scripts/document.py": [],
    "scripts/backends/__init__.py": ["register", "train"],
    "scripts/backends/azureml.py": ["register", "train"],
    "scripts/backends/choice.py": ["register", "train"],
    "scripts/backends/deadline.py": ["register", "train"],
    "scripts/backends/failures.py": ["register", "train"],
    "scripts/backends/frame.py": ["register", "train"],
    "scripts/backends/records.py": ["register", "train"],
    "scripts/backends/sdk_v1/__init__.py": ["register", "train"],
    "scripts/backends/sdk_v1/compute.py": ["register", "train"],
    "scripts/backends/sdk_v1/data.py": ["register", "train"],
    "scripts/backends/sdk_v1/environment.py": ["register", "train"],
    "scripts/backends/sdk_v1/runs.py": ["register", "train"],
    "scripts/backends/sdk_v1/workspace.py": ["register", "train"],
    "scripts/backends/settings.py": ["register", "train"],
    "scripts/lib/__init__.py": sorted(EVERY),
    "scripts/lib/code.py": ["register", "train"],
    "scripts/lib/command.py": sorted(EVERY),
    "scripts/lib/configuration.py": [],
    "scripts/lib/files.py": sorted(EVERY),
    "scripts/lib/fingerprint.py": ["train"],
    "scripts/lib/idx.py": ["download", "parse", "register", "train"],
    "scripts/lib/imports.py": ["evaluate", "register", "train"],
    "scripts/lib/integrity.py": [],
    "scripts/lib/machine.py": ["train"],
    "scripts/lib/model.py": ["evaluate", "register", "train"],
    "scripts/lib/newton/__init__.py": ["train"],
    "scripts/lib/newton/estimator.py": ["train"],
    "scripts/lib/newton/hessian.py": ["train"],
    "scripts/lib/newton/objective.py": ["train"],
    "scripts/lib/newton/optimizer.py": ["train"],
    "scripts/lib/newton/rounding.py": ["train"],
    "scripts/lib/newton/rows.py": ["train"],
    "scripts/lib/pins.py": ["register", "train"],
    "scripts/lib/provenance.py": ["register", "train"],
    "scripts/lib/receipt.py": ["register"],
    "scripts/lib/record.py": sorted(EVERY),
    "scripts/lib/reporting.py": ["train"],
    "scripts/lib/solvers.py": ["train"],
    "scripts/lib/sources.py": ["download"],
    "scripts/lib/sweep.py": ["train"],
    "envs/azureml.yaml": [],
    "envs/data.yaml": ["download", "parse"],
    "envs/preview.yaml": ["draw_sweep", "preview"],
    "envs/register.yaml": ["register"],
    "envs/train.yaml": ["evaluate", "train"],
}


def users(checkout: Checkout) -> list[str]:
    """Return the rules whose outputs are out of date by themselves, not by what they follow."""
    said = checkout.finish("-n", dataset="digits").stdout
    files = re.findall(r"^Out of date: (.+) was made with other settings or code\.$", said, re.M)
    return sorted({rule for rule, made in FIRST_OUTPUTS.items() if re.search(made, str(files))})


def append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


# ---- Code ----------------------------------------------------------------------------------


def test_every_file_of_the_code_is_listed(digits_run: Checkout):
    workflow = digits_run.path / "workflow"
    found = [*workflow.glob("scripts/**/*.py"), *workflow.glob("envs/*.yaml")]
    assert sorted(str(path.relative_to(workflow)) for path in found) == sorted(USERS)


@pytest.mark.parametrize("name", USERS)
def test_an_edit_runs_the_rules_that_use_the_file(finished: Checkout, name: str):
    append(finished.path / "workflow" / name, "\n# edited\n")
    assert users(finished) == USERS[name]


def test_an_edit_runs_what_follows_from_it(finished: Checkout):
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
    # In this order, so that each file is older than what it was made from.
    for path in (*results, *code, *settings, finished.path / "Snakefile"):
        os.utime(path)
    assert finished.planned(dataset="digits") == {}


def test_copied_results_run_nothing(digits_run: Checkout, tmp_path: Path):
    copy = Checkout.fresh(tmp_path)
    for folder in (".snakemake", "results"):
        # Without their time stamps.
        shutil.copytree(digits_run.path / folder, copy.path / folder, copy_function=shutil.copyfile)
    assert copy.planned(dataset="digits") == {}


def test_without_snakemakes_records_those_of_the_jobs_decide(finished: Checkout):
    shutil.rmtree(finished.path / ".snakemake")
    assert finished.planned(dataset="digits") == {}
    assert finished.planned(dataset="digits", seed=7) == {"preview": 1} | SWEEP
    # A part of the workflow that ran meanwhile changes nothing of it.
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
        ({"model_name": "other"}, {"register": 1}),
        ({"experiment_name": "other"}, {"register": 1}),
        ({"registry_uri": "sqlite:///other/mlflow.db"}, {"register": 1}),
        # Snakemake compares the set of a rule's values, whatever they are values of.
        (
            {"model_name": "Tutorial-sklearn-mnist", "experiment_name": "sklearn_mnist"},
            {"register": 1},
        ),
        ({"dataset": "mnist"}, EVERY),
        ({"seed": 42, "validation_fraction": 0.16667}, {}),
        ({"regularization": [10, 0.50, 2.0, "1e-1"]}, {}),
    ],
)
def test_a_changed_key_runs_the_rules_that_depend_on_it(digits_run: Checkout, changed, rules):
    assert digits_run.planned(**({"dataset": "digits"} | changed)) == rules


def test_the_number_of_cores_runs_nothing(digits_run: Checkout):
    assert digits_run.planned("--cores", "1", dataset="digits") == {}


def test_a_file_is_as_good_as_the_command_line(finished: Checkout):
    settings = finished.path / "config/config.yaml"
    text = settings.read_text().replace("dataset: mnist", "dataset: digits  # for a moment")
    settings.write_text(text + "\n# a comment\n")
    assert finished.planned() == {}


def test_a_new_source_runs_nothing(finished: Checkout):
    append(finished.path / "config/datasets.yaml", "    - folder: data/digits\n")
    assert finished.planned(dataset="digits") == {}


def test_a_new_checksum_runs_what_follows_from_its_part(finished: Checkout):
    registry = finished.path / "config/datasets.yaml"
    before, last = registry.read_text().rsplit("t10k-labels-idx1-ubyte: ", 1)
    registry.write_text(f"{before}t10k-labels-idx1-ubyte: {'f' * 64}{last[64:]}")
    assert finished.planned(dataset="digits") == {"download": 1, "parse": 1} | SWEEP


# ---- Results -------------------------------------------------------------------------------

MAKERS = {
    "raw/t10k-labels-idx1-ubyte.gz": {"download": 1, "parse": 1} | SWEEP,
    "arrays/train-labels.npy": {"parse": 1, "preview": 1} | SWEEP,
    "preview.png": {"preview": 1, "register": 1},
    "model.pkl": SWEEP,
    "training.json": SWEEP,
    "sweep.json": SWEEP,
    "sweep.png": {"draw_sweep": 1, "register": 1},
    "metrics.json": {"evaluate": 1, "register": 1},
    "registered.json": {"register": 1},
    "records/train.json": SWEEP,
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("altered", [False, True], ids=["deleted", "altered"])
def test_a_result_is_made_again_with_what_follows(finished: Checkout, name: str, altered: bool):
    path = finished.path / "results" / name
    if altered:
        path.write_bytes(path.read_bytes()[1:])
    else:
        path.unlink()
    assert finished.planned(dataset="digits") == MAKERS[name]


def test_only_what_the_target_needs_is_made_again(finished: Checkout):
    for name in ("preview.png", "model.pkl", "registered.json"):
        (finished.path / "results" / name).write_bytes(b"altered")
    assert finished.planned("results/preview.png", dataset="digits") == {"preview": 1}
    assert finished.planned("results/metrics.json", dataset="digits") == {"train": 1, "evaluate": 1}


def test_a_picture_of_another_configuration_goes(finished: Checkout):
    finished.finish("results/metrics.json", dataset="digits", regularization=0.5)
    picture = finished.path / "results/sweep.png"
    assert not picture.exists()
    picture.touch()
    finished.finish("results/metrics.json", dataset="digits", regularization=0.5)
    assert not picture.exists()


def test_earlier_results_that_were_brought_back_are_not_taken_for_new_ones(
    finished: Checkout, tmp_path: Path
):
    earlier = tmp_path / "earlier"
    shutil.copytree(finished.path / "results", earlier)
    finished.finish("results/metrics.json", dataset="digits", seed=7)
    shutil.rmtree(finished.path / "results")
    shutil.copytree(earlier, finished.path / "results")
    expected = {"preview": 1} | SWEEP
    assert finished.planned(dataset="digits", seed=7) == expected
    # Nor if Snakemake is told that they are up to date.
    finished.finish("--touch", dataset="digits", seed=7)
    assert finished.planned(dataset="digits", seed=7) == expected
