"""Test the checks of the configuration. Each error must be one sentence: configuration.py.

tests/data/test_entries.py tests the entries of the user's own images.
"""

import contextlib
from pathlib import Path

import pytest
import yaml

from checkout import TOP
from image_workflow.configuration import ConfigurationError, allowed, checked, load, table, typed
from image_workflow.data.entries import load_entries

SCHEMAS = TOP / "workflow/schemas"
CONFIG = load(SCHEMAS / "config.schema.yaml")
DEFAULTS = {
    "dataset": "mnist",
    "backend": "auto",
    "estimator": "logistic_regression",
    "parameters": {},
    "extra_packages": "",
    "regularization": [0.1, 0.5, 2, 10],
    "validation_fraction": 0.16667,
    "solver": "newton",
    "seed": 42,
    "preview_images": 30,
    "model_name": "",
    "experiment_name": "",
    "registry_uri": "sqlite:///registry/mlflow.db",
    "promote": False,
    "confirm": "no",
    "predict": "",
    "azureml": {
        "sdk": "auto",
        "auth": "auto",
        "workspace_config": "",
        "compute": {
            "name": "cpu-cluster",
            "vm_size": "STANDARD_D2_V2",
            "min_nodes": 0,
            "max_nodes": 4,
            "idle_seconds": 120,
        },
        "endpoint": {"name": "", "instance_type": "Standard_D2as_v4", "instance_count": 1},
        "dataset_name": "",
        "environment_name": "tutorial-env",
        "run_limit_seconds": 7200,
        "connect_seconds": 15,
        "patience_seconds": 300,
        "poll_seconds": 5,
    },
}
SHA256 = "0123456789abcdef" * 4


def one_sentence(error: ConfigurationError, where: str) -> str:
    """Check that an error is one sentence, and return it without its place."""
    sentence = str(error)
    assert "\n" not in sentence
    assert sentence.startswith(f"{where}: ")
    assert sentence.endswith((".", ")"))
    return sentence.removeprefix(f"{where}: ")


def configuration_error(values, schema: dict = CONFIG) -> str:
    """Check wrong values, and return the sentence of the error."""
    with pytest.raises(ConfigurationError) as raised:
        checked(values, schema, "config")
    return one_sentence(raised.value, "config")


def data_set(**changes) -> dict:
    """Return the valid entry of a data set, in which some keys are changed."""
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
        "sources": [{"folder": "/data/mine"}],
    }
    return entry | changes


def load_registry(folder: Path, registry: object) -> dict:
    """Return the entries of a file of data sets."""
    (folder / "datasets.yaml").write_text(yaml.safe_dump(registry), encoding="utf-8")
    return load_entries([folder / "datasets.yaml"], SCHEMAS)


def registry_error(folder: Path, registry: object) -> str:
    """Load a wrong file of data sets, and return the sentence of the error."""
    with pytest.raises(ConfigurationError) as raised:
        load_registry(folder, registry)
    return one_sentence(raised.value, str(folder / "datasets.yaml"))


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
        ("preview_images", 1),
        ("preview_images", 100),
        ("model_name", ""),
        ("experiment_name", ""),
        ("experiment_name", "e" * 36),
        ("model_name", "my.model-2_b"),
        ("model_name", "m" * 255),
        ("experiment_name", "abc"),
        ("registry_uri", "sqlite:////absolute/mlflow.db"),
        ("registry_uri", "https://mlflow.example.org:5000/path"),
        ("registry_uri", "postgresql://example.org/mlflow"),
        ("registry_uri", "databricks"),
        ("promote", True),
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
            "xyz is not a key; allowed: dataset, backend, estimator, parameters, ",
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
        ({"seed": "4.5"}, "seed cannot be '4.5'; it must be a whole number"),
        ({"seed": "many"}, "seed cannot be 'many'; it must be a whole number"),
        ({"seed": "-1"}, "seed cannot be -1; it must be a whole number"),
        ({"preview_images": 0}, "preview_images cannot be 0; it must be a whole number from 1 to"),
        ({"preview_images": 101}, "preview_images cannot be 101; it must be a whole number from"),
        ({"preview_images": [30]}, "preview_images cannot be [30]; it must be a whole number"),
        ({"model_name": "a/b"}, "model_name cannot be 'a/b'; it must be nothing, or letters,"),
        ({"model_name": "name'"}, 'model_name cannot be "name\'"; it must be nothing, or letters,'),
        ({"model_name": "name\n"}, r"model_name cannot be 'name\n'; it must be nothing, or lett"),
        ({"model_name": "\n"}, r"model_name cannot be '\n'; it must be nothing, or letters,"),
        ({"model_name": " "}, "model_name cannot be ' '; it must be nothing, or letters,"),
        ({"model_name": "m" * 256}, "m'; it must be nothing, or letters, digits,"),
        ({"model_name": 7}, "model_name cannot be 7; it must be nothing, or letters,"),
        ({"model_name": None}, "model_name cannot be None; it must be nothing, or letters,"),
        ({"experiment_name": "ab"}, "experiment_name cannot be 'ab'; it must be nothing, or 3 to"),
        ({"experiment_name": "e" * 37}, "e'; it must be nothing, or 3 to 36 letters"),
        ({"dataset": 7}, "dataset cannot be 7; it must be a name or a path."),
        ({"registry_uri": "mlflow.db"}, "registry_uri cannot be 'mlflow.db'; it must be an MLflow"),
        (
            {"registry_uri": "https://me:secret@example.org"},
            "it must be an MLflow tracking URI without user name or password",
        ),
        ({1: 2}, "1 is not a key; allowed: dataset,"),
    ],
)
def test_error_names_the_wrong_key_or_value(values: dict, message: str):
    assert message in configuration_error(values)


