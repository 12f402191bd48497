"""Compare everything in the receipt with the results, the code, the packages and the registry."""

import image_workflow.start  # noqa: F401

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evaluate import measure
from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.interface import Check
from image_workflow.backends.local import installed_versions
from image_workflow.backends.settings import BackendSettings
from image_workflow.command import log
from image_workflow.errors import UserError
from image_workflow.imports import add_estimator_folder_option
from image_workflow.lineage.check_table import table
from image_workflow.lineage.checksums import sha256_of_file, sha256_of_json
from image_workflow.lineage.code import code_digest
from image_workflow.lineage.git import git_state
from image_workflow.lineage.machine import machine
from image_workflow.lineage.pins import pinned_versions
from image_workflow.lineage.results import DataSet, Metrics, Receipt, Sweep, Training
from image_workflow.lineage.verification import (
    Records,
    Row,
    compared,
    data_rows,
    data_set_rows,
    file_rows,
    found_text,
    in_order,
    metrics_rows,
    open_arrays,
    read_receipt,
    read_result,
    settings_of,
    sweep_rows,
    training_rows,
)
from image_workflow.models.estimator import load_model, predict
from image_workflow.models.settings import TrainingSettings
from register import described_parameters, registry_of

#: How much the accuracy of another estimator may differ where its predictions may.
TOLERANCE = 0.01


def rows_of(receipt: Receipt, options: argparse.Namespace) -> list[Row]:
    """Compare everything, and return the rows in the order in which the steps run."""
    results = options.receipt.parent
    records = Records.read(results / "records")
    arrays = open_arrays(results / "arrays")
    settings = settings_of(receipt.configuration, options.estimator_folder, options.receipt)
    rows = list(file_rows(results, records))
    rows += data_rows(receipt, results, arrays, json.loads(options.shipped))
    data_set = read_result(DataSet, results / "dataset.json", rows)
    training = read_result(Training, results / "training.json", rows)
    sweep = read_result(Sweep, results / "sweep.json", rows)
    metrics = read_result(Metrics, results / "metrics.json", rows)
    if data_set:
        rows += data_set_rows(receipt, data_set, arrays)
    rows += code_rows(receipt, settings, options)
    rows += version_rows(receipt, options.environment)
    if training:
        rows += training_rows(receipt, training, settings)
    if sweep:
        rows += sweep_rows(receipt, sweep)
    if metrics:
        rows += metrics_rows(receipt, metrics, sweep)
    if data_set and metrics:
        found = described_parameters(settings, metrics, data_set)
        rows.append(Row("register", compared("parameters", receipt.parameters, found)))
    if data_set and training and metrics:
        rows += prediction_rows(receipt, records, training, data_set, metrics, settings, options)
    rows += registry_rows(receipt, training, BackendSettings("", "", json.loads(options.azureml)))
    return in_order(rows)


# ---- Code and packages ---------------------------------------------------------------------


def code_rows(
    receipt: Receipt, settings: TrainingSettings, options: argparse.Namespace
) -> Iterator[Row]:
    """Compare the code, the user's file with the estimator, and the git state with the receipt."""
    expected, found = receipt.sha256.get("code", "nothing"), code_digest(options.training_program)
    yield Row("train", Check("code of the training", expected, found))
    if settings.file or "estimator" in receipt.sha256:
        expected = receipt.sha256.get("estimator", "nothing")
        found = found_text(lambda: sha256_of_json(settings.estimator_digests()))
        yield Row("train", Check(f"estimator {settings.estimator}", expected, found))
    found = git_state(options.training_program.parent)
    for key in ("commit", "dirty"):
        yield Row("register", compared(f"git: {key}", receipt.git.get(key), found[key]))


def version_rows(receipt: Receipt, environment: Path) -> Iterator[Row]:
    """Compare the versions that the training had with those that it would have now.

    A run in the cloud has the versions of the environment file, whatever is installed here.
    """
    found = pinned_versions(environment)
    if receipt.backend == "local":
        # In a conda environment of its own, this program has not all packages of the training.
        found |= installed_versions(environment)
    for package, version in receipt.environment.items():
        yield Row("train", Check(f"version of {package}", version, found.get(package, "none")))


# ---- The model -----------------------------------------------------------------------------


