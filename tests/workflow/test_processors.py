"""Test that the results have the same bytes on every processor.

Each processor that this one can imitate has its own BLAS kernels and SIMD level. A child process
for each makes all results of the digits and of some MNIST images, if those are here, and fits
random problems. The children use different numbers of threads. The tests compare checksums.
"""

import gzip
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import kernels
from azureml_client import SDKS, is_installed
from checkout import TOP

CHILD = TOP / "tests/support/processor_child.py"
RAW = TOP / "results/raw"
THREADS = 1, 2, 5, 16
RATES = "0.1", "2", "10"
PROBLEMS = 50

ENVIRONMENTS = kernels.environments()

pytestmark = pytest.mark.skipif(
    len(ENVIRONMENTS) < 2, reason="this processor has no other BLAS kernels to compare with"
)


# ---- Data ----------------------------------------------------------------------------------


def random_problem(number: int) -> dict:
    """Return random byte images with labels, and a random C.

    Numbers below 2 have a single pixel, numbers 2 and 3 have large images, and the others vary in
    the number of rows, pixels and classes.
    """
    random = np.random.default_rng(number)
    classes = int(random.integers(2, 8))
    if number < 4:
        n, d = (400, 1) if number < 2 else (60, 64 * 64)
    else:
        n, d = int(10 ** random.uniform(1.5, 3.5)), int(10 ** random.uniform(0.3, 2.3))
    y = np.concatenate([np.arange(classes), random.integers(0, classes, n - classes)])
    patterns = random.integers(0, 256, (classes, d))
    noise = random.integers(0, 256, (n, d))
    percentage = random.integers(1, 60)
    X = ((percentage * patterns[y] + (100 - percentage) * noise) // 100).astype(np.uint8)
    return {"X": X, "y": y, "C": 10 ** random.uniform(-2, 2), "scale": 1 / 255}


def mnist() -> tuple[np.ndarray, ...] | None:
    """Return 4,000 training and 1,000 test images of MNIST with labels, or None without MNIST.

    All are taken from the files of MNIST's test set, which can be read quickly.
    """
    names = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
    if not all((RAW / name).exists() for name in names):
        return None
    images, labels = (
        np.frombuffer(gzip.decompress((RAW / name).read_bytes()), np.uint8) for name in names
    )
    if len(images) != 16 + 10_000 * 784:  # The files are those of another data set.
        return None
    images, labels = images[16:].reshape(-1, 28, 28), labels[8:]
    return images[:4000], labels[:4000], images[4000:5000], labels[4000:5000]


def digits() -> tuple[np.ndarray, ...]:
    """Return scikit-learn's digits: 1,400 training images with labels, and the rest for tests."""
    bunch = load_digits()
    images = (bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return the folder with the data sets and problems of all children."""
    folder = tmp_path_factory.mktemp("processors")
    for data_set, arrays in {"digits": digits(), "mnist": mnist()}.items():
        if arrays is not None:
            (folder / data_set).mkdir()
            names = "train-images", "train-labels", "test-images", "test-labels"
            for name, array in zip(names, arrays, strict=True):
                np.save(folder / data_set / f"{name}.npy", array)
    for number in range(PROBLEMS):
        np.savez(folder / f"problem {number:02}.npz", **random_problem(number))
    return folder


# ---- Results -------------------------------------------------------------------------------


def results(folder: Path, python: Path, environments: dict[str, dict]) -> dict[str, dict]:
    """Run a child in each environment, two at once, and return the JSON that they write."""

    def run_child(name, threads):
        output = folder / f"{name} ({python.parents[1].name}, threads={threads}).json"
        command = [python, CHILD, "--folder", folder, "--output", output]
        command += ["--threads", str(threads), "--rates", *RATES]
        environment = os.environ | environments[name]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, f"{name}: {ended.stderr}"
        return output.stem, json.loads(output.read_text())

    threads = [THREADS[number % len(THREADS)] for number in range(len(environments))]
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(run_child, environments, threads))


def disagreements(results: dict[str, dict], part: str) -> list[str]:
    """Describe each file or problem with several versions: the environments of each version."""
    descriptions = []
    for item in next(iter(results.values()))[part]:
        versions = {}
        for environment, result in results.items():
            versions.setdefault(result[part][item], []).append(environment)
        if len(versions) > 1:
            lines = "".join(f"\n    {', '.join(names)}" for names in versions.values())
            descriptions.append(f"{item} has {len(versions)} versions, one on each line:{lines}")
    return descriptions


def check_agreement(results: dict[str, dict]) -> None:
    """Fail if the environments disagree on any file or problem."""
    found = disagreements(results, "files") + disagreements(results, "problems")
    assert not found, "\n".join(found)


# ---- Tests ---------------------------------------------------------------------------------


# Files and problems are compared in one test, because in parallel runs each test would start its
# own children.
def test_every_processor_makes_the_same_files_and_coefficients(folder):
    found = results(folder, Path(sys.executable), ENVIRONMENTS)
    first, *_ = found.values()
    names = {file.split(": ")[1] for file in first["files"]}
    pictures = "preview class_balance confusion mistakes weights sweep"
    assert names == {
        *("dataset.json", "model.pkl", "training.json", "sweep.json", "metrics.json"),
        *(f"{picture}.png" for picture in pictures.split()),
    }
    assert len(first["problems"]) == PROBLEMS
    # Each child ran its own kernels, and without rounding their results differ.
    assert len({tuple(result["kernels"]) for result in found.values()}) == len(kernels.names())
    assert disagreements(found, "unrounded")
    check_agreement(found)


@pytest.mark.skipif(
    not is_installed("v1"), reason="NumPy 1 is not installed (make setup-azureml-v1)"
)
def test_another_numpy_makes_the_same_files_and_coefficients(folder):
    oldest, *_, newest = ENVIRONMENTS
    with_numpy_2 = results(folder, Path(sys.executable), {newest: ENVIRONMENTS[newest]})
    with_numpy_1 = results(
        folder, SDKS["v1"].client, {name: ENVIRONMENTS[name] for name in (oldest, newest)}
    )
    found = with_numpy_2 | with_numpy_1
    assert {result["numpy"].split(".")[0] for result in found.values()} == {"1", "2"}
    check_agreement(found)
