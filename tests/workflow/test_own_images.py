"""Your own images: from a folder or a file to a registered model, without code."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import mirror
from checkout import TOP, Checkout
from samples import labelled_images, write_data_set

NAMES = ["Äpfel (grün)", "birnen", "cherries"]
CONVERSION = {"convert": 1, "parse": 2, "describe": 1}
PICTURES = "preview", "draw_class_balance", "draw_confusion", "draw_mistakes", "draw_weights"
REST = dict.fromkeys((*PICTURES, "train", "evaluate", "register"), 1)
ONE_RATE = {"regularization": 0.5}


def write_photographs(folder: Path, each: int = 12) -> None:
    """Write colour photographs of different sizes, each class with its own bright band."""
    random = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        (folder / name).mkdir(parents=True)
        for at in range(each):
            rows, columns = random.integers(60, 120, 2)
            pixels = random.integers(0, 90, (rows, columns, 3), dtype=np.uint8)
            pixels[rows * number // 3 : rows * (number + 1) // 3] += 120
            suffix = ("png", "JPG", "webp", "tif")[at % 4]
            Image.fromarray(pixels).save(folder / name / f"Bild {at} ü.{suffix}")


def add_entry(checkout: Checkout, **entries) -> None:
    """Write the user's own entries."""
    path = checkout.path / "config/my_datasets.yaml"
    path.write_text(yaml.safe_dump(entries, allow_unicode=True), encoding="utf-8")


