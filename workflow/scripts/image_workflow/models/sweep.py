"""Choose the regularization rate on images that are held out from the training set.

No candidate depends on another: near rate 1 all candidates start from the same rough fit, elsewhere
each has a start of its own. So a change of the list leaves the scores of the other rates as they
are, and scores can be kept from one call to the next.
"""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np

from image_workflow.errors import UserError
from image_workflow.files import write_json
from image_workflow.lineage.results import Candidate, Sweep
from image_workflow.models.estimator import predict
from image_workflow.models.settings import TrainingSettings
from image_workflow.models.solvers import SOLVERS, fit_newton

log = logging.getLogger(__name__)

NEAR = 100  # within this factor of rate 1, a candidate starts from the rough fit at rate 1
ROUGH_TOL = 1e-3  # relative gradient of the rough fit
CANDIDATE_TOL = 3e-9  # relative gradient of a candidate; small, so every processor scores it alike


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw a random share of the images of each class.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        The labels of the training set.
    fraction : float
        The share of each class to hold out, above 0 and below 1.
    seed : int
        Decides which images are drawn.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the images that are held out. At least one image of each class is not.

    Raises
    ------
    UserError
        If the share is less than one image in every class.
    """
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        mask[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    if not mask.any():
        raise UserError(
            f"expected enough images to hold out {fraction:g} of each class, to compare "
            f"regularization rates, found {len(labels)} images of {len(np.unique(labels))} "
            "classes. Give one regularization rate instead of a list, or add images."
        )
    return mask


def rate_label(rate: float) -> str:
    """Return a rate as it is written in file names, the same for 2 and 2.0."""
    return str(float(rate)).removesuffix(".0")


class Candidates:
    """The kept scores of rates, in one file for each rate.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where the files are. None keeps no scores.
    fingerprint : str or None
        The digest of everything that decides a score, apart from the rate. Files with another
        fingerprint are ignored.
    """

    def __init__(self, folder: Path | None, fingerprint: str | None = None):
        self.folder, self.fingerprint = folder, fingerprint

    def find(self, rate: float) -> Candidate | None:
        """Return the kept score of a rate, or None."""
        if self.folder is None:
            return None
        try:
            path = self.folder / f"{rate_label(rate)}.json"
            kept = json.loads(path.read_text(encoding="utf-8"))
            same = kept["fingerprint"] == self.fingerprint
            return Candidate(**kept["candidate"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, candidate: Candidate) -> None:
        """Write the score of a rate."""
        if self.folder:
            path = self.folder / f"{rate_label(candidate.regularization_rate)}.json"
            write_json(path, {"candidate": asdict(candidate), "fingerprint": self.fingerprint})


def sweep(
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings,
    threads: int,
    candidates: Candidates,
) -> Sweep:
    """Score each rate on the held-out images and choose the best.

    Among rates with equal validation accuracy, the stronger regularization is chosen.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
        The training set. May be a memory map.
    labels : ndarray of uint8, shape (n,)
    settings : TrainingSettings
    threads : int
        The scores do not depend on it.
    candidates : Candidates
        Supplies the scores of earlier calls, and keeps the new ones.
    """
    mask = held_out(labels, settings.validation_fraction, settings.seed)
    scores = {rate: candidates.find(rate) for rate in settings.rates}
    missing = [rate for rate, score in scores.items() if score is None]
    log.info(
        "%d rates to compare on %d of %d images, %d of them as before",
        *(len(scores), mask.sum(), len(mask), len(scores) - len(missing)),
    )
    if missing:
        training, validation = ((images[part], labels[part]) for part in (~mask, mask))
        fit = candidate_fit(training, missing, settings, threads)
        for rate in missing:
            model = fit(rate)
            scores[rate] = Candidate(rate, *(accuracy(model, *s) for s in (training, validation)))
            candidates.keep(scores[rate])
    for score in scores.values():
        log.info(
            "rate %g: accuracy %.4f on the training part, %.4f on the held-out part",
            *(score.regularization_rate, score.train_accuracy, score.validation_accuracy),
        )
    best = max(
        scores.values(), key=lambda score: (score.validation_accuracy, score.regularization_rate)
    )
    return Sweep(
        regularization_rate=best.regularization_rate,
        n_train=int((~mask).sum()),
        n_validation=int(mask.sum()),
        candidates=list(scores.values()),
    )


def candidate_fit(
    training: tuple[np.ndarray, np.ndarray],
    rates: list[float],
    settings: TrainingSettings,
    threads: int,
):
    """Return a function that fits a candidate at a rate.

    With newton, candidates near rate 1 start from a rough fit at rate 1. That start changes only
    the time: the candidates are fitted to ``CANDIDATE_TOL``.

    Parameters
    ----------
    training : tuple of ndarray
        Images and labels to fit on.
    rates : list of float
        The rates that will be fitted. The rough fit is made only if one of them is near rate 1.
    """
    arguments = settings.seed, threads
    if settings.solver != "newton":
        return lambda rate: SOLVERS[settings.solver](*training, rate, *arguments)
    near = [rate for rate in rates if 1 / NEAR <= rate <= NEAR]
    rough = None
    if near:
        log.info("rough fit at rate 1, the start for rates from 1/%d to %d", NEAR, NEAR)
        rough = fit_newton(*training, 1.0, *arguments, tol=ROUGH_TOL)

    def fit(rate):
        start = rough if rate in near else None
        return fit_newton(*training, rate, *arguments, start=start, tol=CANDIDATE_TOL)

    return fit


def accuracy(model, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images that the model labels correctly."""
    return float(np.mean(predict(model, images) == labels))
