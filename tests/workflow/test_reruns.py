"""An edit of the code runs again exactly the rules that use it, and those that follow."""

import re
from pathlib import Path

import pytest

from checkout import TOP, Checkout, planned_jobs
from image_workflow.lineage.code import code_files
from job_graph import OUTPUTS, jobs_of, repeated

DIGITS = {"dataset": "digits"}
# Rules that a run of the digits without the report does not need. predict has its own tests.
OTHERS = ["convert", "report", "summarize"]
RULES = sorted(
    {job.removesuffix("_t10k").removesuffix("_test").removesuffix("_train") for job in OUTPUTS}
)
ALL = sorted([*RULES, *OTHERS])
# The training code: the receipt has its checksum.
TRAINING = ["register", "train"]
# The rules that load the model.
LOADERS = ["draw_mistakes", "draw_weights", "evaluate", *TRAINING]
PICTURES = sorted(rule for rule in RULES if rule == "preview" or rule.startswith("draw_"))
# The rules that read or write results in JSON.
READERS = sorted([*PICTURES, "convert", "describe", "evaluate", "summarize", *TRAINING])
# The rules that use a file themselves. Rules that follow from them run again as well.
USERS = {
    "scripts/azureml_cancel.py": [],
    "scripts/azureml_cleanup.py": [],
    "scripts/azureml_deploy.py": [],
    "scripts/azureml_status.py": [],
    "scripts/azureml_undeploy.py": [],
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
    "scripts/image_workflow/backends/azureml/endpoint.py": [],
    "scripts/image_workflow/backends/azureml/failures.py": TRAINING,
    "scripts/image_workflow/backends/azureml/reporting.py": TRAINING,
    "scripts/image_workflow/backends/azureml/runs.py": TRAINING,
    "scripts/image_workflow/backends/azureml/scoring.py": [],
    "scripts/image_workflow/backends/azureml/service.py": [],
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
    "scripts/image_workflow/backends/azureml/v2/endpoints.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/environment.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/models.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/network.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/runs.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/storage.py": TRAINING,
    "scripts/image_workflow/backends/azureml/v2/workspace.py": TRAINING,
    "scripts/image_workflow/backends/azureml/watching.py": [],
    "scripts/image_workflow/backends/azureml/workspace.py": TRAINING,
    "scripts/image_workflow/backends/choice.py": ["train"],
    "scripts/image_workflow/backends/interface.py": TRAINING,
    "scripts/image_workflow/backends/local.py": ["train"],
    "scripts/image_workflow/backends/mlflow/__init__.py": ["register"],
    "scripts/image_workflow/backends/mlflow/checking.py": ["register"],
    "scripts/image_workflow/backends/mlflow/database.py": ["register"],
    "scripts/image_workflow/backends/mlflow/errors.py": ["register"],
    "scripts/image_workflow/backends/mlflow/model_files.py": ["register"],
    "scripts/image_workflow/backends/mlflow/promotion.py": ["register"],
    "scripts/image_workflow/backends/mlflow/registry.py": ["register"],
    "scripts/image_workflow/backends/mlflow/runs.py": ["register"],
    "scripts/image_workflow/backends/mlflow/stored.py": ["register"],
    "scripts/image_workflow/backends/mlflow/texts.py": ["register"],
    "scripts/image_workflow/backends/mlflow/unfinished.py": ["register"],
    "scripts/image_workflow/backends/mlflow/versions.py": [],
    "scripts/image_workflow/backends/settings.py": TRAINING,
    "scripts/image_workflow/backends/sqlite_registry.py": ["register"],
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
    "scripts/image_workflow/conversion/unlabelled.py": [],
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
    "scripts/image_workflow/data/kinds.py": [
        "convert",
        "describe",
        "download",
        "parse",
        *TRAINING,
    ],
    "scripts/image_workflow/data/sources.py": ["download"],
    "scripts/image_workflow/deadline.py": ["download", *TRAINING],
    "scripts/image_workflow/errors.py": ALL,
    "scripts/image_workflow/files.py": ALL,
    "scripts/image_workflow/imports.py": sorted([*PICTURES, "evaluate", *TRAINING]),
    "scripts/image_workflow/inference/__init__.py": READERS,
    "scripts/image_workflow/inference/classifier.py": ["register"],
    "scripts/image_workflow/inference/ink.py": [],
    "scripts/image_workflow/inference/mlflow_loader.py": ["register"],
    "scripts/image_workflow/inference/model_input.py": READERS,
    "scripts/image_workflow/inference/preparation.py": [],
    "scripts/image_workflow/interrupts.py": ALL,
    "scripts/image_workflow/lineage/__init__.py": ALL,
    "scripts/image_workflow/lineage/check_table.py": [],
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
    "scripts/image_workflow/lineage/results.py": READERS,
    "scripts/image_workflow/lineage/steps.py": [],
    "scripts/image_workflow/lineage/verification.py": [],
    "scripts/image_workflow/models/__init__.py": ["convert", *LOADERS],
    "scripts/image_workflow/models/checking.py": [],
    "scripts/image_workflow/models/confidences.py": ["draw_mistakes"],
    "scripts/image_workflow/models/estimator.py": LOADERS,
    "scripts/image_workflow/models/loading.py": [],
    "scripts/image_workflow/models/memory.py": ["convert", *TRAINING],
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
    "scripts/image_workflow/start.py": ALL,
    "scripts/parse.py": ["parse"],
    "scripts/predict.py": [],
    "scripts/preview.py": ["preview"],
    "scripts/register.py": ["register"],
    "scripts/report.py": ["report"],
    "scripts/score.py": [],
    "scripts/score_candidate.py": [],
    "scripts/summarize.py": ["summarize"],
    "scripts/train.py": ["train"],
    "scripts/verify.py": [],
    "envs/azureml.yaml": ["train"],
    "envs/convert.yaml": ["convert"],
    "envs/data.yaml": ["describe", "download", "parse"],
    "envs/pictures.yaml": PICTURES,
    "envs/predict.yaml": [],
    "envs/register.yaml": ["register"],
    "envs/serve.yaml": [],
    "envs/summary.yaml": ["summarize"],
    "envs/train.yaml": ["evaluate", *TRAINING],
}


