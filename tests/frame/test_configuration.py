"""Test the checks of the configuration. Each error must be one sentence: configuration.py."""

from pathlib import Path

import pytest

from checkout import TOP
from image_workflow.configuration import ConfigurationError, allowed, checked, load, table

SCHEMAS = TOP / "workflow/schemas"
CONFIG = load(SCHEMAS / "config.schema.yaml")
DATASETS = load(SCHEMAS / "datasets.schema.yaml")
DEFAULTS = {
    "dataset": "mnist",
    "backend": "auto",
    "regularization": [0.1, 0.5, 2, 10],
    "validation_fraction": 0.16667,
    "solver": "newton",
    "seed": 42,
    "model_name": "sklearn_mnist",
    "experiment_name": "Tutorial-sklearn-mnist",
    "registry_uri": "sqlite:///registry/mlflow.db",
    "confirm": "no",
    "azureml": {
        "auth": "auto",
        "workspace_config": "",
        "compute": {
            "name": "cpu-cluster",
            "vm_size": "STANDARD_D2_V2",
            "min_nodes": 0,
            "max_nodes": 4,
            "idle_seconds": 120,
        },
        "dataset_name": "mnist_opendataset",
        "environment_name": "tutorial-env",
        "run_limit_seconds": 7200,
        "connect_seconds": 15,
        "patience_seconds": 300,
        "poll_seconds": 5,
        "metrics_seconds": 120,
    },
}
SHA256 = "0123456789abcdef" * 4


def configuration_error(values, schema: dict) -> str:
    """Check wrong values, and return the sentence of the error."""
    with pytest.raises(ConfigurationError) as raised:
        checked(values, schema, "config")
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.startswith("config: ")
    assert sentence.endswith((".", ")"))
    return sentence.removeprefix("config: ")


def data_set(**changes) -> dict:
    """Return a valid registry with one data set, in which some keys are changed."""
    entry = {
        "files": dict.fromkeys(
            [
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ],
            SHA256,
        ),
        "sources": [{"folder": "data/mine"}],
    }
    return {"mine": entry | changes}


# ---- Values --------------------------------------------------------------------------------


