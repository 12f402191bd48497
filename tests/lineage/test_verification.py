"""verify finds each manipulation of the results, the receipt, the code and the registry."""

import gzip
import json
import logging
import os
import shutil
import sqlite3
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest

import verify
from checkout import TOP, Checkout
from image_workflow.backends.interface import Check
from image_workflow.backends.mlflow.registry import MlflowRegistry
from image_workflow.configuration import load
from image_workflow.data.arrays import IDX_FILES
from image_workflow.errors import UserError
from image_workflow.lineage.check_table import table
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.verification import RESULTS, Records, compared, read_receipt
from image_workflow.models.estimator import tutorial_estimator

RECEIPT = Path("results/registered.json")
ENTRIES = load(TOP / "config/datasets.yaml")
CHECKSUMS = {name: entry["files"] for name, entry in ENTRIES.items()}


def options(**changes) -> Namespace:
    """Return the options of verify.py, as the rule gives them."""
    chosen = {
        "receipt": RECEIPT,
        "estimator_folder": None,
        "training_program": Path("workflow/scripts/fit.py").absolute(),
        "environment": Path("workflow/envs/azureml.yaml").absolute(),
        "shipped": json.dumps(CHECKSUMS),
        "azureml": "{}",
    }
    return Namespace(**chosen | changes)


def wrong() -> dict[str, str]:
    """Return the step to repeat for each comparison that does not hold, by its name."""
    rows = verify.rows_of(read_receipt(RECEIPT), options())
    return {row.check.what: row.step for row in rows if not row.check.holds}