def result(checkout: Checkout, name: str) -> dict:
    """Return the content of a JSON file among the results."""
    return json.loads((checkout.path / "results" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose model was trained on a folder of photographs. Tests must not change it."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("photographs") / "checkout")
    write_photographs(checkout.path / "Meine Fotos")
    broken = checkout.path / "Meine Fotos/birnen/kaputt.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 and no picture")
    dataset = {"dataset": "Meine Fotos", **ONE_RATE}
    ended = checkout.snakemake("results/registered.json", **dataset)
    assert ended.returncode != 0
    assert "birnen/kaputt.jpg: " in ended.stdout + ended.stderr
    assert not (checkout.path / "results/raw/train-images-idx3-ubyte.gz").exists()
    broken.unlink()
    checkout.finish("results/registered.json", **dataset)
    return checkout


@pytest.fixture
def copy(photographs: Checkout, tmp_path: Path) -> Checkout:
    """A copy of this checkout, which a test may change."""
    return photographs.copied(tmp_path / "copy")


# ---- A folder of photographs ---------------------------------------------------------------


def test_the_class_names_are_in_every_result(photographs: Checkout):
    names = sorted(NAMES)
    data_set, receipt = result(photographs, "dataset.json"), photographs.receipt()
    assert result(photographs, "metrics.json")["class_names"] == names
    assert [found["name"] for found in data_set["classes"]] == names
    assert [found["name"] for found in receipt["classes"]] == names
    client = mlflow.MlflowClient(f"sqlite:///{photographs.path}/registry/mlflow.db")
    version = client.get_model_version("sklearn_Meine-Fotos", "1")
    run = client.get_run(version.run_id)
    assert all(name in version.description for name in names)
    assert list(json.loads(run.data.tags["class_names"]).values()) == names


def test_the_data_set_is_described(photographs: Checkout):
    data_set = result(photographs, "dataset.json")
    assert data_set["name"] == "Meine-Fotos"
    assert (data_set["n_train"], data_set["n_test"]) == (30, 6)
    assert [(found["n_train"], found["n_test"]) for found in data_set["classes"]] == [(10, 2)] * 3
    assert data_set["polarity"] == "as_is"
    assert max(data_set["rows"], data_set["columns"]) == 64
    assert data_set["conversion"]["from_colour"] == 36
    images = np.load(photographs.path / "results/arrays/train-images.npy")
    assert images.shape == (30, data_set["rows"], data_set["columns"])


def test_the_model_and_the_experiment_are_named_after_the_data_set(photographs: Checkout):
    receipt = photographs.receipt()
    assert (receipt["name"], receipt["version"]) == ("sklearn_Meine-Fotos", 1)
    client = mlflow.MlflowClient(f"sqlite:///{photographs.path}/registry/mlflow.db")
    assert client.get_experiment_by_name("Tutorial-sklearn-Meine-Fotos")


def test_a_second_run_has_nothing_to_do(photographs: Checkout):
    assert photographs.planned(dataset="Meine Fotos", **ONE_RATE) == {}


# ---- Changes -------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["add", "remove", "edit"])
def test_a_changed_picture_runs_what_depends_on_it(copy: Checkout, change: str):
    one, two = (copy.path / "Meine Fotos/birnen" / f"Bild {number} ü.png" for number in (0, 4))
    if change == "add":
        shutil.copy(one, one.with_name("neu.png"))
    elif change == "remove":
        one.unlink()
    else:
        shutil.copyfile(one, two)
    said = copy.finish("-n", dataset="Meine Fotos", **ONE_RATE).stdout
    assert "was made with other source files, settings or code" in said
    assert copy.planned(dataset="Meine Fotos", **ONE_RATE) == CONVERSION | REST


def test_time_stamps_and_moved_folders_run_nothing(copy: Checkout):
    for path in (copy.path / "Meine Fotos").rglob("*"):
        os.utime(path)
    assert copy.planned(dataset="Meine Fotos", **ONE_RATE) == {}
    (copy.path / "Meine Fotos").rename(copy.path / "elsewhere")
    add_entry(copy, **{"Meine-Fotos": {"images": "elsewhere"}})
    assert copy.planned(dataset="Meine-Fotos", **ONE_RATE) == {}


def test_the_receipts_checksum_stands_for_the_content(copy: Checkout):
    before = copy.receipt()["sha256"]
    extra = copy.path / "Meine Fotos/birnen/neu.png"
    shutil.copy(copy.path / "Meine Fotos/birnen/Bild 0 ü.png", extra)
    copy.finish("results/registered.json", dataset="Meine Fotos", **ONE_RATE)
    changed = copy.receipt()
    assert changed["sha256"]["data"] != before["data"]
    assert changed["version"] == 2
    extra.unlink()
    copy.finish("results/registered.json", dataset="Meine Fotos", **ONE_RATE)
    assert copy.receipt()["sha256"]["data"] == before["data"]
    assert copy.receipt()["version"] == 1


@pytest.mark.parametrize(
    ("options", "jobs"),
    [
        ({"description": "Fruit"}, {"describe": 1}),
        ({"size": 16}, CONVERSION | REST),
        ({"test_share": 0.5}, CONVERSION | REST),
        ({"classes": [*reversed(NAMES)]}, CONVERSION | REST),
    ],
)
def test_an_option_runs_what_depends_on_it(copy: Checkout, options: dict, jobs: dict):
    add_entry(copy, **{"Meine-Fotos": {"images": "Meine Fotos"} | options})
    planned = copy.planned(dataset="Meine-Fotos", **ONE_RATE)
    assert planned.items() >= jobs.items()
    assert ("train" in planned) == ("train" in jobs)


def test_a_folder_that_is_gone_is_named(copy: Checkout):
    add_entry(copy, leaves={"images": "~/nowhere/leaves"})
    ended = copy.snakemake("-n", dataset="leaves")
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "the data set leaves needs" in said
    assert "nowhere/leaves, which does not exist" in said
    assert "Traceback" not in said


def test_git_ignores_the_users_own_entries_and_the_downloads():
    """So that a data set of one's own does not make receipts dirty."""
    paths = ["config/my_datasets.yaml", "downloads/x.gz"]
    ignored = subprocess.run(
        ["git", "check-ignore", *paths], cwd=TOP, capture_output=True, text=True
    )
    assert ignored.stdout.split() == paths


# ---- Files that people have ----------------------------------------------------------------


IMAGES, LABELS = labelled_images(80, 8, 8, classes=[0, 1, 2, 3])


def kaggle(folder: Path) -> dict:
    table = pd.DataFrame(IMAGES.reshape(80, -1)).add_prefix("pixel")
    table.insert(0, "label", LABELS)
    table.to_csv(folder / "train.csv", index=False)
    return {"images": "train.csv"}


def keras(folder: Path) -> dict:
    sets = {"x_train": IMAGES[:60], "y_train": LABELS[:60]}
    np.savez(folder / "mnist.npz", **sets, x_test=IMAGES[60:], y_test=LABELS[60:])
    return {"images": "mnist.npz"}


def medmnist(folder: Path) -> dict:
    colours = np.repeat(IMAGES[..., np.newaxis], 3, axis=3)
    arrays = {}
    for part, where in {"train": slice(50), "val": slice(50, 60), "test": slice(60, 80)}.items():
        arrays[f"{part}_images"] = colours[where]
        arrays[f"{part}_labels"] = LABELS[where, np.newaxis]
    np.savez_compressed(folder / "blood.npz", **arrays)
    return {"images": "blood.npz", "classes": ["basophil", "eosinophil", "ig", "lymphocyte"]}


def emnist(folder: Path) -> dict:
    images, labels = labelled_images(130, 8, 8, classes=list(range(1, 27)))
    files = write_data_set(folder / "letters", (images, labels), (images[:52], labels[:52]))
    for name in files:
        part = "test" if name.startswith("t10k") else "train"
        other = f"emnist-letters-{part}-{name.split('-', 1)[1]}.gz"
        (folder / f"letters/{name}.gz").rename(folder / f"letters/{other}")
    names = [chr(ord("a") + number) for number in range(26)]
    return {"images": "letters", "transposed": True, "classes": names}


@pytest.mark.parametrize("kind", [kaggle, keras, medmnist, emnist])
def test_a_file_that_people_have_becomes_a_registered_model(checkout: Checkout, kind):
    entry = kind(checkout.path)
    add_entry(checkout, mine=entry)
    checkout.finish("results/registered.json", dataset="mine", **ONE_RATE)
    receipt = checkout.receipt()
    assert receipt["parameters"]["dataset"] == "mine"
    names = [found["name"] for found in receipt["classes"]]
    assert names == entry.get("classes", ["0", "1", "2", "3"])
    assert result(checkout, "metrics.json")["class_names"] == names
    assert receipt["metrics"]["n_train"] + receipt["metrics"]["n_test"] in (80, 182)


# ---- Switching -----------------------------------------------------------------------------


def test_switching_data_sets_downloads_once_and_works_offline(checkout: Checkout):
    images, labels = labelled_images(60, 6, 6, classes=[0, 1])
    source = checkout.path / "served"
    files = write_data_set(source, (images[:40], labels[:40]), (images[40:], labels[40:]))
    write_photographs(checkout.path / "photos", each=3)
    data = "results/dataset.json"
    checkout.environment = {"NO_PROXY": "127.0.0.1"}
    with mirror.serving() as server:
        for path in source.iterdir():
            server.answers[f"/{path.name}"] = [mirror.content(path.read_bytes())]
        add_entry(
            checkout,
            remote={"files": files, "sources": [{"https": server.url}]},
            mine={"images": "photos"},
        )
        checkout.finish(data, dataset="remote")
        assert len(server.requests) == 4
    first = result(checkout, "dataset.json")
    assert not (checkout.path / "results/raw/conversion.json").exists()
    checkout.finish(data, dataset="mine")
    assert result(checkout, "dataset.json")["name"] == "mine"
    checkout.finish(data, dataset="remote")  # The server has ended.
    assert result(checkout, "dataset.json") == first
    # No file of the other data set is left.
    assert not (checkout.path / "results/raw/conversion.json").exists()