def test_missing_keys_get_their_defaults():
    assert checked({}, CONFIG, "config") == DEFAULTS
    assert checked({"seed": 7}, CONFIG, "config") == DEFAULTS | {"seed": 7}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("regularization", 1),
        ("regularization", 1_000_000),
        ("regularization", [1e-9]),
        ("regularization", [2, 0.5, 2.0, 1_000_000]),
        ("validation_fraction", 0.01),
        ("validation_fraction", 0.5),
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("model_name", "my.model-2_b"),
        ("model_name", "m" * 255),
        ("experiment_name", "abc"),
        ("registry_uri", "sqlite:////absolute/mlflow.db"),
        ("registry_uri", "https://mlflow.example.org:5000/path"),
        ("registry_uri", "postgresql://example.org/mlflow"),
        ("registry_uri", "databricks"),
    ],
)
def test_allowed_value_is_accepted(key: str, value):
    assert checked({key: value}, CONFIG, "config")[key] == value


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"regularisation": 1}, "regularisation is not a key; did you mean regularization?"),
        (
            {"xyz": 1},
            "xyz is not a key; allowed: dataset, backend, regularization, validation_",
        ),
        ({"backend": "lokal"}, "backend cannot be 'lokal'; did you mean local? allowed: auto,"),
        ({"backend": 5}, "backend cannot be 5; it must be one of auto, local, azureml."),
        (
            {"regularization": "high"},
            "regularization cannot be 'high'; it must be a number from 1e-9 to 1,000,000, or",
        ),
        ({"regularization": []}, "regularization cannot be []; it must be a number from 1e-9 to"),
        (
            {"regularization": [0.5, "high"]},
            "regularization.1 cannot be 'high'; it must be a number from 1e-9 to 1,000,000.",
        ),
        (
            {"regularization": [0, 0.5]},
            "regularization.0 cannot be 0; it must be a number from 1e-9",
        ),
        ({"regularization": [[0.5]]}, "regularization.0 cannot be [0.5]; it must be a number"),
        ({"regularization": [0.5, True]}, "regularization.1 cannot be True; it must be a number"),
        ({"regularization": ["nan"]}, "regularization.0 cannot be nan; it must be a number"),
        ({"regularization": {"from": 1}}, "regularization cannot be {'from': 1}; it must be"),
        ({"validation_fraction": 0}, "validation_fraction cannot be 0; it must be a number from"),
        ({"validation_fraction": 0.6}, "validation_fraction cannot be 0.6; it must be a number"),
        ({"regularization": 0}, "regularization cannot be 0; it must be a number from 1e-9"),
        ({"regularization": -0.5}, "regularization cannot be -0.5; it must be"),
        ({"regularization": 1e7}, "regularization cannot be 10000000.0; it must be"),
        ({"regularization": True}, "regularization cannot be True; it must be a number"),
        ({"regularization": None}, "regularization cannot be None; it must be a number"),
        ({"regularization": float("inf")}, "regularization cannot be inf; it must be a number"),
        ({"regularization": float("nan")}, "regularization cannot be nan; it must be a number"),
        (
            {"seed": 1.5},
            "seed cannot be 1.5; it must be a whole number from 0 to 4,294,967,295.",
        ),
        ({"seed": -1}, "seed cannot be -1; it must be a whole number from 0"),
        ({"seed": 2**32}, "seed cannot be 4294967296; it must be a whole number"),
        ({"seed": "42"}, "seed cannot be '42'; it must be a whole number"),
        ({"model_name": "a/b"}, "model_name cannot be 'a/b'; it must be letters, digits,"),
        ({"model_name": "name'"}, 'model_name cannot be "name\'"; it must be letters, digits,'),
        ({"model_name": "name\n"}, r"model_name cannot be 'name\n'; it must be letters, digits,"),
        ({"model_name": ""}, "model_name cannot be ''; it must be letters, digits,"),
        ({"model_name": 7}, "model_name cannot be 7; it must be letters, digits,"),
        ({"experiment_name": "ab"}, "experiment_name cannot be 'ab'; it must be 3 to 36 letters"),
        ({"registry_uri": "mlflow.db"}, "registry_uri cannot be 'mlflow.db'; it must be an MLflow"),
        (
            {"registry_uri": "https://me:secret@example.org"},
            "it must be an MLflow tracking URI without user name or password",
        ),
        ({1: 2}, "1 is not a key; allowed: dataset,"),
    ],
)
def test_error_names_the_wrong_key_or_value(values: dict, message: str):
    assert message in configuration_error(values, CONFIG)


@pytest.mark.parametrize(
    ("key", "value", "number"),
    [
        ("regularization", "1e-3", 0.001),
        ("regularization", ["0.1", "1e-3", "2"], [0.1, 0.001, 2]),
        ("validation_fraction", "2e-1", 0.2),
        ("azureml", {"poll_seconds": "5e-1"}, {"poll_seconds": 0.5}),
    ],
)
def test_text_is_converted_to_the_number_that_it_spells(key: str, value, number):
    # YAML reads 1e-3 as text. Snakemake reads the items of a list on its command line as text.
    found = checked({key: value}, CONFIG, "config")[key]
    assert found | number == found if isinstance(number, dict) else found == number


def test_text_of_digits_stays_text_if_the_key_is_a_text():
    assert checked({"model_name": "123"}, CONFIG, "config")["model_name"] == "123"
    configuration_error({"seed": "42"}, CONFIG)


def test_whole_number_with_a_decimal_point_is_refused_or_converted():
    # The programs accept --seed 42, but not --seed 42.0.
    try:
        seed = checked({"seed": 42.0}, CONFIG, "config")["seed"]
    except ConfigurationError:
        return
    assert repr(seed) == "42"


# ---- The registry of data sets -------------------------------------------------------------


