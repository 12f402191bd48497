"""Compare everything in the receipt with the results, the code and the installed packages.

The receipt, the job records, the results and the registry are written at different times by
different programs. Whoever alters one of them would have to alter all the others as well.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import NamedTuple, get_args, get_origin, get_type_hints

import numpy as np

from image_workflow.backends.interface import Check
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.lineage.job_records import JobRecord, read_record
from image_workflow.lineage.results import DataSet, Metrics, Receipt, Result, Sweep, Training
from image_workflow.models.settings import TrainingSettings

#: The steps in the order in which they run. Rows are sorted by it.
STEPS = (
    *("download", "convert", "parse", "describe", "preview", "draw_class_balance", "train"),
    *("draw_sweep", "draw_weights", "evaluate", "draw_confusion", "draw_mistakes", "register"),
)
#: The results that every receipt is made from, and the steps that make them. Others, such as
#: weights.png, are found in the job records.
RESULTS = {
    **{f"raw/{file}.gz": "download" for file in IDX_FILES.values()},
    **{f"arrays/{name}.npy": "parse" for name in IDX_FILES},
    "dataset.json": "describe",
    "preview.png": "preview",
    "class_balance.png": "draw_class_balance",
    "model.pkl": "train",
    "training.json": "train",
    "sweep.json": "train",
    "metrics.json": "evaluate",
    "confusion.png": "draw_confusion",
    "mistakes.png": "draw_mistakes",
    "registered.json": "register",
}
#: The facts that the receipt has from training.json.
TRAINING_FACTS = (
    *("backend", "backend_reason", "workspace", "cluster", "portal_url", "environment"),
    *("machine", "deterministic"),
)
#: The keys of the receipt's configuration that every receipt has.
CONFIGURATION = {
    *("dataset", "entry", "own_files", "preview_images", "extra_packages", "estimator", "seed")
}


class Row(NamedTuple):
    """A comparison, and the step to repeat if it does not hold."""

    step: str
    check: Check


# ---- Compare -------------------------------------------------------------------------------


def compared(what: str, expected: object, found: object) -> Check:
    """Compare two JSON values. If they differ, the check names the first part that differs.

    Examples
    --------
    >>> compared("classes", [{"name": "cat"}], [{"name": "dog"}])
    Check(what='classes[0].name', expected='cat', found='dog')
    """
    if as_text(expected) != as_text(found):
        if isinstance(expected, dict) and isinstance(found, dict):
            for key in expected | found:
                if as_text(expected.get(key)) != as_text(found.get(key)) or (
                    (key in expected) != (key in found)
                ):
                    one, other = (part.get(key, "nothing") for part in (expected, found))
                    return compared(f"{what}.{key}", one, other)
        if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
            for at, (one, other) in enumerate(zip(expected, found, strict=True)):
                if as_text(one) != as_text(other):
                    return compared(f"{what}[{at}]", one, other)
    return Check(what, as_text(expected), as_text(found))


def as_text(value: object) -> str:
    """Return a JSON value as text, the same whatever the order of keys."""
    if isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def found_text(compute: Callable[[], object]) -> object:
    """Return what a function finds, or the reason why it finds nothing."""
    try:
        return compute()
    except FileNotFoundError:
        return "missing"
    except (UserError, OSError, ValueError) as error:
        return f"unreadable: {error}"


# ---- The receipt ---------------------------------------------------------------------------


def read_receipt(path: Path) -> Receipt:
    """Return a receipt, or raise UserError if it is missing, or has a value of a wrong type."""
    try:
        receipt = Receipt.read(path)
    except FileNotFoundError:
        raise UserError(
            f"{path} does not exist. Register a model first: snakemake --cores 1 {path}"
        ) from None
    wrong = [
        name for name, hint in get_type_hints(Receipt).items() if not _has_type(receipt, name, hint)
    ]
    configuration = receipt.configuration
    if wrong or not configuration.keys() >= CONFIGURATION or not _is_dict(configuration["entry"]):
        raise UserError(
            f"{path} is damaged: its key {(wrong or ['configuration'])[0]} has a wrong value. "
            "Delete it and run again to make it anew."
        )
    return receipt


def _has_type(receipt: Receipt, name: str, hint: object) -> bool:
    """Tell whether a field of the receipt, and the values in it, have the types of the class."""
    value = getattr(receipt, name)
    if not isinstance(value, hint if isinstance(hint, UnionType) else get_origin(hint) or hint):
        return False
    if get_origin(hint) is dict:
        return all(isinstance(item, get_args(hint)[1]) for item in value.values())
    if name == "classes":
        return all(_is_dict(one) and {"label", "name"} <= one.keys() for one in value)
    return True


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def settings_of(configuration: dict, folder: Path | None, path: Path) -> TrainingSettings:
    """Return the settings of the training in a receipt's configuration.

    Parameters
    ----------
    configuration : dict
    folder : pathlib.Path or None
        The folder of the user's file with the estimator.
    path : pathlib.Path
        The receipt's file.
    """
    absent = {"parameters": {}, "regularization": [], "solver": "", "validation_fraction": 0}
    try:
        settings = TrainingSettings.from_config(absent | configuration)
    except (KeyError, TypeError, ValueError, AttributeError, UserError):
        raise UserError(
            f"{path} is damaged: its key configuration does not describe a training. Delete it and "
            "run again to make it anew."
        ) from None
    return dataclasses.replace(settings, estimator_folder=folder or Path())


# ---- Files ---------------------------------------------------------------------------------


class Records(NamedTuple):
    """The job records in a folder.

    Attributes
    ----------
    by_step : dict of JobRecord or None
        By the name of the record without its suffix; None if a record is damaged.
    makers : dict of str
        For each file in a record, the name of the record.
    """

    by_step: dict[str, JobRecord | None]
    makers: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> "Records":
        """Read all records in a folder."""
        found = {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}
        makers = {name: step for step, record in found.items() if record for name in record.outputs}
        return cls(found, makers)

    def sha256(self, name: str) -> str | None:
        """Return the checksum of a file that a job wrote, or None."""
        step = self.makers.get(name)
        entry = self.by_step[step].outputs[name] if step else {}
        return entry.get("sha256")

    def chain(self, names: Iterable[str]) -> list[str]:
        """Return these files and all that they were made from."""
        found, waiting = {}, list(names)
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = None
                step = self.makers.get(name)
                waiting += self.by_step[step].inputs if step else []
        return list(found)


def rule_of(record: str) -> str:
    """Return the rule that writes a record.

    Examples
    --------
    >>> rule_of("parse_test"), rule_of("draw_class_balance")
    ('parse', 'draw_class_balance')
    """
    for part in ("_train", "_test", "_t10k"):
        record = record.removesuffix(part)
    return record


def file_rows(results: Path, records: Records) -> Iterator[Row]:
    """Compare each result with its job record, and the records with each other."""
    known = {str(results / name): step for name, step in RESULTS.items()}
    used = set()
    for name in records.chain(known):
        record = records.makers.get(name)
        step = rule_of(record) if record else known.get(name, "register")
        expected = records.sha256(name) or "a job record"
        found = "no job record"
        if record or not Path(name).exists():
            found = found_text(lambda name=name: sha256_of_file(Path(name)))
            used.add(record)
        yield Row(step, Check(name, expected, found))
    for record in sorted(used - {None}):
        yield Row(rule_of(record), _inputs(record, records))
    for record, content in records.by_step.items():
        if content is None:
            where = f"{results}/records/{record}.json"
            yield Row(rule_of(record), Check(where, "a job record", "damaged"))


def _inputs(record: str, records: Records) -> Check:
    """Check that a job read what the jobs before it wrote."""
    inputs = records.by_step[record].inputs
    right = f"as recorded, {len(inputs)}"
    for name, sha256 in inputs.items():
        made = records.sha256(name) or found_text(lambda name=name: sha256_of_file(Path(name)))
        if made != sha256:
            return Check(f"inputs of {record}", right, f"another {name}")
    return Check(f"inputs of {record}", right, right)


# ---- Data ----------------------------------------------------------------------------------


def data_rows(
    receipt: Receipt, results: Path, arrays: dict[str, np.ndarray | str], shipped: dict[str, dict]
) -> Iterator[Row]:
    """Compare the raw files and the arrays with the receipt, and with the data set's entry.

    Parameters
    ----------
    receipt : Receipt
    results : pathlib.Path
        The folder of the results.
    arrays : dict
        See :func:`open_arrays`.
    shipped : dict of dict
        The checksums in config/datasets.yaml and my_datasets.yaml, by the name of the data set.
    """
    files = receipt.configuration.get("entry", {}).get("files")
    source = "download" if files else "convert"
    for name, file in IDX_FILES.items():
        expected = receipt.idx_sha256.get(file, "nothing")
        raw = results / f"raw/{file}.gz"
        payload = found_text(lambda raw=raw: idx.file_payload_sha256(raw))
        yield Row(source, Check(f"{raw}, uncompressed", expected, payload))
        array = arrays[name]
        found = array if isinstance(array, str) else idx.payload_sha256(array)
        yield Row("parse", Check(f"{results}/arrays/{name}.npy, as IDX", expected, found))
    if files:
        in_file = shipped.get(receipt.parameters.get("dataset"), {})
        yield Row("download", compared("checksums in the entry", receipt.idx_sha256, in_file))
    readable = [array for array in arrays.values() if not isinstance(array, str)]
    data = idx.payload_sha256(*readable) if len(readable) == len(arrays) else "unreadable"
    yield Row("parse", Check("all arrays", receipt.sha256.get("data", "nothing"), data))


def open_arrays(folder: Path) -> dict[str, np.ndarray | str]:
    """Return the four arrays as memory maps; in place of an array that is damaged, the reason."""

    def opened(path: Path) -> np.ndarray:
        array = np.load(path, mmap_mode="r")
        if array.dtype != np.uint8 or array.ndim != (3 if "images" in path.name else 1):
            raise ValueError(f"{array.dtype} of shape {array.shape}")
        return array

    return {
        name: found_text(lambda name=name: opened(folder / f"{name}.npy")) for name in IDX_FILES
    }


def data_set_rows(
    receipt: Receipt, data_set: DataSet, arrays: dict[str, np.ndarray | str]
) -> Iterator[Row]:
    """Compare dataset.json with the receipt and with the arrays."""
    content = data_set.to_json()
    pairs = {
        "name": receipt.parameters.get("dataset"),
        "idx_sha256": receipt.idx_sha256,
        "classes": receipt.classes,
    }
    entry = receipt.configuration.get("entry", {})
    pairs |= {key: entry.get(key) for key in ("description", "license")}
    for key, expected in pairs.items():
        yield Row("describe", compared(f"dataset.json: {key}", expected, content[key]))
    if names := entry.get("classes"):
        found = [one.name for one in data_set.classes]
        yield Row("describe", compared("dataset.json: names", [*map(str, names)], found))
    if any(isinstance(array, str) for array in arrays.values()):
        return  # The rows of the arrays say so.
    images, train, _, test = arrays.values()
    in_train, in_test = (np.bincount(labels, minlength=256).tolist() for labels in (train, test))
    counted = {
        "rows": images.shape[1],
        "columns": images.shape[2],
        "n_train": len(train),
        "n_test": len(test),
        "classes": [
            {"label": label, "n_train": in_train[label], "n_test": in_test[label]}
            for label in np.union1d(train, test).tolist()
        ],
    }
    described = {key: content[key] for key in counted if key != "classes"}
    described["classes"] = [
        {key: value for key, value in one.items() if key != "name"} for one in content["classes"]
    ]
    yield Row("describe", compared("dataset.json: counts, in the arrays", described, counted))


# ---- The model -----------------------------------------------------------------------------


def training_rows(
    receipt: Receipt, training: Training, settings: TrainingSettings
) -> Iterator[Row]:
    """Compare training.json with the receipt."""
    for name in TRAINING_FACTS:
        expected, found = getattr(receipt, name), getattr(training, name)
        yield Row("train", compared(f"training.json: {name}", expected, found))
    # Only a training in the cloud is a run. MLflow's run is made when the model is registered.
    run = receipt.run_id if receipt.backend == "azureml" else None
    yield Row("train", compared("training.json: run_id", run, training.run_id))
    model = receipt.sha256.get("model", "nothing")
    yield Row("train", compared("training.json: model_sha256", model, training.model_sha256))
    yield Row(
        "train", compared("training.json: arguments", settings.arguments(), training.arguments)
    )


def sweep_rows(receipt: Receipt, sweep: Sweep) -> Iterator[Row]:
    """Compare sweep.json with the receipt."""
    expected = receipt.sweep and receipt.sweep.to_json()
    found = sweep.to_json() if sweep.candidates else None
    yield Row("train", compared("sweep.json", expected, found))


def metrics_rows(receipt: Receipt, metrics: Metrics, sweep: Sweep | None) -> Iterator[Row]:
    """Compare metrics.json with the receipt and with sweep.json."""
    yield Row("evaluate", compared("metrics.json", receipt.metrics, metrics.summary()))
    if sweep:
        yield Row(
            "evaluate",
            compared("metrics.json: parameters", sweep.parameters, metrics.parameters),
        )


def read_result(kind: type[Result], path: Path, rows: list[Row]) -> Result | None:
    """Return a result. If it cannot be read, add a row that says so and return None."""
    try:
        return kind.read(path)
    except FileNotFoundError:
        found = "missing"
    except (UserError, OSError) as error:
        found = f"unreadable: {error}"
    step = RESULTS[path.name]
    rows.append(Row(step, Check(f"{path}, content", "readable", found)))
    return None


# ---- All rows ------------------------------------------------------------------------------


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return the rows in the order in which the steps run."""
    return sorted(rows, key=lambda row: STEPS.index(row.step) if row.step in STEPS else len(STEPS))
