"""Fit the user's own estimator, so that the model depends on nothing but its settings and data."""

import contextlib
import io
import logging
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path

import joblib
import numpy as np
from joblib._parallel_backends import FallbackToBackend, SequentialBackend, ThreadingBackend
from threadpoolctl import threadpool_limits

from image_workflow.errors import UserError
from image_workflow.imports import fast_imports
from image_workflow.lineage.results import point_text, short_name
from image_workflow.models.estimator import classes_of, features
from image_workflow.models.memory import available_memory, limited_memory
from image_workflow.models.own_estimator import build, described
from image_workflow.models.settings import TrainingSettings

with fast_imports(hide="pandas"):
    from sklearn.base import BaseEstimator
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

SAMPLE = 100  # images to fit twice on, to find out whether the estimator is deterministic


def fit_own(
    images: np.ndarray, labels: np.ndarray, point: dict, settings: TrainingSettings, threads: int
) -> BaseEstimator:
    """Fit the estimator of one point of the grid.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, rows, columns)
        May be a memory map. The estimator gets their pixels scaled to 0-1, as float64.
    labels : ndarray of uint8, shape (n,)
    point : dict
        The value of each parameter.
    settings : TrainingSettings
    threads : int
        The model does not depend on it.

    Returns
    -------
    BaseEstimator
        The fitted estimator.

    Raises
    ------
    UserError
        If there is only one class, or the estimator fails, or needs more memory than there is.
    """
    classes_of(labels)
    estimator = build(settings, point, images.shape[1:])
    name = short_name(settings.estimator)
    data = f"{len(images):,} images of {images[0].size:,} pixels"
    data += f" with {point_text(point)}" if point else ""
    log.info("%s: fit %s", name, data)
    free = available_memory()
    try:
        with shown_output(name), verbose(estimator, point):
            fit(estimator, images, labels, threads)
    except MemoryError as error:
        found = f": {free / 2**30:.1f} GiB are available" if free is not None else ""
        raise UserError(
            f"{name} needs more memory than there is for {data}{found} ({described(error)}). "
            "Choose an estimator or parameters that need less, or use fewer images or another "
            "machine."
        ) from error
    except (Exception, SystemExit) as error:
        logging.exception("the estimator failed")
        raise UserError(
            f"{name} could not be fitted to {data}: {described(error, settings.file)}."
        ) from error
    return estimator


def fit(estimator: BaseEstimator, images: np.ndarray, labels: np.ndarray, threads: int) -> None:
    """Fit an estimator within the memory that there is. Ctrl-C ends the process meanwhile."""
    # The user's code may change the working directory.
    here = contextlib.chdir(Path.cwd())
    with here, limited_memory(), interruptible(), same_for_any_threads(estimator, threads):
        estimator.fit(features(images), np.array(labels))
    forget_threads(estimator)


def is_deterministic(
    images: np.ndarray, labels: np.ndarray, point: dict, settings: TrainingSettings
) -> bool | None:
    """Return whether two fits on a few images give the same model; None if they cannot be fitted.

    The parameters are those of :func:`fit_own`.
    """
    some = np.linspace(0, len(images) - 1, min(SAMPLE, len(images))).astype(int)
    models = []
    try:
        with quiet():
            for threads in (1, 2):
                estimator = build(settings, point, images.shape[1:])
                fit(estimator, images[some], labels[some], threads)
                models.append(pickle.dumps(estimator))
    except (Exception, SystemExit) as error:
        log.info("not known whether the estimator is deterministic: %s", described(error))
        return None
    return models[0] == models[1]


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what the estimator prints, warns of and logs in the block."""
    logging.disable()
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)


# ---- The same model for any number of threads ------------------------------------------------


@contextmanager
def same_for_any_threads(estimator: BaseEstimator, threads: int) -> Iterator[None]:
    """Use threads in the block where they do not change the model.

    - A product of matrices has other last bits with another number of BLAS threads: one thread.
    - joblib's tasks are the same for any number of workers. They run as threads, because an object
      that comes from another process is pickled to other bytes. Each has one OpenMP thread.
    - OpenMP's sums depend on the number of threads in KMeans, but not in
      HistGradientBoostingClassifier, which takes the most time.
    """
    openmp = threads if isinstance(last_step(estimator), HistGradientBoostingClassifier) else 1
    with (
        threadpool_limits(1, "blas"),
        threadpool_limits(openmp, "openmp"),
        joblib.parallel_config(ThreadsWithoutOpenMP(), n_jobs=threads),
    ):
        yield


class ThreadsWithoutOpenMP(ThreadingBackend):
    """joblib's backend of threads, each of which has one OpenMP thread."""

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return 1. Some estimators cut their data into so many parts, and sum them up."""
        return 1

    def configure(self, n_jobs: int = 1, parallel=None, **options) -> int:
        """Use ``n_jobs`` threads for tasks that do not depend on their number."""
        n_jobs = super().effective_n_jobs(n_jobs)
        if n_jobs == 1:
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        self.parallel, self._n_jobs = parallel, n_jobs
        return n_jobs

    def _get_pool(self) -> ThreadPool:
        # A limit of OpenMP's threads holds for the thread that sets it.
        if self._pool is None:
            self._pool = ThreadPool(self._n_jobs, threadpool_limits, (1, "openmp"))
        return self._pool


def last_step(estimator: BaseEstimator) -> BaseEstimator:
    """Return the last step of a Pipeline, or another estimator itself."""
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def forget_threads(estimator: BaseEstimator) -> None:
    """Remove the number of threads that HistGradientBoostingClassifier keeps in the model."""
    last = last_step(estimator)
    if isinstance(last, HistGradientBoostingClassifier):
        last._bin_mapper.n_threads = None


# ---- Progress and interruption ---------------------------------------------------------------


@contextmanager
def verbose(estimator: BaseEstimator, point: dict) -> Iterator[None]:
    """Let an estimator and its steps report progress in the block, if they can.

    A user who sets ``verbose`` has the last word. LogisticRegression and the classes of sklearn.svm
    print from C, past the log.
    """
    if any(name.split("__")[-1] == "verbose" for name in point):
        yield
        return
    steps = [estimator]
    if isinstance(estimator, Pipeline):
        steps += [step for _, step in estimator.steps if isinstance(step, BaseEstimator)]
    changed = [
        (step, step.verbose)
        for step in steps
        if step.get_params(deep=False).get("verbose") in (0, False)
        and not type(step).__module__.startswith(("sklearn.svm", "sklearn.linear_model._logistic"))
    ]
    for step, before in changed:
        step.set_params(verbose=type(before)(1))
    try:
        yield
    finally:
        for step, before in changed:
            step.set_params(verbose=before)


class LineLog(io.TextIOBase):
    """A text file that logs each line that is written to it."""

    def __init__(self, name: str):
        self.name, self.rest = name, ""

    def write(self, text: str) -> int:
        """Log the complete lines, and keep the rest until its end comes."""
        *lines, self.rest = (self.rest + text).replace("\r", "\n").split("\n")
        for line in filter(str.strip, lines):
            log.info("%s: %s", self.name, line.strip())
        return len(text)


@contextmanager
def shown_output(name: str) -> Iterator[None]:
    """Log what Python code prints in the block, so that it is in the rule's log as well."""
    lines = LineLog(name)
    with contextlib.redirect_stdout(lines), contextlib.redirect_stderr(lines):
        yield
    lines.write("\n")


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once in the block.

    Python would wait for the end of a long call of compiled code. And scikit-learn's
    MLPClassifier takes an interruption as a wish to keep the half-trained model.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
