"""The whole workflow on small data, with the real Snakemake."""

import gzip
import hashlib
import json
import shutil

import joblib
import numpy as np
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from checkout import Checkout
from image_workflow.models.estimator import features
from samples import labelled_images, write_data_set
from schemas import schema

JOBS = [
    "download_train",
    "download_t10k",
    "parse_train",
    "parse_test",
    "describe",
    "preview",
    "draw_class_balance",
    "draw_confusion",
    "draw_mistakes",
    "draw_weights",
    "draw_sweep",
    "train",
    "evaluate",
    "register",
]
RESULTS = [
    "raw/train-images-idx3-ubyte.gz",
    "raw/train-labels-idx1-ubyte.gz",
    "raw/t10k-images-idx3-ubyte.gz",
    "raw/t10k-labels-idx1-ubyte.gz",
    "arrays/train-images.npy",
    "arrays/train-labels.npy",
    "arrays/test-images.npy",
    "arrays/test-labels.npy",
    "dataset.json",
    "preview.png",
    "class_balance.png",
    "confusion.png",
    "mistakes.png",
    "weights.png",
    "candidates/0.1.json",
    "candidates/0.5.json",
    "candidates/2.json",
    "candidates/10.json",
    "sweep.json",
    "sweep.png",
    "model.pkl",
    "training.json",
    "metrics.json",
    "registered.json",
    *(f"records/{job}.json" for job in JOBS),
]


def arrays(checkout: Checkout) -> dict[str, np.ndarray]:
    """Return the arrays of a checkout by name."""
    return {path.stem: np.load(path) for path in (checkout.path / "results/arrays").iterdir()}


# ---- A whole run ---------------------------------------------------------------------------


def test_a_run_writes_the_documented_results_and_nothing_else(digits_run: Checkout):
    results = digits_run.path / "results"
    found = {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}
    logs = [f"logs/{job}.log" for job in JOBS]
    benchmarks = [f"benchmarks/{job}.jsonl" for job in JOBS]
    assert found == {*RESULTS, *logs, *benchmarks}
    beside = {path.name for path in digits_run.path.iterdir()}
    made = {"results", "registry", ".snakemake"}
    assert beside == {"Snakefile", "workflow", "config", "profiles"} | made


def test_no_log_or_benchmark_is_empty(digits_run: Checkout):
    for job in JOBS:
        assert (digits_run.path / f"results/logs/{job}.log").read_text()
        benchmark = (digits_run.path / f"results/benchmarks/{job}.jsonl").read_text()
        assert json.loads(benchmark)["s"] > 0


def test_the_downloads_have_the_configured_checksums(digits_run: Checkout):
    datasets = yaml.safe_load((digits_run.path / "config/datasets.yaml").read_text())
    for name, sha256 in datasets["digits"]["files"].items():
        payload = gzip.decompress((digits_run.path / f"results/raw/{name}.gz").read_bytes())
        assert hashlib.sha256(payload).hexdigest() == sha256


def test_the_arrays_have_the_shapes_of_the_digits(digits_run: Checkout):
    found = arrays(digits_run)
    assert {name: array.shape for name, array in found.items()} == {
        "train-images": (1437, 8, 8),
        "train-labels": (1437,),
        "test-images": (360, 8, 8),
        "test-labels": (360,),
    }
    assert {array.dtype for array in found.values()} == {np.dtype(np.uint8)}


def test_the_accuracy_is_that_of_scikit_learns_own_solver(digits_run: Checkout):
    found = arrays(digits_run)
    metrics = json.loads((digits_run.path / "results/metrics.json").read_text())
    sweep = json.loads((digits_run.path / "results/sweep.json").read_text())
    rate = metrics["regularization_rate"]
    assert rate == sweep["regularization_rate"]
    binary = LogisticRegression(solver="liblinear", C=1 / rate, tol=1e-8, max_iter=10_000)
    expected = OneVsRestClassifier(binary)
    expected.fit(features(found["train-images"]), found["train-labels"])
    accuracy = expected.score(features(found["test-images"]), found["test-labels"])
    assert metrics["accuracy"] == accuracy > 0.85
    assert (metrics["n_train"], metrics["n_test"]) == (1437, 360)
    assert metrics["classes"] == list(range(10))


def test_the_receipt_has_the_checksums_of_model_and_data(digits_run: Checkout):
    receipt = digits_run.receipt()
    schema("receipt").validate(receipt)
    assert (receipt["name"], receipt["version"]) == ("sklearn_digits", 1)
    model = (digits_run.path / "results/model.pkl").read_bytes()
    assert receipt["sha256"]["model"] == hashlib.sha256(model).hexdigest()
    payloads = (
        gzip.decompress((digits_run.path / "results" / name).read_bytes()) for name in RESULTS[:4]
    )
    assert receipt["sha256"]["data"] == hashlib.sha256(b"".join(payloads)).hexdigest()
    assert receipt["parameters"] == {
        "estimator": "logistic_regression",
        "dataset": "digits",
        "solver": "newton",
        "regularization": f"{receipt['metrics']['regularization_rate']:g}",
        "seed": "42",
    }


