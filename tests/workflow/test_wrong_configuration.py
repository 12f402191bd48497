"""Check that a wrong configuration stops Snakemake with one sentence, before a job runs."""

import json
import shlex

import pytest
import yaml

from checkout import Checkout

SHA256 = "0123456789abcdef" * 4
FILES = dict.fromkeys(
    [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ],
    SHA256,
)
FOLDER = [{"folder": "data/mine"}]
# Words that only developers understand, so no message for users may contain them.
INTERNALS = ["Traceback", "$schema", "additionalProperties", "jsonschema", "Failed validating"]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Return a checkout that all tests share. Tests must not change it."""
    return Checkout.fresh(tmp_path_factory.mktemp("fresh"))


def refusal(checkout: Checkout, **config) -> str:
    """Return the sentence that Snakemake prints when it refuses the configuration."""
    ended = checkout.snakemake("-n", **config)
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert not [word for word in INTERNALS if word in output]
    (sentence,) = (line for line in output.splitlines() if line.startswith("config"))
    return sentence


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        (
            "regularisation",
            1,
            "config: regularisation is not a key; did you mean regularization? allowed: dataset, "
            "backend, estimator, parameters, extra_packages, regularization, validation_fraction, "
            "solver, seed, preview_images, model_name, experiment_name, registry_uri, promote, "
            "confirm, predict, azureml.",
        ),
        (
            "regularization",
            "high",
            "config: regularization cannot be 'high'; it must be a number from 1e-9 to 1,000,000, "
            "or a list of such numbers.",
        ),
        (
            "regularization",
            0,
            "config: regularization cannot be 0; it must be a number from 1e-9 to 1,000,000, "
            "or a list of such numbers.",
        ),
        (
            "regularization",
            "[0.1,high]",
            "config: regularization.1 cannot be 'high'; it must be a number from 1e-9 to "
            "1,000,000.",
        ),
        (
            "regularization",
            "[]",
            "config: regularization cannot be []; it must be a number from 1e-9 to 1,000,000, "
            "or a list of such numbers.",
        ),
        (
            "validation_fraction",
            0.9,
            "config: validation_fraction cannot be 0.9; it must be a number from 0.01 to 0.5.",
        ),
        (
            "seed",
            -1,
            "config: seed cannot be -1; it must be a whole number from 0 to 4,294,967,295.",
        ),
        (
            "solver",
            "libliner",
            "config: solver cannot be 'libliner'; did you mean liblinear? "
            "allowed: newton, liblinear.",
        ),
        (
            "dataset",
            "digit",
            "config: dataset cannot be 'digit', which is neither a data set nor an existing path; "
            "did you mean digits? allowed: mnist, digits.",
        ),
        (
            "preview_images",
            101,
            "config: preview_images cannot be 101; it must be a whole number from 1 to 100.",
        ),
        (
            "model_name",
            "my model",
            "config: model_name cannot be 'my model'; "
            "it must be nothing, or letters, digits, `_`, `.` and `-`, at most 255.",
        ),
        (
            "azureml",
            "{compute: {max_nodes: none}}",
            "config: azureml.compute.max_nodes cannot be 'none'; it must be a whole number from 1 "
            "to 100.",
        ),
        (
            "azureml",
            "{compute: {nodes: 2}}",
            "config: nodes is not a key in azureml.compute; did you mean min_nodes? allowed: name, "
            "vm_size, min_nodes, max_nodes, idle_seconds.",
        ),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_a_sentence(
    fresh: Checkout, key: str, value, sentence: str
):
    assert refusal(fresh, **{key: value}).startswith(sentence)


def test_a_section_on_the_command_line_changes_only_the_named_keys(fresh: Checkout):
    section = "{compute: {name: my-cluster, max_nodes: 2}}"
    printed = fresh.finish("-n", "-p", "results/model.pkl", dataset="digits", azureml=section)
    (words,) = (shlex.split(line) for line in printed.stdout.splitlines() if "/train.py" in line)
    azureml = json.loads(words[words.index("--azureml") + 1])
    file = yaml.safe_load((fresh.path / "config/config.yaml").read_text())["azureml"]
    compute = file["compute"] | {"name": "my-cluster", "max_nodes": 2}
    assert azureml == file | {"compute": compute, "dataset_name": "digits"}


def test_a_registry_uri_with_a_password_is_refused_and_not_printed(fresh: Checkout):
    sentence = refusal(fresh, registry_uri="https://me:secret@example.org")
    assert "registry_uri cannot be" in sentence
    assert "without user name or password" in sentence
    assert "secret" not in sentence


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (
            {"files": FILES | {"t10k-labels-idx1-ubyte": "abc"}, "sources": FOLDER},
            "files.t10k-labels-idx1-ubyte cannot be 'abc'; it must be a sha256, 64 hexa",
        ),
        ({"files": FILES, "sources": []}, "sources cannot be []; it must be a list with at least"),
        ({"files": FILES}, "it has no sources; it needs files, sources."),
        (
            {"files": FILES, "sources": [{"htps": "https://example.org"}]},
            "htps is not a key in sources.0; did you mean https? allowed: ",
        ),
        (
            {"files": FILES, "sources": FOLDER, "licence": "MIT"},
            "licence is not a key; did you mean license? allowed: description, license,",
        ),
        ({"images": "photos", "sise": 32}, "sise is not a key; did you mean size? allowed: images"),
    ],
)
@pytest.mark.parametrize("file", ["config/datasets.yaml", "config/my_datasets.yaml"])
def test_a_wrong_data_set_is_refused_with_the_place_of_the_error(
    checkout: Checkout, file: str, entry: dict, sentence: str
):
    with open(checkout.path / file, "a", encoding="utf-8") as registry:
        yaml.safe_dump({"mine": entry}, registry)
    assert refusal(checkout).startswith(f"{file}: mine: {sentence}")


def test_an_entry_of_ones_own_cannot_have_the_name_of_a_shipped_one(checkout: Checkout):
    (checkout.path / "config/my_datasets.yaml").write_text("digits:\n  images: photos\n")
    expected = "config/my_datasets.yaml: digits is in config/datasets.yaml already; rename it."
    assert refusal(checkout) == expected


def test_a_name_among_ones_own_entries_is_suggested(checkout: Checkout):
    (checkout.path / "config/my_datasets.yaml").write_text("leaves:\n  images: photos\n")
    sentence = refusal(checkout, dataset="leafs")
    assert sentence.endswith("did you mean leaves? allowed: mnist, digits, leaves.")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("mnist:\n  files: [a,\n", "config/datasets.yaml, line 3 is not valid YAML: "),
        ("# nothing\n", "config/datasets.yaml: "),
        ("- mnist\n", "config/datasets.yaml: "),
    ],
)
def test_a_datasets_yaml_that_is_no_mapping_is_refused(
    checkout: Checkout, text: str, sentence: str
):
    (checkout.path / "config/datasets.yaml").write_text(text)
    assert refusal(checkout).startswith(sentence)


def test_a_missing_datasets_yaml_is_reported(checkout: Checkout):
    (checkout.path / "config/datasets.yaml").unlink()
    sentence = "config/datasets.yaml cannot be read: No such file or directory."
    assert refusal(checkout) == sentence


def test_a_key_that_is_in_config_yaml_twice_is_refused(checkout: Checkout):
    settings = checkout.path / "config/config.yaml"
    lines = len(settings.read_text().splitlines())
    settings.write_text(settings.read_text() + "seed: 1\n")
    expected = (
        f"config/config.yaml, line {lines + 1} is not valid YAML: found the key 'seed' twice."
    )
    assert refusal(checkout) == expected


def test_a_command_in_the_configuration_is_not_run(checkout: Checkout):
    settings = checkout.path / "config/config.yaml"
    tag = "!!python/object/apply:os.system ['touch executed']"
    settings.write_text(settings.read_text() + f"x: {tag}\n")
    ended = checkout.snakemake("-n")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stdout + ended.stderr
    assert not (checkout.path / "executed").exists()


def test_snakemake_refuses_a_config_yaml_that_is_not_valid(checkout: Checkout):
    """Check the message of Snakemake, which reads config.yaml before our code does."""
    settings = checkout.path / "config/config.yaml"
    settings.write_text(settings.read_text() + "seed: [\n")
    ended = checkout.snakemake("-n")
    assert ended.returncode != 0
    assert "Config file is not valid JSON or YAML." in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
