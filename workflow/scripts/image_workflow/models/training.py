"""Train the model on a data folder: the same function on this machine and in the cloud."""

import logging
from importlib.metadata import version
from pathlib import Path

import joblib
import numpy as np

from image_workflow.data import idx
from image_workflow.data.arrays import find_array
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import code_digests
from image_workflow.lineage.results import Sweep, point_text
from image_workflow.models.settings import TrainingSettings
from image_workflow.models.sweep import Candidates, fit, sweep

log = logging.getLogger(__name__)


def train(
    data_folder: Path,
    settings: TrainingSettings,
    threads: int,
    output: Path,
    candidates_folder: Path | None,
    program: Path,
    versions: dict[str, str] | None = None,
) -> bool | None:
    """Choose the parameters, fit the model, and write it with sweep.json beside it.

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
        Keeps the score of each candidate for later calls.
    program : pathlib.Path
        fit.py. Kept scores are valid only for the same code.
    versions : dict of str, optional
        The versions of more packages, for which kept scores are valid.

    Returns
    -------
    bool or None
        Whether the training is deterministic; None if it is not known.
    """
    images, labels = training_set(data_folder, settings)
    point = settings.points()[0]
    # Always write sweep.json: Snakemake tracks parameters only for outputs it has recorded.
    comparison = Sweep(point, n_train=len(images), n_validation=0, candidates=[])
    if settings.is_sweep:
        key = candidates_folder and fingerprint(images, labels, settings, program, versions)
        kept = Candidates(candidates_folder, key, settings.estimator)
        output.parent.mkdir(parents=True, exist_ok=True)
        comparison = sweep(images, labels, settings, threads, kept, output.parent)
        point = comparison.parameters
    name = settings.estimator if settings.is_own else settings.solver
    log.info("%s: %d images, %s", name, len(images), point_text(point) or "default parameters")
    model = fit(images, labels, point, settings, threads)
    with replacing(output) as (part,):
        dump(model, part, settings)
    comparison.write(output.with_name("sweep.json"))
    if not settings.is_own:
        return True
    from image_workflow.models.own_fit import is_deterministic

    return is_deterministic(images, labels, point, settings)


def score(
    data_folder: Path,
    settings: TrainingSettings,
    threads: int,
    candidates_folder: Path,
    program: Path,
    versions: dict[str, str] | None = None,
) -> None:
    """Keep the scores of candidates, so that :func:`train` finds them.

    The parameters are those of :func:`train`.
    """
    images, labels = training_set(data_folder, settings)
    key = fingerprint(images, labels, settings, program, versions)
    candidates_folder.mkdir(parents=True, exist_ok=True)
    kept = Candidates(candidates_folder, key, settings.estimator)
    sweep(images, labels, settings, threads, kept, candidates_folder)


def training_set(data_folder: Path, settings: TrainingSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels, after a check of the user's own estimator."""
    if settings.is_own:
        from image_workflow.models.own_estimator import check

        check(settings)
    return find_array(data_folder, "train-images"), find_array(data_folder, "train-labels")


def dump(model, path: Path, settings: TrainingSettings) -> None:
    """Write a model, or raise UserError if it cannot be pickled."""
    try:
        joblib.dump(model, path)
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"the fitted {settings.estimator} cannot be pickled: {type(error).__name__}: {error}. "
            "Its attributes must not contain open files, locks, lambdas or local functions."
        ) from error


def fingerprint(
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings,
    program: Path,
    versions: dict[str, str] | None = None,
) -> str:
    """Return a digest of everything that decides a candidate's score, apart from its point."""
    model = settings.estimator if settings.is_own else settings.solver
    return sha256_of_json(
        {
            "data": idx.payload_sha256(images, labels),
            "code": code_digests(program),
            "estimator": settings.estimator_digests(),
            "settings": [model, settings.seed, settings.validation_fraction],
            "versions": (versions or {})
            | {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        }
    )