def test_a_second_run_has_nothing_to_do(finished: Checkout):
    assert "Nothing to be done" in finished.finish(dataset="digits").stderr


# ---- Parts of a run ------------------------------------------------------------------------


def test_the_preview_alone_needs_only_the_data_set(checkout: Checkout):
    planned = checkout.planned("results/preview.png", dataset="digits")
    assert planned == {"download": 2, "parse": 2, "describe": 1, "preview": 1}
    checkout.finish("results/preview.png", dataset="digits")
    assert not (checkout.path / "results/model.pkl").exists()


def test_a_dry_run_needs_neither_network_nor_data(checkout: Checkout):
    no_network = (
        "import socket\n"
        "def connect(*_):\n"
        "    raise OSError('there is no network')\n"
        "socket.socket.connect = socket.socket.connect_ex = connect\n"
    )
    ended = checkout.snakemake_with_patch(no_network, "-n")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not (checkout.path / "results").exists()


def test_a_dry_run_lists_the_jobs_of_a_target(checkout: Checkout):
    data = {"download": 2, "parse": 2, "describe": 1}
    rest = (job for job in JOBS if not job.startswith(("download", "parse")))
    assert checkout.planned() == data | dict.fromkeys(rest, 1)
    assert checkout.planned("results/preview.png") == data | {"preview": 1}
    assert not (checkout.path / "results").exists()


def test_lint_finds_nothing(checkout: Checkout):
    assert (
        "Congratulations, your workflow is in a good condition!" in checkout.finish("--lint").stderr
    )


def test_deleted_results_come_back_with_the_same_version(finished: Checkout):
    kept = [
        "model.pkl",
        "metrics.json",
        "preview.png",
        "sweep.json",
        "sweep.png",
        "registered.json",
    ]
    results = finished.path / "results"
    before = {name: (results / name).read_bytes() for name in kept}
    shutil.rmtree(results)
    finished.finish(dataset="digits")
    assert {name: (results / name).read_bytes() for name in kept} == before
    assert finished.receipt()["version"] == 1


def test_another_rate_is_version_2(finished: Checkout):
    before = (finished.path / "results/model.pkl").read_bytes()
    finished.finish(dataset="digits", regularization=0.8)
    assert (finished.path / "results/model.pkl").read_bytes() != before
    metrics = json.loads((finished.path / "results/metrics.json").read_text())
    receipt = finished.receipt()
    assert metrics["regularization_rate"] == receipt["metrics"]["regularization_rate"] == 0.8
    assert receipt["version"] == 2
    assert receipt["parameters"]["regularization"] == "0.8"
    assert receipt["sweep"] is None
    assert finished.planned(dataset="digits", regularization=0.8) == {}
    # A single rate has no validation part.
    same = finished.planned(dataset="digits", regularization=[0.8], validation_fraction=0.3)
    assert same == {}


def test_a_damaged_download_is_downloaded_again(finished: Checkout):
    damaged = finished.path / "results/raw/train-images-idx3-ubyte.gz"
    whole = damaged.read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    ended = finished.finish("results/arrays/train-images.npy", dataset="digits")
    assert f"Out of date: {damaged.relative_to(finished.path)} was altered." in ended.stderr
    assert damaged.read_bytes() == whole


# ---- Other data sets -----------------------------------------------------------------------


def test_a_data_set_of_your_own_needs_one_entry(checkout: Checkout):
    images, labels = labelled_images(150, 12, 10, classes=[3, 77, 255])
    files = write_data_set(
        checkout.path / "data/leaves", (images[:120], labels[:120]), (images[120:], labels[120:])
    )
    entry = {"leaves": {"files": files, "sources": [{"folder": "data/leaves"}]}}
    with open(checkout.path / "config/datasets.yaml", "a", encoding="utf-8") as registry:
        yaml.safe_dump(entry, registry)
    checkout.finish(dataset="leaves", model_name="leaves", regularization=0.5)
    receipt = checkout.receipt()
    schema("receipt").validate(receipt)
    assert (receipt["name"], receipt["version"]) == ("leaves", 1)
    assert receipt["parameters"]["dataset"] == "leaves"
    model = joblib.load(checkout.path / "results/model.pkl")
    assert model.classes_.tolist() == [3, 77, 255]
    assert model.n_features_in_ == 120
    metrics = json.loads((checkout.path / "results/metrics.json").read_text())
    assert metrics["accuracy"] == np.mean(model.predict(features(images[120:])) == labels[120:])