SCRIPTS = TOP / "workflow/scripts"
# The programs of the rules that have two.
TRAINERS, REGISTRARS = ["train", "fit"], ["register", "fit"]


def files(program: str) -> list[Path]:
    """Return the files of a program by its name."""
    return code_files(SCRIPTS / f"{program}.py")


def append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


# ---- Programs, modules and pinned packages -------------------------------------------------


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


@pytest.mark.parametrize("name", USERS)
def test_an_edit_runs_the_rules_that_use_the_file(finished: Checkout, name: str):
    append(finished.path / "workflow" / name, "\n# edited\n")
    users = jobs_of(rule for rule in USERS[name] if rule not in OTHERS)
    ended = finished.finish("-n", "-p", **DIGITS)
    assert planned_jobs(ended.stdout) == repeated(*users)
    # The reasons tell the users from the rules that only follow from them.
    made = re.findall(r"^Out of date: results/(.+) was made with other", ended.stdout, re.M)
    assert sorted(made) == sorted(OUTPUTS[job][0] for job in users)


def test_a_new_module_that_nothing_imports_runs_nothing(finished: Checkout):
    (finished.path / "workflow/scripts/image_workflow/mine.py").write_text("MINE = 1\n")
    (finished.path / "workflow/envs/mine.yaml").write_text("dependencies: []\n")
    assert finished.planned_jobs(**DIGITS) == set()


def test_a_module_that_is_imported_anew_runs_its_users(finished: Checkout):
    (finished.path / "workflow/scripts/image_workflow/mine.py").write_text("MINE = 1\n")
    append(finished.path / "workflow/scripts/preview.py", "\nimport image_workflow.mine\n")
    assert finished.planned_jobs(**DIGITS) == repeated("preview")


