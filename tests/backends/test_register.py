"""The program register.py: the receipt, and the checks before registering."""

import gzip
import hashlib
import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import register
from checkout import TOP
from image_workflow.data import idx
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.results import RATE, Candidate, Sweep
from registration import PARAMETERS, SETTINGS, registered, write_model, write_results
from schemas import schema
from training import training_settings

COMPARISON = Sweep(
    parameters={RATE: 0.5},
    n_train=30,
    n_validation=10,
    candidates=[Candidate({RATE: 0.5}, 1.0, 0.9), Candidate({RATE: 2.0}, 0.9, 0.8)],
)

# ---- The receipt ---------------------------------------------------------------------------


@pytest.mark.parametrize("compared", [False, True])
def test_the_receipt_follows_its_schema(options: Namespace, compared: bool):
    if compared:
        COMPARISON.write(options.sweep)
    receipt = registered(options)
    schema("receipt").validate(receipt)
    assert list(receipt) == list(schema("receipt").schema["properties"])
    expected = json.loads(options.sweep.read_text()) if compared else None
    assert receipt["sweep"] == expected
    assert list(receipt["metrics"]) == ["accuracy", "regularization_rate", "n_train", "n_test"]
    assert list(receipt["parameters"].items()) == list(PARAMETERS.items())
    assert list(receipt["sha256"]) == ["model", "data", "code"]
    assert list(receipt["git"]) == ["commit", "dirty"]


def test_the_receipt_of_another_estimator_follows_its_schema(tmp_path: Path, registry_uri: str):
    chosen = {"parameters": {"var_smoothing": 0.1}, "estimator": "sklearn.naive_bayes.GaussianNB"}
    options = write_results(tmp_path, registry_uri, **chosen)
    points = [{"var_smoothing": value} for value in (0.1, 1e-9)]
    candidates = [Candidate(point, 1.0, 0.9) for point in points]
    Sweep(points[0], n_train=30, n_validation=10, candidates=candidates).write(options.sweep)
    receipt = registered(options)
    schema("receipt").validate(receipt)
    assert receipt["sweep"] == json.loads(options.sweep.read_text())
    assert list(receipt["metrics"]) == ["accuracy", "n_train", "n_test"]
    assert receipt["parameters"] == {
        "estimator": "sklearn.naive_bayes.GaussianNB",
        "dataset": "mine",
        "seed": "42",
        "var_smoothing": "0.1",
    }


def test_a_parameter_replaces_no_setting_of_the_same_name(options: Namespace):
    described = register.registration(options)
    metrics = replace(described.metrics, parameters={"seed": 7, "dataset": None, "loss": "hinge"})
    settings = replace(SETTINGS, estimator="my_model.py:build")
    assert register.described_parameters(settings, metrics, described.data_set) == {
        "estimator": "my_model.py:build",
        "dataset": "mine",
        "seed": "42",
        "parameters.seed": "7",
        "parameters.dataset": "null",
        "loss": "hinge",
    }


def test_a_reader_can_recompute_the_checksums(tmp_path: Path, options: Namespace):
    receipt = registered(options)
    payloads = {}
    for name, file in zip(
        ("train-images", "train-labels", "test-images", "test-labels"),
        receipt["idx_sha256"],
        strict=True,
    ):
        idx.write(tmp_path / "file.gz", np.load(options.data_folder / f"{name}.npy"))
        payloads[file] = gzip.decompress((tmp_path / "file.gz").read_bytes())
    assert list(payloads) == [
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ]
    assert receipt["idx_sha256"] == {
        file: hashlib.sha256(payload).hexdigest() for file, payload in payloads.items()
    }
    sha256 = receipt["sha256"]
    assert sha256["model"] == hashlib.sha256(options.model.read_bytes()).hexdigest()
    assert sha256["data"] == hashlib.sha256(b"".join(payloads.values())).hexdigest()
    # docs/how-it-works.md has this command.
    command = (
        "import sys; sys.path.insert(0, 'workflow/scripts'); from pathlib import Path;"
        "from image_workflow.lineage.code import code_digest;"
        "print(code_digest(Path('workflow/scripts/fit.py')))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", command], cwd=TOP, check=True, capture_output=True, text=True
    )
    assert ended.stdout.strip() == sha256["code"]


# ---- Checks before registering -------------------------------------------------------------


def test_arrays_of_another_data_set_are_refused(options: Namespace):
    labels = options.data_folder / "test-labels.npy"
    expected = idx.payload_sha256(np.load(labels))
    np.save(labels, np.load(labels)[::-1])
    with pytest.raises(UserError) as refused:
        registered(options)
    assert str(refused.value) == (
        f"{labels} is not the array that dataset.json describes: expected sha256 {expected} of its "
        f"IDX payload, found {idx.payload_sha256(np.load(labels))}. Run again to repeat parse."
    )


def test_a_model_of_another_training_is_refused(options: Namespace):
    trained = sha256_of_file(options.model)
    write_model(options.model, training_settings(regularization=[0.8]))
    with pytest.raises(UserError) as refused:
        registered(options)
    assert str(refused.value) == (
        f"{options.model} is not the model that {options.training} describes: expected sha256 "
        f"{trained}, found {sha256_of_file(options.model)}. Run again to train it anew."
    )


def test_a_model_of_other_settings_is_refused(options: Namespace):
    arguments = SETTINGS.arguments()
    expected = [*arguments[:-1], "7"]
    with pytest.raises(UserError) as refused:
        registered(options, seed=7)
    assert str(refused.value) == (
        f"{options.model} was not trained as the configuration says: expected "
        f"'{' '.join(expected)}', found '{' '.join(arguments)}' in {options.training}. "
        "Run again to train it anew."
    )
    assert not options.receipt.exists()


@pytest.mark.parametrize("content", ["", "[]", "null", "{}", '{"backend": "local"}', "{"])
@pytest.mark.parametrize("name", ["training", "metrics", "sweep", "dataset_file"])
def test_a_damaged_result_is_named(options: Namespace, name: str, content: str):
    getattr(options, name).write_text(content)
    with pytest.raises(UserError) as refused:
        register.main(options)
    assert str(refused.value) == (
        f"{getattr(options, name)} is damaged, or another version of this workflow wrote it. "
        "Run again to make it anew."
    )
    assert not options.receipt.exists()
