"""Train the tutorial's model: logistic regression, one class versus the rest, on pixels of 0-1.

Of several regularization rates, each is tried on a part of the training set, and the one that is
best on the rest is trained on the whole. sweep.json, beside the model, has what was compared.
"""

import argparse
import os
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np

from lib import code
from lib.command import UserError, log, run
from lib.files import replacing, write_json
from lib.fingerprint import fingerprint
from lib.idx import payload_sha256
from lib.reporting import report
from lib.solvers import SOLVERS
from lib.sweep import Candidates, sweep


def load_training_set(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Load train-images.npy, as a memory map, and train-labels.npy from anywhere below ``folder``.

    Raises
    ------
    UserError
        If either is not there.
    """
    arrays = []
    for name in ("train-images.npy", "train-labels.npy"):
        path = next(folder.rglob(name), None)
        if path is None:
            raise UserError(f"expected {name} in the data folder {folder}, found none.")
        arrays.append(np.load(path, mmap_mode="r"))
    return tuple(arrays)


def candidates_of(
    options: argparse.Namespace, images: np.ndarray, labels: np.ndarray
) -> Candidates:
    """Return the scores that are kept, under what decides a score beside its rate."""
    if options.candidates is None:
        return Candidates(None)
    script = Path(__file__)
    arguments = [options.solver, str(options.seed), str(options.validation_fraction)]
    versions = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    data = payload_sha256(images, labels)
    mark = fingerprint(data, code.files(script), script.parent, arguments, versions)
    return Candidates(options.candidates, mark)


def main(options: argparse.Namespace) -> None:
    rates = sorted(set(options.regularization))
    for rate in rates:
        if not 0 < rate < np.inf:
            raise UserError(f"--regularization must be above 0, found {rate}.")
    if not 0 < options.validation_fraction < 1:
        raise UserError(
            f"--validation-fraction must be between 0 and 1, found {options.validation_fraction}."
        )
    images, labels = load_training_set(options.data_folder)
    # Written for a single rate as well: Snakemake compares the parameters of known files only.
    found = {"regularization_rate": rates[0], "n_train": len(images), "n_validation": 0}
    found["candidates"] = []
    if len(rates) > 1:
        found = sweep(
            images,
            labels,
            rates,
            options.validation_fraction,
            options.solver,
            options.seed,
            options.threads,
            candidates_of(options, images, labels),
        )
    rate = found["regularization_rate"]
    log.info("%s: %d images, regularization rate %g", options.solver, len(images), rate)
    model = SOLVERS[options.solver](images, labels, rate, options.seed, options.threads)
    with replacing(options.output) as (part,):
        joblib.dump(model, part)
    write_json(options.output.with_name("sweep.json"), found)
    report(options.output, options.data_folder)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the program's options."""
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument(
        "--regularization",
        type=float,
        nargs="+",
        required=True,
        metavar="RATE",
        help="the regularization rate, 1 / C, or several to try",
    )
    parser.add_argument(
        "--validation-fraction", type=float, default=1 / 6, help="held out to compare several rates"
    )
    parser.add_argument(
        "--candidates", type=Path, help="folder that keeps the score of each rate for the next time"
    )
    parser.add_argument(
        "--solver", choices=SOLVERS, default="newton", help="both find the same optimum"
    )
    parser.add_argument("--seed", type=int, default=42, help="the solver's random state")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="the model does not depend on it"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/sklearn_mnist_model.pkl"), help="the model"
    )
    return parser


if __name__ == "__main__":
    run(parser(), main)
