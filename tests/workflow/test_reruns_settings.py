"""A changed setting, data set, time stamp or call runs again exactly what depends on it."""

import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from checkout import Checkout
from job_graph import ON_DEMAND, OUTPUTS, repeated

DIGITS = {"dataset": "digits"}
NOTHING: set[str] = set()
ALL = repeated(*OUTPUTS)
MODEL = repeated("train")
ONE_CANDIDATE = repeated("train", without={*ON_DEMAND, "draw_sweep"})
NOT_LINEAR = repeated("train", without={*ON_DEMAND, "draw_sweep", "draw_weights"})
PACKAGES = f"packaging=={version('packaging')}\n"
NAIVE_BAYES = "sklearn.naive_bayes.BernoulliNB"

# ---- Configuration -------------------------------------------------------------------------

#: Values of each key, and the jobs that follow from them.
KEYS = [
    ("dataset", "mnist", ALL),
    ("backend", "local", NOTHING),
    ("backend", "azureml", MODEL),
    ("estimator", "logistic_regression", NOTHING),
    ("estimator", NAIVE_BAYES, NOT_LINEAR),
    ("estimator", "sklearn.linear_model.RidgeClassifier", ONE_CANDIDATE),
    ("parameters", {}, NOTHING),
    ("extra_packages", "mine.txt", MODEL | repeated("evaluate", "draw_mistakes")),
    ("regularization", 0.8, ONE_CANDIDATE),
    ("regularization", [0.8, 0.80], ONE_CANDIDATE),
    ("regularization", [0.5, 2], MODEL),
    ("regularization", [0.1, 0.5, 2, 10, 20], MODEL),
    ("regularization", [10, 0.50, 2.0, "1e-1"], NOTHING),
    ("validation_fraction", 0.2, MODEL),
    ("validation_fraction", 0.16667, NOTHING),
    ("solver", "liblinear", MODEL),
    ("seed", 7, MODEL | repeated("preview")),
    ("seed", 42, NOTHING),
    ("preview_images", 10, repeated("preview")),
    ("model_name", "other", {"register"}),
    ("model_name", "sklearn_digits", NOTHING),
    ("experiment_name", "other", {"register"}),
    ("experiment_name", "Tutorial-sklearn-digits", NOTHING),
    ("registry_uri", "sqlite:///other/mlflow.db", {"register"}),
    ("registry_uri", "http://127.0.0.1:1", {"register"}),
    ("promote", True, {"register"}),
    ("promote", "true", {"register"}),
    ("promote", "false", NOTHING),
    ("confirm", "yes", NOTHING),
    ("predict", "config", NOTHING),
]
#: Nothing in the section azureml changes the model.
AZUREML = {
    "sdk": "v1",
    "auth": "cli",
    "workspace_config": "somewhere/config.json",
    "compute": {"name": "other", "vm_size": "STANDARD_D4_V2", "max_nodes": 2},
    "dataset_name": "other",
    "environment_name": "other",
    "run_limit_seconds": 3600,
    "connect_seconds": 5,
    "patience_seconds": 60,
    "poll_seconds": 1,
}


def ids(value: object) -> str:
    """Return the name of a parameter. A set has no order, so it has no name."""
    return "" if isinstance(value, set) else str(value)


def write_key(checkout: Checkout, key: str, value: object) -> None:
    """Change a key in config.yaml."""
    path = checkout.path / "config/config.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(settings | {key: value}), encoding="utf-8")


@pytest.mark.parametrize(("key", "value", "jobs"), KEYS, ids=ids)
def test_a_key_in_the_call_runs_what_depends_on_it(finished: Checkout, key, value, jobs):
    (finished.path / "mine.txt").write_text(PACKAGES)
    assert finished.planned_jobs(**DIGITS | {key: value}) == jobs


