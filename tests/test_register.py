"""The registration: a real MLflow on SQLite, and one version for each model's content."""

import gzip
import hashlib
import json
import shutil
import socket
import sqlite3
from argparse import Namespace
from contextlib import closing
from pathlib import Path

import jsonschema
import mlflow
import numpy as np
import pytest
import yaml

import register
import train
from checkout import TOP
from evaluate import metrics
from lib import idx
from lib.command import UserError
from lib.files import write_json
from lib.model import features
from lib.pins import pinned
from lib.provenance import load_sets
from lib.record import sha256 as sha256_of
from samples import labelled_images

KEYS = [
    "name",
    "version",
    "id",
    "registry",
    "registry_uri",
    "backend",
    "backend_reason",
    "workspace",
    "cluster",
    "run_id",
    "portal_url",
    "metrics",
    "sweep",
    "parameters",
    "sha256",
    "environment",
    "machine",
    "git",
]
PARAMETERS = {"regularization": "0.5", "dataset": "mine", "solver": "liblinear", "seed": "42"}
SWEEP = {
    "regularization_rate": 0.5,
    "n_train": 30,
    "n_validation": 10,
    "candidates": [
        {"regularization_rate": 0.5, "train_accuracy": 1.0, "validation_accuracy": 0.9},
        {"regularization_rate": 2.0, "train_accuracy": 0.9, "validation_accuracy": 0.8},
    ],
}
ARGUMENTS = ["--regularization", "0.5", "--solver", "liblinear", "--seed", "42"]
SCRIPT = TOP / "workflow/scripts/train.py"
ENVIRONMENT = TOP / "workflow/envs/train.yaml"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without experiments: making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def options(tmp_path: Path, empty_store: Path) -> Namespace:
    """The options of register.py for a small model that was trained and measured for real."""
    (tmp_path / "registry").mkdir()
    shutil.copy(empty_store, tmp_path / "registry/mlflow.db")
    images, labels = labelled_images(60, 5, 4, classes=[0, 3, 200])
    (tmp_path / "arrays").mkdir()
    for part, where in (("train", slice(0, 40)), ("test", slice(40, 60))):
        np.save(tmp_path / f"arrays/{part}-images.npy", images[where])
        np.save(tmp_path / f"arrays/{part}-labels.npy", labels[where])
    write_model(tmp_path / "model.pkl", rate=0.5)
    predicted = register.joblib.load(tmp_path / "model.pkl").predict(features(images[40:]))
    write_json(tmp_path / "metrics.json", metrics(labels[40:], predicted, 0.5, 40))
    describe_training(tmp_path / "model.pkl")
    (tmp_path / "preview.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_json(tmp_path / "sweep.json", SWEEP | {"candidates": []})
    return Namespace(
        model=tmp_path / "model.pkl",
        metrics=tmp_path / "metrics.json",
        training=tmp_path / "training.json",
        sweep=tmp_path / "sweep.json",
        pictures=[tmp_path / "preview.png"],
        data_folder=tmp_path / "arrays",
        data_sha256=[idx.payload_sha256(array) for array in load_sets(tmp_path / "arrays")],
        arguments=ARGUMENTS,
        training_script=SCRIPT,
        environment=ENVIRONMENT,
        model_name="my_model",
        experiment_name="my_experiment",
        registry_uri=f"sqlite:///{tmp_path}/registry/mlflow.db",
        parameters=given(PARAMETERS),
        receipt=tmp_path / "registered.json",
    )


def given(parameters: dict[str, str]) -> list[str]:
    """Return the parameters as the rule gives them: the model itself tells its rate."""
    return [f"{key}={value}" for key, value in parameters.items() if key != "regularization"]


def describe_training(model: Path) -> None:
    """Write training.json, as it is after this model was trained."""
    write_json(
        model.with_name("training.json"),
        {
            "backend": "local",
            "backend_reason": "no workspace is configured",
            "workspace": None,
            "portal_url": None,
            "environment": {"python": "3.11.7"} | pinned(ENVIRONMENT),
            "machine": {"processor": "any", "blas": ["openblas 0.3"], "numpy_simd": []},
            "arguments": ARGUMENTS,
            "model_sha256": sha256_of(model),
        },
    )


def write_model(path: Path, rate: float) -> None:
    train.main(
        Namespace(
            data_folder=path.parent,
            regularization=[rate],
            validation_fraction=0.2,
            solver="liblinear",
            seed=42,
            threads=1,
            output=path,
        )
    )


def registered(options: Namespace, **changes) -> dict:
    """Register as the rule does and return the receipt."""
    changed = Namespace(**(vars(options) | changes))
    register.main(changed)
    return json.loads(changed.receipt.read_text())


def runs(options: Namespace) -> list:
    client = mlflow.MlflowClient(options.registry_uri)
    return client.search_runs([found.experiment_id for found in client.search_experiments()])


def versions(options: Namespace) -> list[tuple[str, int]]:
    client = mlflow.MlflowClient(options.registry_uri)
    return sorted((found.name, int(found.version)) for found in client.search_model_versions())


# ---- What is registered --------------------------------------------------------------------


def test_the_run_has_all_that_the_model_was_made_from(options: Namespace):
    receipt = registered(options)
    (run,) = runs(options)
    assert run.info.run_id == receipt["run_id"]
    assert run.info.status == "FINISHED"
    assert run.data.params == PARAMETERS
    measured = json.loads(options.metrics.read_text())
    assert run.data.metrics == {
        key: measured[key] for key in ("accuracy", "regularization_rate", "n_train", "n_test")
    }
    tags = {
        "model_sha256": receipt["sha256"]["model"],
        "data_sha256": receipt["sha256"]["data"],
        "code_sha256": receipt["sha256"]["code"],
        "git_commit": str(receipt["git"]["commit"]),
        "git_dirty": str(receipt["git"]["dirty"]),
    }
    assert tags.items() <= run.data.tags.items()
    artifacts = mlflow.MlflowClient(options.registry_uri).list_artifacts(run.info.run_id)
    logged = {found.path for found in artifacts}
    assert logged == {"model.pkl", "metrics.json", "sweep.json", "preview.png"}


def test_every_picture_goes_with_the_run(options: Namespace, tmp_path: Path):
    shutil.copy(tmp_path / "preview.png", tmp_path / "sweep.png")
    receipt = registered(options, pictures=[*options.pictures, tmp_path / "sweep.png"])
    artifacts = mlflow.MlflowClient(options.registry_uri).list_artifacts(receipt["run_id"])
    assert {"preview.png", "sweep.png"} < {found.path for found in artifacts}


def test_the_version_is_the_model_with_signature_example_and_pins(options: Namespace):
    registered(options)
    client = mlflow.MlflowClient(options.registry_uri)
    version = client.get_model_version("my_model", "1")
    assert version.tags["model_sha256"] == hashlib.sha256(options.model.read_bytes()).hexdigest()
    folder = Path(mlflow.artifacts.download_artifacts("models:/my_model/1"))
    model = mlflow.models.Model.load(str(folder))
    (pixels,) = model.signature.inputs.inputs
    assert (pixels.type, pixels.shape) == (np.dtype("float64"), (-1, 20))
    (predicted,) = model.signature.outputs.inputs
    assert (predicted.type, predicted.shape) == (np.dtype("uint8"), (-1,))
    images = np.load(options.data_folder / "test-images.npy")
    np.testing.assert_array_equal(model.load_input_example(str(folder)), features(images[:5]))
    pins = yaml.safe_load(ENVIRONMENT.read_text())["dependencies"][-1]["pip"]
    requirements = (folder / "requirements.txt").read_text().split()
    assert {"mlflow", "skops"} == {line.split("==")[0] for line in requirements if line not in pins}
    assert set(pins) < set(requirements)
    assert all("==" in line for line in requirements)


def test_the_registered_model_predicts_as_the_pickle_does(options: Namespace):
    registered(options)
    pixels = features(np.load(options.data_folder / "test-images.npy"))
    loaded = mlflow.pyfunc.load_model("models:/my_model/1")
    expected = register.joblib.load(options.model).predict(pixels)
    np.testing.assert_array_equal(loaded.predict(pixels), expected)


def test_artifacts_go_beside_the_database(options: Namespace, tmp_path: Path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.move(tmp_path / "registry", tmp_path / "elsewhere/registry")
    registered(options, registry_uri="sqlite:///registry/mlflow.db")
    found = {path.name for path in (tmp_path / "elsewhere/registry/artifacts").rglob("*")}
    assert {"model.pkl", "preview.png", "metrics.json", "MLmodel"} <= found
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["registry"]


# ---- Once for its content ------------------------------------------------------------------


def test_the_same_model_is_registered_once(options: Namespace):
    assert registered(options)["version"] == 1
    receipt = options.receipt.read_bytes()
    options.receipt.unlink()
    registered(options)
    assert options.receipt.read_bytes() == receipt
    assert versions(options) == [("my_model", 1)]
    assert len(runs(options)) == 1


def test_the_same_model_under_another_name_is_its_version_1(options: Namespace):
    registered(options)
    assert registered(options, model_name="other")["version"] == 1
    assert versions(options) == [("my_model", 1), ("other", 1)]


def test_another_model_is_version_2_and_the_first_stays_1(options: Namespace):
    registered(options)
    first = options.model.read_bytes()
    write_model(options.model, rate=0.8)
    describe_training(options.model)
    assert registered(options)["version"] == 2
    assert len(runs(options)) == 2
    options.model.write_bytes(first)
    describe_training(options.model)
    assert registered(options)["version"] == 1
    assert versions(options) == [("my_model", 1), ("my_model", 2)]


def test_the_same_data_under_another_name_is_registered_too(options: Namespace):
    """The model's bytes are the same, so its run is found; the data set's name differs there."""
    registered(options)
    renamed = given(PARAMETERS | {"dataset": "copy"})
    receipt = registered(options, model_name="other", parameters=renamed)
    assert receipt["version"] == 1
    assert receipt["parameters"]["dataset"] == "copy"


class Killed(BaseException):
    """What a test raises where a run is to end."""


@pytest.mark.parametrize(
    "call",
    [
        "mlflow.log_artifact",
        "mlflow.sklearn.log_model",
        "mlflow.log_metrics",
        "mlflow.register_model",
    ],
)
def test_an_interrupted_registration_is_taken_up(options: Namespace, monkeypatch, call: str):
    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as interrupted, pytest.raises(Killed):
        interrupted.setattr(call, killed)
        register.main(options)
    assert not options.receipt.exists()
    assert registered(options)["version"] == 1
    assert versions(options) == [("my_model", 1)]
    (run,) = runs(options)
    assert run.info.status == "FINISHED"


# ---- The receipt ---------------------------------------------------------------------------


@pytest.mark.parametrize("sweep", [None, SWEEP], ids=["given", "chosen"])
def test_the_receipt_is_as_its_schema_says(options: Namespace, sweep: dict | None):
    if sweep:
        write_json(options.sweep, sweep)
    receipt = registered(options)
    schema = yaml.safe_load((TOP / "workflow/schemas/receipt.schema.yaml").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(receipt)
    assert list(receipt) == KEYS
    assert receipt["sweep"] == sweep
    assert list(receipt["metrics"]) == ["accuracy", "regularization_rate", "n_train", "n_test"]
    assert list(receipt["parameters"].items()) == list(PARAMETERS.items())
    assert list(receipt["sha256"]) == ["model", "data", "code"]
    assert list(receipt["git"]) == ["commit", "dirty"]


def test_checksums_are_those_that_a_reader_can_compute(tmp_path: Path, options: Namespace):
    sha256 = registered(options)["sha256"]
    payloads = b""
    for name in ("train-images", "train-labels", "test-images", "test-labels"):
        idx.write(tmp_path / "file.gz", np.load(options.data_folder / f"{name}.npy"))
        payloads += gzip.decompress((tmp_path / "file.gz").read_bytes())
    scripts = TOP / "workflow/scripts"
    modules = ["__init__", "code", "command", "files", "fingerprint", "idx", "imports", "machine"]
    modules += ["model", "reporting", "solvers", "sweep"]
    solver = (scripts / "lib/newton").glob("*.py")
    library = sorted([*(scripts / f"lib/{name}.py" for name in modules), *solver])
    code = b"".join(path.read_bytes() for path in (SCRIPT, *library))
    assert sha256 == {
        "model": hashlib.sha256(options.model.read_bytes()).hexdigest(),
        "data": hashlib.sha256(payloads).hexdigest(),
        "code": hashlib.sha256(code).hexdigest(),
    }


# ---- Pins and URIs -------------------------------------------------------------------------


def test_pins_are_those_of_the_environment_file(tmp_path: Path):
    text = "dependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - a==1.0\n      - b-c==2\n"
    (tmp_path / "env.yaml").write_text(text)
    assert register.pinned(tmp_path / "env.yaml") == {"a": "1.0", "b-c": "2"}


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:///registry/mlflow.db", "registry/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "/srv/mlflow.db"),
        ("https://mlflow.example.org", None),
        ("postgresql://example.org/mlflow", None),
    ],
)
def test_only_an_sqlite_store_is_a_file(uri: str, file: str | None):
    assert register.sqlite_file(uri) == (Path(file) if file else None)


# ---- A registry that cannot be used --------------------------------------------------------


def refusal(options: Namespace, registry_uri: str) -> str:
    """Return the sentence with which a registry is refused; no receipt may be written."""
    with pytest.raises(UserError) as refused:
        registered(options, registry_uri=registry_uri)
    assert not options.receipt.exists()
    assert registry_uri in str(refused.value)
    assert "registry_uri in config/config.yaml" in str(refused.value)
    return str(refused.value)


def test_arrays_of_another_data_set_are_refused(options: Namespace):
    labels = options.data_folder / "test-labels.npy"
    np.save(labels, np.load(labels)[::-1])
    with pytest.raises(UserError) as refused:
        registered(options)
    assert str(refused.value) == (
        f"{labels} is not of the configured data set: expected sha256 {options.data_sha256[3]} of "
        f"its IDX payload, found {idx.payload_sha256(np.load(labels))}. Delete it and run again."
    )


def test_a_model_that_was_not_trained_here_is_refused(options: Namespace):
    trained = sha256_of(options.model)
    write_model(options.model, rate=0.8)
    with pytest.raises(UserError) as refused:
        registered(options)
    assert str(refused.value) == (
        f"{options.model} is not the model that {options.training} describes: expected sha256 "
        f"{trained}, found {sha256_of(options.model)}. Delete it and run again."
    )


def test_a_model_of_other_settings_is_refused(options: Namespace):
    expected = [*ARGUMENTS[:-1], "7"]
    with pytest.raises(UserError) as refused:
        registered(options, arguments=expected)
    assert str(refused.value) == (
        f"{options.model} was not trained as the configuration says: expected "
        f"'{' '.join(expected)}', found '{' '.join(ARGUMENTS)}' in {options.training}. "
        f"Delete {options.model} and run again."
    )
    assert not options.receipt.exists()


def test_a_server_that_does_not_answer_is_named(options: Namespace, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        refusal(options, f"http://127.0.0.1:{closed.getsockname()[1]}")


def test_a_folder_that_cannot_be_made_is_named(options: Namespace, tmp_path: Path):
    with pytest.raises(OSError, match=r"model\.pkl"):  # which lib/command.py makes a sentence of
        registered(options, registry_uri=f"sqlite:///{tmp_path}/model.pkl/mlflow.db")


def test_a_file_that_is_no_database_is_named(options: Namespace, tmp_path: Path):
    refusal(options, f"sqlite:///{tmp_path}/model.pkl")


def test_an_unknown_kind_of_store_is_named(options: Namespace):
    refusal(options, "gopher://example.org")


def columns(path: Path) -> list[tuple]:
    """Return table, name and type of each column; the order of constraints is MLflow's whim."""
    query = "SELECT m.name, c.name, c.type FROM sqlite_master m, pragma_table_info(m.name) c"
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return sorted(database.execute(query))


def test_a_new_database_is_the_one_that_mlflow_makes(tmp_path: Path, empty_store: Path):
    path = tmp_path / "new" / "mlflow.db"
    register.make_database(path)
    assert columns(path) == columns(empty_store) != []
    assert [found.name for found in path.parent.iterdir()] == ["mlflow.db"]


def test_a_new_database_may_be_named_with_settings(options: Namespace, tmp_path: Path):
    options.registry_uri = f"sqlite:///{tmp_path}/another/mlflow.db?timeout=30"
    register.main(options)
    assert json.loads(options.receipt.read_text())["version"] == 1
    assert {found.name for found in (tmp_path / "another").iterdir()} == {"artifacts", "mlflow.db"}


def test_a_database_that_came_meanwhile_stays(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"another's")
    register.make_database(path)
    assert path.read_bytes() == b"another's"
    assert [found.name for found in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_that_could_not_be_made_is_not_there(tmp_path: Path, monkeypatch):
    def fail(*_):
        raise register.MlflowException("no")

    monkeypatch.setattr(mlflow.MlflowClient, "search_experiments", fail)
    with pytest.raises(register.MlflowException):
        register.make_database(tmp_path / "mlflow.db")
    assert list(tmp_path.iterdir()) == []