@pytest.fixture
def here(finished: Checkout, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished workflow, as the working directory."""
    monkeypatch.chdir(finished.path)
    # In one process, MLflow keeps the database that it has opened under a relative address.
    uri = f"sqlite:///{finished.path}/registry/mlflow.db"
    monkeypatch.setattr(
        verify,
        "registry_of",
        lambda training, place: MlflowRegistry(replace(place, registry_uri=uri)),
    )
    return finished.path


# ---- Manipulations -------------------------------------------------------------------------

Manipulation = Callable[[], None]


def rewrite(path: str, content: bytes) -> None:
    """Change a file's content, and keep its time stamp."""
    found = os.stat(path)
    Path(path).write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def byte(path: str, at: int = -1) -> Manipulation:
    """Change one byte of a file. Its size and its time stamp stay."""

    def manipulate() -> None:
        content = bytearray(Path(path).read_bytes())
        content[at] ^= 1
        rewrite(path, bytes(content))

    return manipulate


def payload(path: str) -> Manipulation:
    """Change one byte of the uncompressed content of a file."""

    def manipulate() -> None:
        content = bytearray(gzip.decompress(Path(path).read_bytes()))
        content[-1] ^= 1
        rewrite(path, gzip.compress(content, mtime=0))

    return manipulate


def value(path: str, change: object, *keys: str | int) -> Manipulation:
    """Change one value in a JSON file."""

    def manipulate() -> None:
        content = json.loads(Path(path).read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        assert place[keys[-1]] != change
        place[keys[-1]] = change
        rewrite(path, json.dumps(content, indent=2).encode())

    return manipulate


def another_model() -> None:
    images = np.load("results/arrays/train-images.npy")
    labels = np.load("results/arrays/train-labels.npy")
    rows = images.reshape(len(images), -1) / 255
    joblib.dump(tutorial_estimator(5, 1).fit(rows[:300], labels[:300]), "results/model.pkl")


def a_program() -> None:
    """Put a pickle that writes a file in place of the model."""

    class Program:
        def __reduce__(self):
            return os.system, ("touch ran",)

    joblib.dump(Program(), "results/model.pkl")


def edited_code() -> None:
    with open("workflow/scripts/image_workflow/models/sweep.py", "a") as file:
        file.write("# edited\n")


def removed(path: str) -> Manipulation:
    return lambda: Path(path).unlink()


DATA = {
    f"{name}.npy": (byte(f"results/arrays/{name}.npy"), f"results/arrays/{name}.npy", "parse")
    for name in IDX_FILES
} | {
    f"{file}.gz": (payload(f"results/raw/{file}.gz"), f"results/raw/{file}.gz", "download")
    for file in IDX_FILES.values()
}
HEX = "0" * 64
#: The manipulation, the first comparison that fails, and its step. The names are those of
#: docs/verify.md.
FILES = {
    **DATA,
    "another model.pkl": (another_model, "results/model.pkl", "train"),
    "a program as model.pkl": (a_program, "results/model.pkl", "train"),
    "training.json version": (
        value("results/training.json", "9.9", "environment", "numpy"),
        "training.json: environment.numpy",
        "train",
    ),
    "training.json run": (
        value("results/training.json", "another-run", "run_id"),
        "training.json: run_id",
        "train",
    ),
    "training.json seed": (
        value("results/training.json", "43", "arguments", -1),
        "training.json: arguments[10]",
        "train",
    ),
    "sweep.json score": (
        value("results/sweep.json", 0.99, "candidates", 0, "validation_accuracy"),
        "sweep.json.candidates[0].validation_accuracy",
        "train",
    ),
    "metrics.json accuracy": (
        value("results/metrics.json", 0.99, "accuracy"),
        "metrics.json.accuracy",
        "evaluate",
    ),
    "metrics.json confusion": (
        value("results/metrics.json", 7, "confusion_matrix", 0, 0),
        "metrics, predicted again.confusion_matrix[0][0]",
        "evaluate",
    ),
    "dataset.json class name": (
        value("results/dataset.json", "drei", "classes", 3, "name"),
        "dataset.json: classes[3].name",
        "describe",
    ),
    "dataset.json count": (
        value("results/dataset.json", 9, "classes", 3, "n_test"),
        "dataset.json: counts, in the arrays.classes[3].n_test",
        "describe",
    ),
}
PICTURES = {
    name: (byte(f"results/{name}"), f"results/{name}", step)
    for name, step in {
        "preview.png": "preview",
        "class_balance.png": "draw_class_balance",
        "weights.png": "draw_weights",
        "sweep.png": "draw_sweep",
        "confusion.png": "draw_confusion",
        "mistakes.png": "draw_mistakes",
    }.items()
}
RECEIPT_VALUES = {
    "receipt accuracy": (0.99, "metrics.json.accuracy", "metrics", "accuracy"),
    "receipt model": (HEX, "training.json: model_sha256", "sha256", "model"),
    "receipt data": (HEX, "all arrays", "sha256", "data"),
    "receipt code": (HEX, "code of the training", "sha256", "code"),
    "receipt class name": ("drei", "dataset.json: classes[3].name", "classes", 3, "name"),
    "receipt commit": ("1" * 40, "git: commit", "git", "commit"),
    "receipt dirty": (True, "git: dirty", "git", "dirty"),
    "receipt version of numpy": ("9.9", "version of numpy", "environment", "numpy"),
    "receipt backend": ("azureml", "training.json: backend", "backend"),
    "receipt seed": ("43", "parameters.seed", "parameters", "seed"),
    "receipt rates": (
        [0.5, 0.7],
        "training.json: arguments",
        "configuration",
        "regularization",
    ),
    "receipt score": (
        0.99,
        "sweep.json.candidates[0].train_accuracy",
        "sweep",
        "candidates",
        0,
        "train_accuracy",
    ),
}
RECORDS = {
    "record of another file": (
        value("results/records/train.json", HEX, "outputs", "results/model.pkl", "sha256"),
        "results/model.pkl",
    ),
    "record of another input": (
        value("results/records/evaluate.json", HEX, "inputs", "results/model.pkl"),
        "inputs of evaluate",
    ),
    "record removed": (
        removed("results/records/parse_test.json"),
        "results/arrays/test-images.npy",
    ),
    "record damaged": (
        lambda: Path("results/records/train.json").write_text("{"),
        "results/records/train.json",
    ),
}


def forge_records() -> None:
    """Alter the job records, so that they have the checksums of the files as they are now."""
    folder = Path("results/records")
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        for name, entry in content["outputs"].items():
            entry["sha256"] = sha256_of_file(Path(name))
        content["inputs"] = {name: sha256_of_file(Path(name)) for name in content["inputs"]}
        path.write_text(json.dumps(content))


def test_an_honest_run_is_verified(here: Path):
    assert wrong() == {}


@pytest.mark.parametrize("name", FILES | PICTURES)
def test_an_altered_file_is_found(here: Path, name: str):
    manipulate, what, step = (FILES | PICTURES)[name]
    manipulate()
    found = wrong()
    assert found[what] == step
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "name", ["test-images.npy", "train-labels-idx1-ubyte.gz", *sorted(FILES.keys() - DATA.keys())]
)
def test_an_altered_file_is_found_even_if_the_job_records_were_altered_too(here: Path, name: str):
    manipulate, *_ = FILES[name]
    manipulate()
    forge_records()
    found = wrong()
    assert found
    assert {what for what in found if what.startswith("inputs of")} == set()
    assert not Path("ran").exists()


@pytest.mark.parametrize("name", RECEIPT_VALUES)
def test_an_altered_value_of_the_receipt_is_found(here: Path, name: str):
    change, what, *keys = RECEIPT_VALUES[name]
    value(str(RECEIPT), change, *keys)()
    found = wrong()
    assert found["results/registered.json"] == "register"
    assert what in found


@pytest.mark.parametrize("name", RECORDS)
def test_an_altered_job_record_is_found(here: Path, name: str):
    manipulate, what = RECORDS[name]
    manipulate()
    assert what in wrong()


def test_edited_code_is_found(here: Path):
    edited_code()
    assert wrong() == {"code of the training": "train"}


def test_another_version_of_a_package_is_found(here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "site/tqdm-0.0.1.dist-info").mkdir(parents=True)
    (here / "site/tqdm-0.0.1.dist-info/METADATA").write_text("Name: tqdm\nVersion: 0.0.1\n")
    monkeypatch.syspath_prepend(str(here / "site"))
    assert wrong() == {"version of tqdm": "train"}


def test_missing_files_are_rows_that_do_not_hold(here: Path):
    steps = {name: step for name, step in RESULTS.items() if name != RECEIPT.name}
    for name in steps:
        (here / "results" / name).unlink()
    found = wrong()
    assert {name: found[f"results/{name}"] for name in steps} == steps


# ---- The registry --------------------------------------------------------------------------


def artifact(pattern: str) -> Path:
    """Return the stored file of the registered model that matches a pattern."""
    return next(
        path for path in sorted(Path("registry/artifacts").rglob(pattern)) if path.is_file()
    )


def stored_model() -> Path:
    return artifact("models/*/artifacts/model.*")


def edit_artifact() -> None:
    byte(str(stored_model()))()


def replace_artifact() -> None:
    shutil.copy("results/preview.png", stored_model())


def remove_artifact() -> None:
    stored_model().unlink()


def query(command: str) -> Manipulation:
    def manipulate() -> None:
        with sqlite3.connect("registry/mlflow.db") as database:
            assert database.execute(command).rowcount > 0

    return manipulate


REGISTRY = {
    "artifact edited": edit_artifact,
    "artifact replaced": replace_artifact,
    "artifact removed": remove_artifact,
    "version deleted": query("UPDATE model_versions SET current_stage = 'Deleted_Internal'"),
    "version's tag altered": query(
        "UPDATE model_version_tags SET value = '0' WHERE key = 'model_sha256'"
    ),
    "registry deleted": lambda: shutil.rmtree("registry"),
    "receipt version": value(str(RECEIPT), 7, "version"),
    "receipt name": value(str(RECEIPT), "another", "name"),
    "receipt artifact": value(str(RECEIPT), HEX, "artifact_sha256"),
    "receipt run": value(str(RECEIPT), "0" * 32, "run_id"),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_an_altered_registry_is_found(here: Path, name: str):
    REGISTRY[name]()
    found = wrong()
    found.pop("results/registered.json", None)
    assert found and set(found.values()) == {"register"}


def test_a_version_may_be_older_than_the_code(here: Path):
    # An edit of the code that leaves the model as it is registers no second version.
    query("UPDATE model_version_tags SET value = '0' WHERE key = 'code_sha256'")()
    assert wrong() == {}


# ---- Another estimator ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deterministic", "same_machine", "wrong_images", "holds"),
    [(True, True, 1, False), (True, False, 1, True), (None, True, 1, True), (None, True, 9, False)],
)
def test_predictions_of_another_estimator_may_differ_a_little_on_another_machine(
    here: Path, monkeypatch, deterministic, same_machine, wrong_images, holds
):
    training = verify.Training.read(Path("results/training.json"))
    metrics = verify.Metrics.read(Path("results/metrics.json"))
    machine = training.machine if same_machine else {}
    monkeypatch.setattr(verify, "machine", lambda: machine)
    training = verify.Training(**training.to_json() | {"deterministic": deterministic})
    again = metrics.accuracy - wrong_images / metrics.n_test
    changed = verify.Metrics.from_json(metrics.to_json() | {"accuracy": again})
    monkeypatch.setattr(verify, "measured_again", lambda *_: changed)
    settings = verify.TrainingSettings("sklearn.svm.SVC", {}, 0, "", 0)
    rows = verify.prediction_rows(
        read_receipt(RECEIPT),
        Records.read(Path("results/records")),
        training,
        verify.DataSet.read(Path("results/dataset.json")),
        metrics,
        settings,
        options(),
    )
    assert all(row.check.holds for row in rows) == holds


# ---- Messages ------------------------------------------------------------------------------


def test_the_table_is_aligned_and_the_log_has_the_whole_checksums(here: Path, capsys, caplog):
    byte("results/preview.png")()
    with caplog.at_level(logging.INFO), pytest.raises(UserError) as raised:
        verify.main(options())
    lines = capsys.readouterr().err.splitlines()
    at = lines[0].index("holds")
    assert len(lines) > 60 and {line[at:] for line in lines} == {"holds", "yes", "NO"}
    assert max(map(len, lines)) < 150
    expected = Records.read(Path("results/records")).sha256("results/preview.png")
    found = sha256_of_file(Path("results/preview.png"))
    assert expected in caplog.text and found in caplog.text
    count = len(lines) - 1
    assert str(raised.value) == (
        f"{count - 1} of {count} hold. The first that does not is results/preview.png: expected "
        f"{expected}, found {found}. Repeat the step preview with the same configuration: "
        "snakemake --cores 1 results/registered.json --forcerun preview"
    )


def test_the_first_difference_is_that_of_the_earliest_step(here: Path):
    byte("results/mistakes.png")()
    byte("results/arrays/test-labels.npy")()
    byte("results/model.pkl")()
    with pytest.raises(
        UserError, match=r"The first .* is results/arrays/test-labels.npy: .* parse"
    ):
        verify.main(options())


def test_nothing_is_changed(here: Path):
    def state() -> dict:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for folder in ("results", "registry", "config")
            for path in Path(folder).rglob("*")
        }

    before = state()
    verify.rows_of(read_receipt(RECEIPT), options())
    assert state() == before


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"{}", b"\xff"),
        *('{"sha256": 5}', '{"classes": [5]}', '{"classes": [{}]}', '{"configuration": {}}'),
        *('{"git": null}', '{"sha256": {"model": 5}}', '{"version": "1"}', '{"sweep": 5}'),
    ],
)
def test_a_damaged_receipt_is_one_sentence(here: Path, content: bytes | str):
    if isinstance(content, str):
        whole = json.loads(RECEIPT.read_text())
        content = json.dumps(whole | json.loads(content)).encode()
    RECEIPT.write_bytes(content)
    with pytest.raises(UserError, match=r"^results/registered.json is damaged[^\n]*$"):
        verify.main(options())