@pytest.mark.parametrize(
    ("key", "value", "number"),
    [
        ("regularization", "1e-3", 0.001),
        ("regularization", ["0.1", "1e-3", "2"], [0.1, 0.001, 2]),
        ("validation_fraction", "2e-1", 0.2),
        ("seed", "42", 42),
    ],
)
def test_text_is_converted_to_the_number_that_it_spells(key: str, value, number):
    # YAML reads 1e-3 as text. Snakemake reads the items of a list on its command line as text.
    found = checked({key: value}, CONFIG, "config")[key]
    assert found == number
    assert repr(found) == repr(number) or isinstance(found, list)


def test_texts_in_sections_are_converted_and_the_other_keys_get_their_defaults():
    # Snakemake reads all values of --config "azureml={compute: {max_nodes: 2}}" as text.
    azureml = {"poll_seconds": "5e-1", "patience_seconds": "60"}
    azureml["compute"] = {"name": "gpu", "max_nodes": "2"}
    found = checked({"azureml": azureml}, CONFIG, "config")["azureml"]
    compute = DEFAULTS["azureml"]["compute"] | {"name": "gpu", "max_nodes": 2}
    changed = {"poll_seconds": 0.5, "patience_seconds": 60, "compute": compute}
    assert found == DEFAULTS["azureml"] | changed
    assert type(found["compute"]["max_nodes"]) is type(found["patience_seconds"]) is int


@pytest.mark.parametrize(
    ("azureml", "message"),
    [
        (
            {"compute": {"max_nodes": "two"}},
            "azureml.compute.max_nodes cannot be 'two'; it must be a whole number from 1 to 100.",
        ),
        (
            {"compute": {"max_nodes": "0"}},
            "azureml.compute.max_nodes cannot be 0; it must be a whole number from 1 to 100.",
        ),
        (
            {"compute": {"nodes": "2"}},
            "nodes is not a key in azureml.compute; did you mean min_nodes? allowed: name,",
        ),
        ({"compute": "gpu"}, "azureml.compute cannot be 'gpu'; it must be a mapping."),
        ("cloud", "azureml cannot be 'cloud'; it must be a mapping."),
    ],
)
def test_error_names_the_wrong_part_of_a_section(azureml, message: str):
    assert message in configuration_error({"azureml": azureml})


@pytest.mark.parametrize("digits", ["123", "1e5"])
def test_text_of_digits_stays_text_if_the_key_is_a_text(digits: str):
    for key in ("model_name", "experiment_name", "dataset"):
        assert checked({key: digits}, CONFIG, "config")[key] == digits
    azureml = {"compute": {"vm_size": digits}}
    found = checked({"azureml": azureml}, CONFIG, "config")["azureml"]
    assert found["compute"]["vm_size"] == digits


def test_whole_number_with_a_decimal_point_is_refused_or_converted():
    # The programs accept --seed 42, but not --seed 42.0.
    try:
        seed = checked({"seed": 42.0}, CONFIG, "config")["seed"]
    except ConfigurationError:
        return
    assert repr(seed) == "42"