@pytest.mark.parametrize("values", [None, [], ["mnist"], "mnist", 7])
def test_registry_must_be_a_mapping(values):
    configuration_error(values, DATASETS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "must be"),
        ({"mine": None}, "mine cannot be None; it must be a mapping."),
        ({"my own": data_set()["mine"]}, "'my own' is not allowed as a name; use letters, digits"),
        (data_set(source="x"), "source is not a key in mine; did you mean sources?"),
        ({"mine": {"sources": [{"folder": "x"}]}}, "mine has no files; it needs files, sources."),
        (data_set(files={}), "mine.files has no train-images-idx3-ubyte; it needs train-images"),
        (
            data_set(files=data_set()["mine"]["files"] | {"t10k-labels-idx1-ubyte": "abc"}),
            "mine.files.t10k-labels-idx1-ubyte cannot be 'abc'; it must be a sha256, 64 hex",
        ),
        (
            data_set(files=data_set()["mine"]["files"] | {"test-labels-idx1-ubyte": SHA256}),
            "test-labels-idx1-ubyte is not a key in mine.files; did you mean t10k-labels-idx1",
        ),
        (data_set(sources=[]), "mine.sources cannot be []; it must be a list with at least one"),
        (data_set(sources=[{}]), "mine.sources.0 cannot be {}; it must be one source, such as"),
        (
            data_set(sources=["folder: x"]),
            "mine.sources.0 cannot be 'folder: x'; it must be one source, such as folder:",
        ),
        (
            data_set(sources=[{"folder": "x", "npm": "y"}]),
            "mine.sources.0 cannot be {'folder': 'x', 'npm': 'y'}; it must be one source, such as",
        ),
        (
            data_set(sources=[{"folder": "x"}, {"http": "http://example.org"}]),
            "http is not a key in mine.sources.1; did you mean https? allowed: ",
        ),
        (
            data_set(sources=[{"https": "example.org"}]),
            "mine.sources.0.https cannot be 'example.org'; it must be a URL that begins with https",
        ),
        (
            data_set(sources=[{"bundled": "digit"}]),
            "mine.sources.0.bundled cannot be 'digit'; did you mean digits? allowed: digits.",
        ),
    ],
)
def test_error_names_the_wrong_part_of_a_data_set(values: dict, message: str):
    assert message in configuration_error(values, DATASETS)


def test_registry_of_the_workflow_is_valid():
    registry = load(TOP / "config/datasets.yaml")
    assert checked(registry, DATASETS, "config/datasets.yaml") == registry
    assert checked(data_set(), DATASETS, "config/datasets.yaml") == data_set()


def test_registry_has_the_checksums_of_the_original_mnist_files():
    assert load(TOP / "config/datasets.yaml")["mnist"]["files"] == {
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    }


# ---- The description of the keys -----------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer"}, "a whole number"),
        ({"type": "integer", "minimum": 0, "maximum": 4000}, "a whole number from 0 to 4,000"),
        ({"type": "number", "exclusiveMinimum": 0}, "a number above 0"),
        ({"type": "string"}, "a text"),
        ({"type": "array"}, "a list"),
        ({"type": "object"}, "a mapping"),
        ({"type": "string", "enum": ["a", "b"]}, "one of a, b"),
        ({"type": "string", "x-allowed": "a colour"}, "a colour"),
    ],
)
def test_allowed_values_are_described_in_words(schema: dict, words: str):
    assert allowed(schema) == words


def test_table_has_a_row_for_each_key():
    schema = {
        "properties": {
            "seed": {"type": "integer", "default": 42, "description": "Decides."},
            "solver": {"enum": ["liblinear"], "default": "liblinear", "description": "Fits."},
        }
    }
    assert table(schema) == (
        "| key | default | allowed | meaning |\n"
        "|---|---|---|---|\n"
        "| `seed` | `42` | a whole number | Decides. |\n"
        "| `solver` | `liblinear` | one of liblinear | Fits. |"
    )


# ---- YAML files ----------------------------------------------------------------------------


def test_yaml_file_is_loaded(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("seed: 7  # lucky\n")
    assert load(tmp_path / "a.yaml") == {"seed": 7}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 1\nlist: [1,\n", "a.yaml, line 3 is not valid YAML: expected the node content"),
        ("a: 1\n\tb: 2\n", "a.yaml, line 2 is not valid YAML:"),
        ("a: \x00", "a.yaml is not valid YAML:"),
    ],
)
def test_error_names_the_line_of_invalid_yaml(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load(tmp_path / "a.yaml")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_error_names_a_file_that_cannot_be_read(tmp_path: Path, name: str):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / name)


def test_error_names_a_file_that_is_not_utf_8(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigurationError, match=r"a\.yaml"):
        load(tmp_path / "a.yaml")
