"""A checkout with a history of calls and changes, compared with checkouts that have none."""

import copy
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from checkout import Checkout
from samples import labelled_images, write_data_set

SUPPORT = Path(__file__).parent
#: A single regularization rate, and a list of rates.
SINGLE, SEVERAL = 0.5, "[0.5,2]"

# ---- The files of each target ---------------------------------------------------------------

KINDS = "images", "labels"
TRAIN = [f"raw/train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
TRAIN += [f"arrays/train-{kind}.npy" for kind in KINDS]
TEST = [name.replace("raw/train", "raw/t10k").replace("/train", "/test") for name in TRAIN]
# A downloaded data set has no conversion.json.
DATA = [*TRAIN, *TEST, "raw/conversion.json", "dataset.json"]
MODEL = [*TRAIN, *TEST, "model.pkl", "training.json", "sweep.json"]
METRICS = [*DATA, *MODEL, "metrics.json"]
PICTURES = ["preview", "class_balance", "confusion", "mistakes", "weights", "sweep"]
NEEDED = {
    "arrays/test-images.npy": TEST,
    "dataset.json": DATA,
    "preview.png": [*DATA, "preview.png"],
    "model.pkl": MODEL,
    "metrics.json": METRICS,
    "confusion.png": [*METRICS, "confusion.png"],
    "weights.png": [*DATA, *MODEL, "weights.png"],
    "sweep.png": [*MODEL, "sweep.png"],
    "registered.json": [*METRICS, *(f"{name}.png" for name in PICTURES), "registered.json"],
}
NEEDED["all"] = NEEDED["registered.json"]
RULES = ["download_train", "download_t10k", "convert", "parse_train", "parse_test", "describe"]
RULES += ["train", "evaluate", "preview", *(f"draw_{name}" for name in PICTURES[1:]), "register"]
RECORDS = [f"records/{rule}.json" for rule in RULES]
FILES = [*dict.fromkeys(NEEDED["all"]), *RECORDS]

# ---- The user's own images ------------------------------------------------------------------

#: Versions of the user's own images: as at first, and with one picture more, edited, or less.
VERSIONS = "first", "added", "edited", "removed"


def pictures(version: str) -> dict[str, bytes]:
    """Return the content of each picture, by its name. All have as many bytes."""
    images, labels = labelled_images(38, 6, 5, classes=[0, 1, 2], seed=2)
    *files, more, other = (bitmap(image) for image in images)
    names = ["birch", "oak", "willow tree"]
    found = {f"{names[labels[at]]}/{at}.bmp": file for at, file in enumerate(files)}
    if version == "added":
        found["oak/new.bmp"] = more
    elif version == "edited":
        found["oak/1.bmp"] = other
    elif version == "removed":
        del found["oak/1.bmp"]
    return found


def bitmap(image: np.ndarray) -> bytes:
    """Return the content of a BMP file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "BMP")
    return file.getvalue()


def write_pictures(folder: Path, version: str) -> None:
    """Change only the files of a folder that differ from a version of the user's own images."""
    wanted = pictures(version)
    for path in folder.glob("*/*"):
        if str(path.relative_to(folder)) not in wanted:
            path.unlink()
    for name, content in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


# ---- The user's own estimator ---------------------------------------------------------------

#: Versions of the user's file: as at first, edited, and with a linear estimator.
ESTIMATORS = {
    "first": "from sklearn.naive_bayes import BernoulliNB\n\nbuild = BernoulliNB\n",
    "edited": "from sklearn.naive_bayes import GaussianNB\n\nbuild = GaussianNB\n",
    "linear": "from sklearn.linear_model import RidgeClassifier\n\nbuild = RidgeClassifier\n",
}
OWN_ESTIMATOR = {"estimator": "my_model.py:build"}


def left_out(configuration: dict, estimator: str) -> set[str]:
    """Return the pictures that a configuration and a version of the estimator do not have."""
    if "estimator" not in configuration:
        return set() if configuration["regularization"] == SEVERAL else {"sweep.png"}
    is_linear = configuration.items() >= OWN_ESTIMATOR.items() and estimator == "linear"
    pictures = set() if is_linear else {"weights.png"}
    return pictures if "[" in configuration.get("parameters", "") else {"sweep.png", *pictures}


# ---- Fresh checkouts -----------------------------------------------------------------------


def new_checkout(folder: Path) -> Checkout:
    """Return a fresh checkout with more data sets.

    ``named`` has the files of ``small``, but names for its classes. The folder of ``misspelt`` is
    misspelt. ``mine`` is a folder of the user's own pictures. ``my_model.py`` has an estimator.
    """
    checkout = Checkout.fresh(folder)
    entries = {}
    for name, seed in (("small", 0), ("misspelt", 1)):
        images, labels = labelled_images(90, 5, 4, classes=[0, 7, 200], seed=seed)
        data = checkout.path / "data" / name
        files = write_data_set(data, (images[:60], labels[:60]), (images[60:], labels[60:]))
        source = "data/mispelt" if name == "misspelt" else f"data/{name}"
        entries[name] = {"files": files, "sources": [{"folder": source}]}
    names = {"classes": ["pond", "lake", "sea"], "polarity": "as_is"}
    # A copy, because YAML writes what two entries share as an anchor and a reference.
    entries["named"] = copy.deepcopy(entries["small"]) | names
    write_pictures(checkout.path / "data/mine", "first")
    (checkout.path / "my_model.py").write_text(ESTIMATORS["first"])
    own = {"mine": {"images": "data/mine"}}
    (checkout.path / "config/my_datasets.yaml").write_text(yaml.safe_dump(own))
    with open(checkout.path / "config/datasets.yaml", "a", encoding="utf-8") as registry:
        yaml.safe_dump(entries, registry)
    return checkout


class FreshRuns:
    """Checkouts in which only one call, with one configuration, has happened."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.checkouts: dict[str, Checkout] = {}

    def finished(
        self, configuration: dict, version: str = "first", estimator: str = "first"
    ) -> Checkout:
        """Return the finished checkout of a configuration, and of versions of the user's files."""
        has_own = configuration.items() >= OWN_ESTIMATOR.items()
        used = configuration["dataset"] == "mine" and version, has_own and estimator
        key = json.dumps([configuration, used])
        if key not in self.checkouts:
            checkout = new_checkout(self.folder / str(len(self.checkouts)))
            write_pictures(checkout.path / "data/mine", version)
            (checkout.path / "my_model.py").write_text(ESTIMATORS[estimator])
            checkout.finish(**configuration)
            self.checkouts[key] = checkout
        return self.checkouts[key]


def named(target: str) -> list[str]:
    """Return the command-line arguments of a target."""
    return [] if target == "all" else [f"results/{target}"]


def content(checkout: Checkout, name: str) -> object:
    """Return the content of a result, or None; of a receipt without what MLflow has chosen."""
    path = checkout.path / "results" / name
    if not path.exists():
        return None
    if name != "registered.json":
        return path.read_bytes()
    receipt = json.loads(path.read_text(encoding="utf-8"))
    return {key: receipt[key] for key in receipt.keys() - {"version", "run_id", "artifact_sha256"}}


# ---- A checkout with a history --------------------------------------------------------------


class History:
    """A checkout, its history, and the checks after each call."""

    #: The numbers of calls of snakemake and of failed calls, in all histories.
    calls = failures = 0

    def __init__(self, folder: Path, fresh_runs: FreshRuns):
        self.checkout, self.fresh_runs = new_checkout(folder), fresh_runs
        self.results, self.kept = self.checkout.path / "results", self.checkout.path / "kept"
        self.version = self.estimator = "first"
        self.happened: list[str] = []

    def call(self, configuration: dict, target: str, fault: str | None = None) -> bool:
        """Call snakemake, check the results, and return whether the call succeeded."""
        if target in left_out(configuration, self.estimator):
            target = "metrics.json"
        self.happened.append(f"call {configuration} {target} {fault}")
        variables = {"FAULT": fault, "PYTHONPATH": str(SUPPORT / "faults")}
        self.checkout.environment = variables if fault else {}
        ended = self.checkout.snakemake(*named(target), **configuration)
        History.calls += 1
        said = "\n".join([*self.happened, ended.stdout, ended.stderr])
        if ended.returncode == 0:
            assert configuration["dataset"] != "misspelt", said
            self.check(configuration, target, said)
            self.checkout.environment = {}
            again = self.checkout.finish(*named(target), **configuration)
            History.calls += 1
            assert "Nothing to be done" in again.stdout + again.stderr, said + again.stderr
        else:
            History.failures += 1
            hidden = not (self.checkout.path / "data").exists()
            assert fault or hidden or configuration["dataset"] == "misspelt", said
        return ended.returncode == 0

    def check(self, configuration: dict, target: str, said: str) -> None:
        """Check that all results of a target are those of a fresh checkout."""
        fresh = self.fresh_runs.finished(configuration, self.version, self.estimator)
        names = set(NEEDED[target])
        if "model.pkl" in names:
            names |= left_out(configuration, self.estimator)  # They must not be there.
        different = [
            name for name in sorted(names) if content(self.checkout, name) != content(fresh, name)
        ]
        assert not different, f"{different} differ from a fresh clone's.\n{said}"

    def start_with(self, configuration: dict) -> None:
        """Start with the results of a run of this configuration."""
        self.happened.append(f"start with {configuration}")
        fresh = self.fresh_runs.finished(configuration)
        for folder in (".snakemake", "results"):
            shutil.copytree(fresh.path / folder, self.checkout.path / folder)

    def mark_up_to_date(self, configuration: dict) -> None:
        """Tell Snakemake that all results are up to date."""
        self.happened.append(f"snakemake --touch {configuration}")
        self.checkout.environment = {}
        self.checkout.snakemake("--touch", **configuration)
        History.calls += 1

    def delete_metadata(self) -> None:
        """Delete Snakemake's own metadata."""
        self.happened.append("delete .snakemake")
        shutil.rmtree(self.checkout.path / ".snakemake", ignore_errors=True)

    def hide_or_show_the_sources(self) -> None:
        """Rename the folder of all sources, or rename it back."""
        self.happened.append("hide or show the sources")
        shown, hidden = (self.checkout.path / name for name in ("data", "hidden"))
        shown.rename(hidden) if shown.exists() else hidden.rename(shown)

    def change_pictures(self, version: str) -> None:
        """Add, edit, remove or restore one of the user's own pictures."""
        self.happened.append(f"pictures: {version}")
        self.version = version
        shown, hidden = (self.checkout.path / name for name in ("data", "hidden"))
        write_pictures((shown if shown.exists() else hidden) / "mine", version)

    def change_estimator(self, version: str) -> None:
        """Edit the user's file with the estimator, or restore it."""
        self.happened.append(f"estimator: {version}")
        self.estimator = version
        (self.checkout.path / "my_model.py").write_text(ESTIMATORS[version])

    def keep(self) -> None:
        """Copy all results to another folder."""
        self.happened.append("keep all results")
        if self.results.exists():
            shutil.rmtree(self.kept, ignore_errors=True)
            shutil.copytree(self.results, self.kept)

    def restore(self) -> None:
        """Replace all results with the kept copy."""
        self.happened.append("restore all results")
        if self.kept.exists():
            shutil.rmtree(self.results, ignore_errors=True)
            shutil.copytree(self.kept, self.results)

    def change(self, name: str, how: str) -> None:
        """Delete or alter a file below results/."""
        path, backup = self.results / name, self.checkout.path / "backup" / name
        self.happened.append(f"{how} {name}")
        if how == "restore" and backup.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(backup, path)
        if not path.exists():
            return
        if how == "backup":
            backup.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, backup)
        elif how == "delete":
            path.unlink()
        elif how == "touch":
            os.utime(path)
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "truncate":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif how == "append":
            path.write_bytes(path.read_bytes() + b"0")
        elif how == "edit":
            whole = path.read_bytes()
            path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:] if whole else b"")