@pytest.mark.parametrize(("key", "value", "jobs"), KEYS, ids=ids)
def test_a_key_in_the_file_runs_what_depends_on_it(finished: Checkout, key, value, jobs):
    write_key(finished, "dataset", "digits")
    (finished.path / "mine.txt").write_text(PACKAGES)
    write_key(finished, key, value)
    assert finished.planned_jobs() == jobs


@pytest.mark.parametrize("key", AZUREML)
def test_a_key_of_the_section_azureml_runs_nothing(digits_run: Checkout, key: str):
    section = yaml.safe_dump({key: AZUREML[key]}, default_flow_style=True).strip()
    assert digits_run.planned_jobs(azureml=section, **DIGITS) == NOTHING


def test_two_names_that_are_exchanged_are_registered(digits_run: Checkout):
    """Snakemake compares the set of a rule's values and ignores their names."""
    names = {"model_name": "Tutorial-sklearn-digits", "experiment_name": "sklearn_digits"}
    assert digits_run.planned_jobs(**DIGITS | names) == {"register"}


def test_a_single_rate_has_no_images_that_are_held_out(finished: Checkout):
    finished.finish("results/metrics.json", regularization=0.8, **DIGITS)
    one = {"regularization": [0.8], "validation_fraction": 0.3}
    assert finished.planned_jobs("results/metrics.json", **DIGITS | one) == NOTHING


def test_a_value_that_is_changed_back_runs_what_was_made_with_the_other(finished: Checkout):
    other = {"regularization": [0.5, 2]}
    finished.finish("results/metrics.json", **DIGITS | other)
    assert finished.planned_jobs(**DIGITS) == MODEL
    assert finished.planned_jobs(**DIGITS | other) == MODEL - {"train", "evaluate"}


# ---- The entry of the data set -------------------------------------------------------------


def edit_entry(checkout: Checkout, change: Callable[[dict], object]) -> None:
    """Change the entry of the digits."""
    path = checkout.path / "config/datasets.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(entries["digits"])
    path.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")


DESCRIBED = repeated("describe") - {"train", "draw_sweep"}
ENTRY: dict[str, tuple[Callable[[dict], object], set[str]]] = {
    "a description": (lambda entry: entry.update(description="Digits"), DESCRIBED),
    "no description": (lambda entry: entry.pop("description"), DESCRIBED),
    "another license": (lambda entry: entry.update(license="CC0"), DESCRIBED),
    "names of classes": (lambda entry: entry.update(classes=list("abcdefghij")), DESCRIBED),
    "another polarity": (lambda entry: entry.update(polarity="as_is"), DESCRIBED),
    "another source": (lambda entry: entry.update(sources=[{"folder": "data/digits"}]), NOTHING),
    "one more source": (lambda entry: entry["sources"].append({"folder": "digits"}), NOTHING),
    "another order": (
        lambda entry: entry.update(files=dict(reversed(entry["files"].items()))),
        NOTHING,
    ),
    "another order of keys": (lambda entry: entry.update(license=entry.pop("license")), NOTHING),
    **{
        f"another {part} {kind}": (
            lambda entry, name=f"{part}-{kind}-ubyte": entry["files"].update({name: "f" * 64}),
            repeated(f"download_{part}"),
        )
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    },
}


@pytest.mark.parametrize("what", ENTRY)
def test_an_edit_of_the_entry_runs_what_depends_on_it(finished: Checkout, what: str):
    change, jobs = ENTRY[what]
    edit_entry(finished, change)
    assert finished.planned_jobs(**DIGITS) == jobs


def test_other_entries_run_nothing(finished: Checkout):
    path = finished.path / "config/datasets.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({"digits": entries["digits"]}), encoding="utf-8")
    (finished.path / "config/my_datasets.yaml").write_text("mine:\n  images: photos\n")
    assert finished.planned_jobs(**DIGITS) == NOTHING


