"""The same bytes on every processor: under each BLAS kernel, SIMD level and number of threads.

A child process for each processor that this one can pass for makes all results of the digits, and
of some rows of MNIST where they are here, and fits random problems. The tests compare checksums.
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
from azureml_client import CLIENT, INSTALLED
from checkout import TOP

CHILD = Path(__file__).with_name("processor_child.py")
RAW = TOP / "results/raw"
THREADS = 1, 2, 5, 16
RATES = "0.1", "2", "10"
PROBLEMS = 50

ENVIRONMENTS = kernels.environments()

pytestmark = pytest.mark.skipif(
    len(ENVIRONMENTS) < 2, reason="this processor has no other BLAS kernels to compare with"
)


def problem(number: int) -> dict:
    """Return a problem of bytes: few rows and many, few pixels and many, each C and class count."""
    random = np.random.default_rng(number)
    classes = int(random.integers(2, 8))
    # The first two are images of one pixel, the next two large ones.
    if number < 4:
        n, d = (400, 1) if number < 2 else (60, 64 * 64)
    else:
        n, d = int(10 ** random.uniform(1.5, 3.5)), int(10 ** random.uniform(0.3, 2.3))
    y = np.concatenate([np.arange(classes), random.integers(0, classes, n - classes)])
    patterns = random.integers(0, 256, (classes, d))
    noise = random.integers(0, 256, (n, d))
    share = random.integers(1, 60)
    X = ((share * patterns[y] + (100 - share) * noise) // 100).astype(np.uint8)
    return {"X": X, "y": y, "C": 10 ** random.uniform(-2, 2), "scale": 1 / 255}


def mnist() -> tuple[np.ndarray, ...] | None:
    """Return 4,000 images of MNIST with labels to train on, and 1,000; None if they are not here.

    They are of the test set's files, which are quick to read.
    """
    names = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
    if not all((RAW / name).exists() for name in names):
        return None
    images, labels = (
        np.frombuffer(gzip.decompress((RAW / name).read_bytes()), np.uint8) for name in names
    )
    if len(images) != 16 + 10_000 * 784:  # these are the files of another data set
        return None
    images, labels = images[16:].reshape(-1, 28, 28), labels[8:]
    return images[:4000], labels[:4000], images[4000:5000], labels[4000:5000]


def digits() -> tuple[np.ndarray, ...]:
    """Return scikit-learn's digits: 1,400 images with labels to train on, and the rest."""
    bunch = load_digits()
    images = (bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The folder of data sets and problems that all children read."""
    folder = tmp_path_factory.mktemp("processors")
    for name, arrays in {"digits": digits(), "mnist": mnist()}.items():
        if arrays is not None:
            (folder / name).mkdir()
            names = "train-images", "train-labels", "test-images", "test-labels"
            for part, array in zip(names, arrays, strict=True):
                np.save(folder / name / f"{part}.npy", array)
    for number in range(PROBLEMS):
        np.savez(folder / f"problem {number:02}.npz", **problem(number))
    return folder


def results(folder: Path, python: Path, environments: dict[str, dict]) -> dict[str, dict]:
    """Return what the child of each environment writes, two of them at once."""

    def result(name, threads):
        output = folder / f"{name} ({python.parents[1].name}, threads={threads}).json"
        command = [python, CHILD, "--folder", folder, "--output", output]
        command += ["--threads", str(threads), "--rates", *RATES]
        environment = os.environ | environments[name]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, f"{name}: {ended.stderr}"
        return output.stem, json.loads(output.read_text())

    numbers = [THREADS[place % len(THREADS)] for place in range(len(environments))]
    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(result, environments, numbers))


def disagreements(results: dict[str, dict], part: str) -> list[str]:
    """Return which environments agree on a file or problem, for each on which not all do."""
    found = []
    for what in next(iter(results.values()))[part]:
        groups = {}
        for name, result in results.items():
            groups.setdefault(result[part][what], []).append(name)
        if len(groups) > 1:
            agreeing = "".join(f"\n    {', '.join(names)}" for names in groups.values())
            found.append(f"{what} has {len(groups)} versions, one a line:{agreeing}")
    return found


def check_agreement(results: dict[str, dict]) -> None:
    """Check that all environments agree on everything; else say which ones do."""
    found = disagreements(results, "files") + disagreements(results, "problems")
    assert not found, "\n".join(found)


# One test, not one of files and one of problems: the children do both, and tests that run in
# parallel would each start their own.
def test_every_processor_makes_the_same_files_and_coefficients(folder):
    found = results(folder, Path(sys.executable), ENVIRONMENTS)
    one, *_ = found.values()
    made = {name.split(": ")[1] for name in one["files"]}
    assert made == {"model.pkl", "sweep.json", "metrics.json", "preview.png", "sweep.png"}
    assert len(one["problems"]) == PROBLEMS
    # Each child has run its kernels, and they are different enough for this test to find something.
    assert len({tuple(each["kernels"]) for each in found.values()}) == len(kernels.names())
    assert disagreements(found, "unrounded")
    check_agreement(found)


@pytest.mark.skipif(not INSTALLED, reason="NumPy 1 is not installed (make setup-azureml)")
def test_another_numpy_makes_the_same_files_and_coefficients(folder):
    oldest, *_, newest = ENVIRONMENTS
    ours = results(folder, Path(sys.executable), {newest: ENVIRONMENTS[newest]})
    theirs = results(folder, CLIENT, {name: ENVIRONMENTS[name] for name in (oldest, newest)})
    found = ours | theirs
    assert {each["numpy"].split(".")[0] for each in found.values()} == {"1", "2"}
    check_agreement(found)