def prediction_rows(
    receipt: Receipt,
    records: Records,
    training: Training,
    data_set: DataSet,
    metrics: Metrics,
    settings: TrainingSettings,
    options: argparse.Namespace,
) -> Iterator[Row]:
    """Predict the test set again, and compare the metrics with metrics.json and the receipt.

    A pickle can run any code, so the model is loaded only if its checksum is in the records of our
    own training.
    """
    model = options.receipt.parent / "model.pkl"
    known = records.sha256(str(model))
    sha256 = found_text(lambda: sha256_of_file(model))
    what = "metrics, predicted again"
    if not sha256 == known == training.model_sha256 == receipt.sha256.get("model"):
        found = "the model is not the recorded one"
        yield Row("train", Check(what, "a known model", f"not loaded: {found}"))
        return
    try:
        again = measured_again(model, sha256, data_set, metrics, options)
    except Exception as error:  # Code of the user's own can raise anything.
        logging.exception("predict failed")
        yield Row("evaluate", Check(what, "metrics", f"{type(error).__name__}: {error}"))
        return
    difference = abs(again.accuracy - metrics.accuracy)
    if may_differ(settings, training) and difference <= TOLERANCE:
        # Another processor rounds otherwise, which can turn a prediction that was nearly a tie.
        what = f"accuracy, predicted again, to {TOLERANCE:.0%}"
        yield Row("evaluate", Check(what, *[f"{metrics.accuracy:.2f}"] * 2))
        return
    yield Row("evaluate", compared(what, metrics.to_json(), again.to_json()))
    accuracy = receipt.metrics.get("accuracy")
    yield Row("evaluate", compared("accuracy, predicted again", accuracy, again.accuracy))


def measured_again(
    model: Path, sha256: str, data_set: DataSet, metrics: Metrics, options: argparse.Namespace
) -> Metrics:
    """Return the metrics of a model that is known to be our own."""
    arrays = options.receipt.parent / "arrays"
    truth = np.load(arrays / "test-labels.npy")
    images = np.load(arrays / "test-images.npy", mmap_mode="r")
    predicted = predict(load_model(model, sha256, options.estimator_folder), images)
    names = data_set.class_names()
    return measure(truth, predicted, names, metrics.parameters, data_set.n_train)


def may_differ(settings: TrainingSettings, training: Training) -> bool:
    """Tell whether the predictions of an honest model may differ from those of its first run.

    The default model predicts the same on every processor. Another estimator does so only on the
    machine of its training, if training.json says that it is deterministic.
    """
    return settings.is_own and not (training.deterministic and training.machine == machine())


# ---- The registry --------------------------------------------------------------------------


def registry_rows(
    receipt: Receipt, training: Training | None, settings: BackendSettings
) -> Iterator[Row]:
    """Compare the registered version and its artifacts with the receipt."""
    place = BackendSettings(receipt.registry_uri, settings.experiment, settings.azureml)
    try:
        if training is None:
            raise UserError("training.json does not say which registry it is.")
        checks = registry_of(training, place).check(receipt)
    except (UserError, OSError) as error:
        what = f"{receipt.name} version {receipt.version}"
        checks = [Check(what, "a registered version", f"unreadable: {error}")]
    yield from (Row("register", check) for check in checks)


# ---- The program ---------------------------------------------------------------------------


def main(options: argparse.Namespace) -> None:
    rows = rows_of(read_receipt(options.receipt), options)
    checks = [row.check for row in rows]
    print(*table(checks), sep="\n", file=sys.stderr)
    for row in rows:
        # The log file has the full texts.
        logging.info("%s: %s", "holds" if row.check.holds else "DIFFERS", row)
    wrong = [row for row in rows if not row.check.holds]
    held = f"{len(rows) - len(wrong)} of {len(rows)} hold"
    if wrong:
        step, check = wrong[0]
        raise UserError(
            f"{held}. The first that does not is {check.what}: expected {check.expected}, found "
            f"{check.found.removesuffix('.')}. Repeat the step {step} with the same configuration: "
            f"snakemake --cores 1 {options.receipt} --forcerun {step}"
        )
    log.info("%s: all %s.", options.receipt, held)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="verify.py", description=__doc__)
    parser.add_argument(
        "--receipt", type=Path, required=True, help="registered.json, in the folder of the results"
    )
    add_estimator_folder_option(parser)
    parser.add_argument(
        "--training-program", type=Path, required=True, help="fit.py, which trains the model"
    )
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the pinned packages"
    )
    parser.add_argument(
        "--shipped",
        required=True,
        help="the checksums of the IDX files of each data set, as JSON",
    )
    parser.add_argument("--azureml", required=True, help="the section azureml, as JSON")
    run_with_sdk(parser, main)
