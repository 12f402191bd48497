"""Choose the estimator's parameters on images that are held out from the training set.

No candidate depends on another: near rate 1 all logistic regressions start from the same rough fit,
elsewhere each has a start of its own. So a change of the grid leaves the scores of the other
candidates as they are, and scores can be kept from one call to the next.
"""

import json
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from image_workflow.errors import UserError
from image_workflow.files import write_json
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.results import RATE, Candidate, Sweep, point_text
from image_workflow.models.estimator import predict
from image_workflow.models.settings import TrainingSettings, file_name
from image_workflow.models.solvers import SOLVERS, fit_newton

log = logging.getLogger(__name__)

NEAR = 100  # within this factor of rate 1, a candidate starts from the rough fit at rate 1
ROUGH_TOL = 1e-3  # relative gradient of the rough fit
CANDIDATE_TOL = 3e-9  # relative gradient of a candidate; small, so every processor scores it alike
BLOCK = 4096  # images to copy at once


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
            f"expected enough images to hold out {fraction:g} of each class, to compare candidates "
            f"on them, found {len(labels)} images of {len(np.unique(labels))} classes. Give one "
            "value of each parameter instead of a list, such as one regularization rate, or add "
            "images."
        )
    return mask


def mapped_part(images: np.ndarray, mask: np.ndarray, folder: Path | None) -> np.ndarray:
    """Return the images where the mask is True, as a memory map.

    In memory they would take as much as the data set. They are in a file without a name, which
    takes disk space until the process ends, however it ends.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map.
    mask : ndarray of bool, shape (n,)
        True for at least one image.
    folder : pathlib.Path or None
        A folder on the disk to write to. None is the system's folder for temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        for at in range(0, len(images), BLOCK):
            block = slice(at, at + BLOCK)
            file.write(np.ascontiguousarray(images[block][mask[block]]).data)
        file.flush()
        return np.memmap(file, np.uint8, "r", shape=(int(mask.sum()), *images.shape[1:]))


class Candidates:
    """The kept scores of candidates, in one file for each point of the grid.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where the files are. None keeps no scores.
    fingerprint : str or None
        The digest of everything that decides a score, apart from the point. Files of another one
        are ignored.
    estimator : str
        The estimator's name, so that several estimators can have the same parameters.
    """

    def __init__(self, folder: Path | None, fingerprint: str | None = None, estimator: str = ""):
        self.folder, self.fingerprint, self.estimator = folder, fingerprint, estimator

    def find(self, point: dict) -> Candidate | None:
        """Return the kept score of a point, or None."""
        if self.folder is None:
            return None
        try:
            path = self.folder / file_name(point, self.estimator)
            kept = json.loads(path.read_text(encoding="utf-8"))
            same = kept["sha256"] == self.checksum(kept["candidate"])
            scores = (kept["candidate"][f"{part}_accuracy"] for part in ("train", "validation"))
            return Candidate(point, *scores) if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, candidate: Candidate) -> None:
        """Write the score of a point."""
        if self.folder:
            content = {"candidate": candidate.to_json(), "fingerprint": self.fingerprint}
            content["sha256"] = self.checksum(content["candidate"])
            write_json(self.folder / file_name(candidate.parameters, self.estimator), content)

    def checksum(self, candidate: dict) -> str:
        """Return the checksum of a score and of everything that decides it.

        A score that was altered, or that belongs to other data or settings, has another one.
        """
        return sha256_of_json([candidate, self.fingerprint])


def sweep(
    images: np.ndarray,
    labels: np.ndarray,
    settings: TrainingSettings,
    threads: int,
    kept: Candidates,
    folder: Path | None = None,
) -> Sweep:
    """Score each point of the grid on the held-out images and choose the best.

    Of points with equal validation accuracy, the first is chosen. Regularization rates count from
    the largest, so the stronger regularization is chosen.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
        The training set. May be a memory map.
    labels : ndarray of uint8, shape (n,)
    settings : TrainingSettings
    threads : int
        The scores do not depend on it.
    kept : Candidates
        Supplies the scores of earlier calls, and keeps the new ones.
    folder : pathlib.Path, optional
        Where to keep both parts of the training set meanwhile, see :func:`mapped_part`.
    """
    mask = held_out(labels, settings.validation_fraction, settings.seed)
    points = settings.points()
    candidates = [kept.find(point) for point in points]
    missing = [point for point, found in zip(points, candidates, strict=True) if found is None]
    log.info(
        "%d candidates to compare on %d of %d images, %d of them as before",
        *(len(points), mask.sum(), len(mask), len(points) - len(missing)),
    )
    if missing:
        training, validation = (
            (mapped_part(images, part, folder), labels[part]) for part in (~mask, mask)
        )
        fit = candidate_fit(training, missing, settings, threads)
    for number, point in enumerate(points):
        if candidates[number] is None:
            model = fit(point)
            accuracies = (accuracy(model, *part) for part in (training, validation))
            candidates[number] = Candidate(point, *accuracies)
            kept.keep(candidates[number])
        log.info(
            "candidate %d of %d, %s: accuracy %.4f on the training part, %.4f on the held-out part",
            *(
                number + 1,
                len(points),
                point_text({name: point[name] for name in settings.varied()} or point),
            ),
            *(candidates[number].train_accuracy, candidates[number].validation_accuracy),
        )
    best = max(
        candidates if settings.is_own else reversed(candidates),
        key=lambda candidate: candidate.validation_accuracy,
    )
    return Sweep(best.parameters, int((~mask).sum()), int(mask.sum()), candidates)


def candidate_fit(
    training: tuple[np.ndarray, np.ndarray],
    points: list[dict],
    settings: TrainingSettings,
    threads: int,
) -> Callable:
    """Return a function that fits a candidate at a point of the grid.

    With newton, candidates near rate 1 start from a rough fit at rate 1. That start changes only
    the time: the candidates are fitted to ``CANDIDATE_TOL``.

    Parameters
    ----------
    training : tuple of ndarray
        Images and labels to fit on.
    points : list of dict
        The points that will be fitted. The rough fit is made only if a rate of them is near 1.
    """
    if settings.is_own or settings.solver != "newton":
        return lambda point: fit(*training, point, settings, threads)
    arguments = settings.seed, threads
    near = [point for point in points if 1 / NEAR <= point[RATE] <= NEAR]
    rough = None
    if near:
        log.info("rough fit at rate 1, the start for rates from 1/%d to %d", NEAR, NEAR)
        rough = fit_newton(*training, 1.0, *arguments, tol=ROUGH_TOL)

    def fit_candidate(point):
        start = rough if point in near else None
        return fit_newton(*training, point[RATE], *arguments, start=start, tol=CANDIDATE_TOL)

    return fit_candidate


def fit(
    images: np.ndarray, labels: np.ndarray, point: dict, settings: TrainingSettings, threads: int
):
    """Return the fitted model at a point of the grid. It does not depend on ``threads``."""
    if settings.is_own:
        # It imports more of scikit-learn than the default estimator needs.
        from image_workflow.models.own_fit import fit_own

        return fit_own(images, labels, point, settings, threads)
    return SOLVERS[settings.solver](images, labels, point[RATE], settings.seed, threads)


def accuracy(model, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of images that the model labels correctly."""
    return float(np.mean(predict(model, images) == labels))