def test_a_package_that_is_added_to_the_cloud_trains_again(finished: Checkout):
    """training.json lists the versions of the packages in azureml.yaml."""
    append(finished.path / "workflow/envs/azureml.yaml", "      - another==1.0\n")
    assert finished.planned_jobs(**DIGITS) == repeated("train")


# ---- Rules ---------------------------------------------------------------------------------


def edit_rule(checkout: Checkout, rule: str, before: str, after: str) -> None:
    """Replace a text once in the definition of a rule."""
    for path in sorted((checkout.path / "workflow/rules").glob("*.smk")):
        text = path.read_text(encoding="utf-8")
        if found := re.search(rf"^ *rule {rule}:\n", text, re.M):
            edited = text[found.end() :].replace(before, after, 1)
            assert edited != text[found.end() :]
            path.write_text(text[: found.end()] + edited, encoding="utf-8")
            return
    raise AssertionError(f"there is no rule {rule}")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"{params.python:q} ', '"LANG=C {params.python:q} '),
        ("python=PYTHON,", "python=PYTHON, more=1,"),
    ],
    ids=["shell", "params"],
)
def test_an_edit_of_a_rule_runs_it(finished: Checkout, rule: str, before: str, after: str):
    edit_rule(finished, rule, before, after)
    assert finished.planned_jobs(**DIGITS) == repeated(*jobs_of([rule]))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("message:\n", 'message:\n        "Now: "\n'),
        ("threads: 1\n", "threads: 2\n"),
        ("results/logs/", "results/logs/more/"),
        ("results/benchmarks/", "results/benchmarks/more/"),
        ("mem_mb=by_size(600, 0.1)", "mem_mb=100"),
        ("params:\n", "retries: 2\n    params:\n"),
        ('"../envs/', '"../envs/../envs/'),
    ],
)
def test_an_edit_of_a_rule_that_changes_no_result_runs_nothing(
    finished: Checkout, before: str, after: str
):
    edit_rule(finished, "preview", before, after)
    assert finished.planned_jobs(**DIGITS) == set()


@pytest.mark.parametrize(
    "name",
    [str(path.relative_to(TOP)) for path in sorted((TOP / "workflow/rules").glob("*.smk"))]
    + ["Snakefile", "config/datasets.yaml", "config/config.yaml", "profiles/default/config.yaml"]
    + [str(path.relative_to(TOP)) for path in sorted((TOP / "workflow/schemas").glob("*.yaml"))],
)
def test_a_comment_in_a_rule_a_schema_or_a_setting_runs_nothing(finished: Checkout, name: str):
    append(finished.path / name, "\n# a comment\n")
    assert finished.planned_jobs(**DIGITS) == set()


# ---- The report ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reported(digits_run: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the finished checkout, with the report. Tests must restore what they change."""
    checkout = digits_run.copied(tmp_path_factory.mktemp("report") / "checkout")
    checkout.finish(PAGE, **DIGITS)
    return checkout


PAGE = "results/report.html"
REPORT_FILES = {
    "scripts/report.py": {"report"},
    "scripts/summarize.py": {"summarize", "report"},
    "envs/summary.yaml": {"summarize", "report"},
} | {
    str(path.relative_to(TOP / "workflow")): {"report"}
    | ({"summarize"} if path.parent.name == "tables" else set())
    for path in sorted((TOP / "workflow/report").rglob("*"))
    if path.is_file()
}


@pytest.mark.parametrize("name", REPORT_FILES)
def test_an_edit_of_the_report_makes_only_the_report_again(reported: Checkout, name: str):
    path = reported.path / "workflow" / name
    before = path.read_bytes()
    append(path, "\n")
    try:
        assert reported.planned_jobs(PAGE, **DIGITS) == REPORT_FILES[name]
        assert reported.planned_jobs(**DIGITS) == set()
    finally:
        path.write_bytes(before)
