"""Several data sets or settings side by side: a folder each, one checkout and one registry."""

import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pytest
import yaml
from PIL import Image

import mirror
from checkout import ENVIRONMENT, Checkout, command
from samples import labelled_images, write_data_set

# The folder in runs/, and the settings of its run.
RUNS = {
    "strong": {"dataset": "digits", "regularization": 10},
    "compared": {"dataset": "digits", "regularization": "[0.1,0.5]"},
    "pictures": {"dataset": "stripes", "regularization": 0.5},
}
# Files without time stamps, places and durations.
SAME = ["arrays/train-images.npy", "dataset.json", "sweep.json", "model.pkl", "preview.png"]


def with_pictures(path: Path) -> Checkout:
    """Return a fresh checkout with an entry for a folder of pictures of two classes."""
    checkout = Checkout.fresh(path)
    images, labels = labelled_images(60, 9, 8, classes=[0, 1])
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = path / "stripes" / ("dark", "light")[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number}.png")
    (path / "config/my_datasets.yaml").write_text("stripes: {images: stripes}\n")
    return checkout


def folder_of(checkout: Checkout, name: str) -> Checkout:
    """Return an empty folder in the checkout's runs/, to look at its results."""
    folder = checkout.path / "runs" / name
    folder.mkdir(parents=True)
    return Checkout(folder)


def start_in(checkout: Checkout, folder: Path, **config) -> subprocess.Popen:
    """Start a run in another folder, as typed in the checkout."""
    return subprocess.Popen(
        command("--directory", str(folder), "--cores", "1", **config),
        cwd=checkout.path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, dict[str, Checkout]]:
    """A checkout with three folders whose runs went on at once. Tests must not change them."""
    checkout = with_pictures(tmp_path_factory.mktemp("side by side") / "checkout")
    folders = {name: folder_of(checkout, name) for name in RUNS}
    runs = [start_in(checkout, folders[name].path, **config) for name, config in RUNS.items()]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], "\n".join(said)
    return checkout, folders


def test_each_folder_has_its_own_results_and_all_share_the_registry(side_by_side):
    checkout, folders = side_by_side
    receipts = {name: folder.receipt() for name, folder in folders.items()}
    datasets = {name: receipt["parameters"]["dataset"] for name, receipt in receipts.items()}
    assert datasets == {name: config["dataset"] for name, config in RUNS.items()}
    rates = {name: each["metrics"]["regularization_rate"] for name, each in receipts.items()}
    assert (rates["strong"], rates["pictures"]) == (10, 0.5)
    assert rates["compared"] in (0.1, 0.5)
    versions = sorted((receipt["name"], receipt["version"]) for receipt in receipts.values())
    assert versions == [("sklearn_digits", 1), ("sklearn_digits", 2), ("sklearn_stripes", 1)]
    client = mlflow.MlflowClient(f"sqlite:///{checkout.path}/registry/mlflow.db")
    assert sorted((each.name, int(each.version)) for each in client.search_model_versions()) == (
        versions
    )
    assert not (checkout.path / "results").exists()
    for folder in folders.values():
        assert {path.name for path in folder.path.iterdir()} == {".snakemake", "results"}


@pytest.mark.parametrize("name", RUNS)
def test_the_results_have_the_bytes_of_a_run_alone(side_by_side, tmp_path: Path, name: str):
    _, folders = side_by_side
    alone = with_pictures(tmp_path / "checkout")
    targets = [f"results/{file}" for file in SAME]
    alone.finish(*targets, **RUNS[name])
    for file in targets:
        assert (folders[name].path / file).read_bytes() == (alone.path / file).read_bytes(), file


@pytest.mark.parametrize("name", RUNS)
def test_a_second_call_in_a_folder_has_nothing_to_do(side_by_side, name: str):
    checkout, folders = side_by_side
    assert checkout.planned("--directory", str(folders[name].path), **RUNS[name]) == {}


@pytest.mark.parametrize("name", RUNS)
def test_the_receipt_in_a_folder_can_be_verified(side_by_side, name: str):
    checkout, folders = side_by_side
    folder = str(folders[name].path)
    ended = checkout.finish("verify", "--directory", folder, **RUNS[name])
    assert "hold." in ended.stdout + ended.stderr


def test_a_folder_may_have_its_own_configuration(checkout: Checkout):
    own = folder_of(checkout, "own")
    (own.path / "config").mkdir()
    (own.path / "config/config.yaml").write_text("dataset: digits\nregularization: 3\n")
    checkout.finish("results/metrics.json", "--directory", str(own.path))
    assert '"regularization_rate": 3.0,' in (own.path / "results/metrics.json").read_text()


def test_folders_share_the_downloads(checkout: Checkout, server: mirror.Mirror):
    """The second folder needs no network."""
    images, labels = labelled_images(60, 5, 4, classes=[4, 9])
    source = checkout.path.parent / "source"
    files = write_data_set(source, (images[:40], labels[:40]), (images[40:], labels[40:]))
    for path in source.iterdir():
        server.answers[f"/{path.name}"] = [mirror.content(path.read_bytes())]
    entry = {"shapes": {"files": files, "sources": [{"https": server.url}]}}
    (checkout.path / "config/my_datasets.yaml").write_text(yaml.safe_dump(entry))
    target = "results/arrays/train-images.npy"
    for name in ("first", "second"):
        folder = folder_of(checkout, name)
        checkout.finish(target, "--directory", str(folder.path), dataset="shapes")
        assert np.array_equal(np.load(folder.path / target), images[:40])
        assert not (folder.path / "downloads").exists()
    assert sorted(server.requests) == sorted(f"/{name}.gz" for name in files if "train" in name)


def test_a_folder_elsewhere_has_its_own_registry(checkout: Checkout, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    checkout.finish("--directory", str(elsewhere), dataset="digits", regularization=0.5)
    assert (elsewhere / "registry/mlflow.db").exists()
    assert not (checkout.path / "registry").exists()
