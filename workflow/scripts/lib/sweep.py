"""Choosing the regularization rate, on images held out from the training set.

No candidate depends on another: near rate 1 all are fitted from the same rough fit, elsewhere each
from a start of its own. So another rate on the list leaves every score as it is, and a score that
was kept is as good as a new one.
"""

import json
from pathlib import Path

import numpy as np

from lib.command import UserError, log
from lib.files import write_json
from lib.model import predict
from lib.solvers import SOLVERS, fit_newton

NEAR = 100  # within this factor of rate 1 the rough fit there is the better start
ROUGH = 1e-3  # relative gradient of that fit
FINE = 3e-9  # relative gradient of a candidate, so that every processor scores it alike


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Draw images at random, from each class its share.

    Parameters
    ----------
    labels : ndarray, shape (n,)
        The training set's.
    fraction : float
        The share of each class to hold out, above 0 and below 1.
    seed : int
        Decides which.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for the images that are held out; at least one of each class is not.

    Raises
    ------
    UserError
        If that is no image at all.
    """
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        mask[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    if not mask.any():
        raise UserError(
            f"expected enough images to hold out {fraction:g} of each class, to choose the "
            f"regularization rate on, found {len(labels)} images of {len(np.unique(labels))} "
            "classes. Give one regularization rate instead of a list, or add images."
        )
    return mask


def text(rate: float) -> str:
    """Return a rate as file names have it: the same for 2 and 2.0."""
    return str(float(rate)).removesuffix(".0")


class Candidates:
    """The scores of rates that were tried, each in a file of its own.

    Parameters
    ----------
    folder : pathlib.Path or None
        Where they are; None keeps none.
    fingerprint : str
        Stands for all that decides a score beside the rate. A file with another one is ignored.
    """

    def __init__(self, folder: Path | None, fingerprint: str = ""):
        self.folder, self.fingerprint = folder, fingerprint

    def find(self, rate: float) -> dict | None:
        """Return the score of a rate, None if it was not tried."""
        try:
            kept = json.loads((self.folder / f"{text(rate)}.json").read_text(encoding="utf-8"))
            return kept["candidate"] if kept["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, rate: float, candidate: dict) -> None:
        """Write the score of a rate."""
        if self.folder:
            content = {"candidate": candidate, "fingerprint": self.fingerprint}
            write_json(self.folder / f"{text(rate)}.json", content)


def sweep(
    images: np.ndarray,
    labels: np.ndarray,
    rates: list[float],
    fraction: float,
    solver: str,
    seed: int,
    threads: int,
    candidates: Candidates,
) -> dict:
    """Score each rate and choose the best; of equal ones, the stronger regularization.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, cols)
        The training set's. May be a memory map.
    labels : ndarray of uint8, shape (n,)
    rates : list of float
    fraction : float
        The share of each class to hold out; see :func:`held_out`.
    solver : str
        One of :data:`lib.solvers.SOLVERS`.
    seed, threads : int
        See :func:`lib.solvers.fit_liblinear`.
    candidates : Candidates
        What was tried before is taken from there, what was not is kept there.

    Returns
    -------
    dict
        What sweep.json has: the chosen ``regularization_rate``, the number of images that were
        trained on and held out, and the ``candidates`` with their accuracy on both.
    """
    mask = held_out(labels, fraction, seed)
    scored = {rate: candidates.find(rate) for rate in sorted(rates)}
    missing = [rate for rate, candidate in scored.items() if candidate is None]
    log.info(
        "%d rates to compare on %d of %d images, %d of them as before",
        *(len(scored), mask.sum(), len(mask), len(scored) - len(missing)),
    )
    if missing:
        training, validation = ((images[part], labels[part]) for part in (~mask, mask))
        near = [rate for rate in missing if 1 / NEAR <= rate <= NEAR and solver == "newton"]
        if near:
            log.info("a rough fit at rate 1, where those from 1/%d to %d start", NEAR, NEAR)
            rough = fit_newton(*training, 1.0, seed, threads, tol=ROUGH)
        for rate in missing:
            options = {"tol": FINE} if solver == "newton" else {}
            options |= {"start": rough} if rate in near else {}
            model = SOLVERS[solver](*training, rate, seed, threads, **options)
            scored[rate] = {"regularization_rate": rate} | {
                f"{part}_accuracy": float(np.mean(predict(model, x) == y))
                for part, (x, y) in {"train": training, "validation": validation}.items()
            }
            candidates.keep(rate, scored[rate])
    for candidate in scored.values():
        log.info(
            "rate %g: accuracy %.4f on the training part, %.4f on what was held out",
            *candidate.values(),
        )
    best = max(
        scored.values(), key=lambda one: (one["validation_accuracy"], one["regularization_rate"])
    )
    return {
        "regularization_rate": best["regularization_rate"],
        "n_train": int((~mask).sum()),
        "n_validation": int(mask.sum()),
        "candidates": list(scored.values()),
    }