def test_a_missing_receipt_is_one_sentence(here: Path):
    RECEIPT.unlink()
    with pytest.raises(UserError) as raised:
        verify.main(options())
    assert str(raised.value) == (
        "results/registered.json does not exist. Register a model first: snakemake --cores 1 "
        "results/registered.json"
    )


def test_the_first_part_that_differs_is_named():
    one, other = {"a": [1, {"b": "x"}]}, {"a": [1, {"b": "y"}]}
    assert compared("it", one, other) == ("it.a[1].b", "x", "y")
    assert compared("it", {"a": None}, {}) == ("it.a", "null", "nothing")
    assert compared("it", [1], [1, 2]) == ("it", "[1]", "[1, 2]")
    assert compared("it", {"a": 1, "b": 2}, {"b": 2, "a": 1}).holds


def test_a_text_in_the_table_has_no_control_characters():
    lines = table([Check("file\x1b[2J", "a\nb", "c" * 64)])
    assert len(lines) == 2 and lines[1].isprintable()


def test_the_documents_list_all_manipulations():
    document = (TOP / "docs/verify.md").read_text(encoding="utf-8")
    rows = document.split("| kind | altered |\n|---|---|\n")[1].split("\n\n")[0]
    listed = [name for row in rows.splitlines() for name in row.split("|")[2].strip().split(", ")]
    tested = [*FILES, *PICTURES, *RECEIPT_VALUES, *RECORDS, *REGISTRY]
    others = ["code edited after the run", "another version of a package"]
    assert sorted(listed) == sorted([*tested, *others])
