"""Train the model on a data folder: the same function on this machine and in the cloud."""

import logging
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np

from image_workflow.data import idx
from image_workflow.data.arrays import find_array
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import code_digests
from image_workflow.lineage.results import Sweep
from image_workflow.models.settings import TrainingSettings
from image_workflow.models.solvers import SOLVERS
from image_workflow.models.sweep import Candidates, sweep

log = logging.getLogger(__name__)


def train(
    data_folder: Path,
    settings: TrainingSettings,
    threads: int,
    output: Path,
    candidates_folder: Path | None,
    program: Path,
) -> None:
    """Choose the regularization rate, fit the model, and write it with sweep.json beside it.

    Parameters
    ----------
    data_folder : pathlib.Path
        Has train-images.npy and train-labels.npy, anywhere below it.
    settings : TrainingSettings
    threads : int
        The model does not depend on it.
    output : pathlib.Path
        The model's file.
    candidates_folder : pathlib.Path or None
        Keeps the score of each rate for later calls.
    program : pathlib.Path
        fit.py. Kept scores are valid only for the same code.
    """
    images = find_array(data_folder, "train-images")
    labels = find_array(data_folder, "train-labels")
    rate = settings.rates[0]
    # Always write sweep.json: Snakemake tracks parameters only for outputs it has recorded.
    comparison = Sweep(rate, n_train=len(images), n_validation=0, candidates=[])
    if len(settings.rates) > 1:
        key = candidates_folder and fingerprint(images, labels, settings, program)
        kept = Candidates(candidates_folder, key)
        comparison = sweep(images, labels, settings, threads, kept)
        rate = comparison.regularization_rate
    log.info("%s: %d images, regularization rate %g", settings.solver, len(images), rate)
    model = SOLVERS[settings.solver](images, labels, rate, settings.seed, threads)
    with replacing(output) as (part,):
        joblib.dump(model, part)
    comparison.write(output.with_name("sweep.json"))


def fingerprint(
    images: np.ndarray, labels: np.ndarray, settings: TrainingSettings, program: Path
) -> str:
    """Return a digest of everything that decides a candidate's score, apart from its rate."""
    return sha256_of_json(
        {
            "data": idx.payload_sha256(images, labels),
            "code": code_digests(program),
            "settings": [settings.solver, settings.seed, settings.validation_fraction],
            "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        }
    )