# ---- The parameters of an estimator ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        ("true", True),
        ("False", False),
        ("null", None),
        ("", None),
        ("adam", "adam"),
        ("[1, 2]", "[1, 2]"),
        ("{a: 1}", "{a: 1}"),
        ("2020-01-01", "2020-01-01"),
        ("a: b: c", "a: b: c"),
        ("@", "@"),
    ],
)
def test_text_becomes_the_simple_value_that_yaml_reads(text: str, value):
    for given, expected in (
        (text, value),
        ({"C": [text, [text]]}, {"C": [value, [value]]}),
        ({"class_weight": {"0": text}}, {"class_weight": {0: value}}),
    ):
        assert repr(typed(given)) == repr(expected)


@pytest.mark.parametrize("value", [1, 1.0, True, None, [[0, 1]], {0: 1}])
def test_other_values_stay_as_they_are(value):
    assert repr(typed(value)) == repr(value)


# ---- The registry of data sets -------------------------------------------------------------


@pytest.mark.parametrize("registry", [["mnist"], "mnist", 7])
def test_registry_must_be_a_mapping(tmp_path: Path, registry):
    assert registry_error(tmp_path, registry).startswith("expected names with entries, found")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "x"}, "source is not a key; did you mean sources?"),
        ({"files": {}}, "files has no train-images-idx3-ubyte; it needs train-images"),
        (
            {"files": data_set()["files"] | {"t10k-labels-idx1-ubyte": "abc"}},
            "files.t10k-labels-idx1-ubyte cannot be 'abc'; it must be a sha256, 64 hex",
        ),
        (
            {"files": data_set()["files"] | {"test-labels-idx1-ubyte": SHA256}},
            "test-labels-idx1-ubyte is not a key in files; did you mean t10k-labels-idx1",
        ),
        ({"sources": []}, "sources cannot be []; it must be a list with at least one source."),
        ({"sources": [{}]}, "sources.0 cannot be {}; it must be one source, such as"),
        (
            {"sources": ["folder: x"]},
            "sources.0 cannot be 'folder: x'; it must be one source, such as folder:",
        ),
        (
            {"sources": [{"folder": "x", "npm": "y"}]},
            "sources.0 cannot be {'folder': 'x', 'npm': 'y'}; it must be one source, such as",
        ),
        (
            {"sources": [{"folder": "x"}, {"http": "http://example.org"}]},
            "http is not a key in sources.1; did you mean https? allowed: ",
        ),
        (
            {"sources": [{"https": "example.org"}]},
            "sources.0.https cannot be 'example.org'; it must be a URL that begins with https",
        ),
        (
            {"sources": [{"https": "https://me:secret@example.org"}]},
            "it must be a URL that begins with https://, without user name, password, ? and #.",
        ),
        (
            {"sources": [{"bundled": "digit"}]},
            "sources.0.bundled cannot be 'digit'; did you mean digits? allowed: digits.",
        ),
        ({"classes": ["one"]}, "classes cannot be ['one']; it must be a list of 2 to 256 differ"),
        (
            {"polarity": "dark_on_light"},
            "polarity cannot be 'dark_on_light'; allowed: light_on_dark, as_is.",
        ),
        ({"images": "x"}, "images is not a key; "),
    ],
)
def test_error_names_the_wrong_part_of_a_data_set(tmp_path: Path, changes: dict, message: str):
    sentence = registry_error(tmp_path, {"mine": data_set(**changes)})
    assert sentence.startswith("mine: ")
    assert message in sentence
    assert "secret" not in sentence


def test_error_names_the_missing_sources(tmp_path: Path):
    files = {"files": data_set()["files"]}
    expected = "mine: it has no sources; it needs files, sources."
    assert registry_error(tmp_path, {"mine": files}) == expected


def test_valid_entry_of_the_registry_gets_its_defaults(tmp_path: Path):
    expected = data_set() | {"polarity": "light_on_dark", "prepare": "fit"}
    assert load_registry(tmp_path, {"mine": data_set()}) == {"mine": expected}
    complete = data_set(
        description="Leaves",
        license="MIT",
        classes=["oak", 2, "fir"],
        polarity="as_is",
        prepare="digits",
    )
    assert load_registry(tmp_path, {"mine": complete}) == {"mine": complete}


def test_names_of_classes_stay_as_they_are_written(tmp_path: Path):
    classes = ["01", "1", "1e3", 7]
    entries = {"mine": data_set(classes=classes), "own": {"images": "x", "classes": classes}}
    found = load_registry(tmp_path, entries)
    assert [found[name]["classes"] for name in entries] == [classes, classes]


def test_registry_of_the_workflow_is_valid():
    shipped = Path("config/datasets.yaml")
    defaults = {"polarity": "light_on_dark"}
    with contextlib.chdir(TOP):
        expected = {name: defaults | entry for name, entry in load(shipped).items()}
        assert load_entries([shipped], SCHEMAS) == expected


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