def test_an_entry_that_moves_to_ones_own_file_runs_nothing(finished: Checkout):
    path = finished.path / "config/datasets.yaml"
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    digits = {"digits": entries.pop("digits")}
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    path.with_name("my_datasets.yaml").write_text(yaml.safe_dump(digits), encoding="utf-8")
    assert finished.planned_jobs(**DIGITS) == NOTHING


# ---- Time stamps and copies ----------------------------------------------------------------

#: The folders of the code, the settings, and everything.
PLACES = "workflow", "config", "results", "."


@pytest.mark.parametrize("time", [None, (0, 0), (4e9, 4e9)], ids=["now", "old", "future"])
@pytest.mark.parametrize("place", PLACES)
def test_new_time_stamps_run_nothing(finished: Checkout, place: str, time: tuple | None):
    """A git checkout, a copy or a restored backup has other time stamps."""
    for path in sorted((finished.path / place).rglob("*"), reverse=True):
        os.utime(path, time)
    assert finished.planned_jobs(**DIGITS) == NOTHING


@pytest.mark.parametrize("name", ["raw/train-images-idx3-ubyte.gz", "arrays/train-images.npy"])
def test_new_time_stamps_of_large_files_run_nothing(finished: Checkout, name: str):
    """Snakemake compares files above a size by time stamp. In the profile it is 100 MB."""
    (finished.path / "results" / name).touch()
    assert finished.planned_jobs("--max-checksum-file-size", "0", **DIGITS) == NOTHING


@pytest.mark.parametrize("folders", [["results"], [".snakemake", "results"]], ids=len)
def test_results_that_are_copied_into_a_fresh_clone_are_only_registered(
    digits_run: Checkout, tmp_path: Path, folders: list[str]
):
    copy = Checkout.fresh(tmp_path / "clone")
    for folder in folders:
        # Without their time stamps, as cp -r does.
        shutil.copytree(digits_run.path / folder, copy.path / folder, copy_function=shutil.copyfile)
    assert copy.planned_jobs(**DIGITS) == {"register"}


@pytest.mark.parametrize(
    "folder", [".snakemake", ".snakemake/metadata", ".snakemake/estimators", "downloads", "data"]
)
def test_a_deleted_folder_that_has_no_results_runs_nothing(finished: Checkout, folder: str):
    shutil.rmtree(finished.path / folder, ignore_errors=True)
    assert finished.planned_jobs(**DIGITS) == NOTHING


def test_job_records_decide_without_snakemakes_metadata(finished: Checkout):
    shutil.rmtree(finished.path / ".snakemake")
    assert finished.planned_jobs(seed=7, **DIGITS) == repeated("preview", "train")
    # A partial run does not change the rest.
    finished.finish("results/preview.png", seed=7, **DIGITS)
    assert finished.planned_jobs(seed=7, **DIGITS) == MODEL


# ---- Calls ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        "--cores 1",
        "--cores 64",
        "--jobs 3",
        "--keep-going",
        "--rerun-triggers mtime",
        "--workflow-profile none",
        "--snakefile ./Snakefile",
        "--configfile config/config.yaml",
        "--set-threads train=1",
        "--default-resources mem_mb=500",
        "--latency-wait 9",
        "--nolock",
        "--rerun-incomplete",
        "results/registered.json",
        "results/model.pkl results/preview.png",
        "register",
    ],
)
def test_another_way_to_call_runs_nothing(digits_run: Checkout, options: str):
    assert digits_run.planned_jobs(*options.split(), **DIGITS) == NOTHING


@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "de_DE.UTF-8"},
        {"TZ": "Asia/Tokyo"},
        {"OMP_NUM_THREADS": "1"},
        {"HOME": "/nowhere"},
        {"USER": "somebody"},
        {"AML_COMPUTE_CLUSTER_NAME": "other"},
        {"PYTHONHASHSEED": "1"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_an_environment_variable_runs_nothing(finished: Checkout, variables: dict[str, str]):
    finished.environment = variables
    assert finished.planned_jobs(**DIGITS) == NOTHING
