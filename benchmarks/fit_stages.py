"""Say where the seconds of our fit go, stage by stage, and what the floor of its products is.

The floor is what the multiplications of all passes over the rows would take if each ran as fast as
one large product of matrices does on this machine. Prints JSON; benchmarks/fit.py shows it.
"""

import argparse
import functools
import json
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

sys.path.append(str(Path(__file__).parents[1] / "workflow/scripts"))

from lib.newton import NewtonOneVsRest
from lib.newton.hessian import SampledHessians
from lib.newton.objective import Objective
from lib.newton.optimizer import Optimizer

STAGES = {
    "first_guess": (Optimizer, "the start: a rough solution on a tenth of the rows"),
    "move": (Objective, "steps: objective and gradient in single precision"),
    "set_margins": (Objective, "steps: margins that a step changes"),
    "renew": (SampledHessians, "Hessians of drawn rows, and their factors"),
    "evaluate_in_double": (Objective, "corrections: objective and gradient in double precision"),
    "hessian_product": (Objective, "corrections: conjugate gradients on the whole Hessian"),
}
# The products of each row and class that a stage takes.
PRODUCTS = {"move": 1, "set_margins": 1, "evaluate_in_double": 2, "hessian_product": 2}


class Clock:
    """Counts and times the outermost calls of the stages, and the operations of the passes."""

    def __init__(self):
        self.calls = dict.fromkeys(STAGES, 0)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.operations = 0
        self.inside = False

    def timed(self, name):
        """Return the stage's method with this clock around it."""
        method = getattr(STAGES[name][0], name)

        @functools.wraps(method)
        def stage(owner, *arguments):
            if self.inside:
                return method(owner, *arguments)
            self.inside, start = True, time.perf_counter()
            result = method(owner, *arguments)
            self.inside = False
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1
            if name in PRODUCTS:
                # A multiplication and an addition for each value; the classes come second, but
                # for the margins' array before them.
                classes = arguments[2 if name == "set_margins" else 1]
                self.operations += 2 * PRODUCTS[name] * owner.n * owner.d * len(classes)
            return result

        return stage


def product_rate(threads: int) -> float:
    """Return the operations a second of a large product of single-precision matrices."""
    A = np.random.default_rng(0).random((3000, 3000), dtype=np.float32)
    best = np.inf
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(5):
            start = time.perf_counter()
            A @ A
            best = min(best, time.perf_counter() - start)
    return 2 * len(A) ** 3 / best


def main(options: argparse.Namespace) -> None:
    images = np.load(options.data_folder / "train-images.npy", mmap_mode="r")
    labels = np.load(options.data_folder / "train-labels.npy")
    clock = Clock()
    for name in STAGES:
        setattr(STAGES[name][0], name, clock.timed(name))
    solver = NewtonOneVsRest(
        C=1 / options.regularization,
        scale=1 / 255,
        reproducible=True,
        threads=options.threads,
        random_state=42,
    )
    start = time.perf_counter()
    solver.fit(images.reshape(len(images), -1), labels)
    total = time.perf_counter() - start
    stages = {
        text: {"calls": clock.calls[name], "seconds": clock.seconds[name]}
        for name, (_, text) in STAGES.items()
    }
    rest = total - sum(clock.seconds.values())
    stages["the rest: directions, and how far to go"] = {"calls": 1, "seconds": rest}
    rate = product_rate(options.threads)
    floor = {"gflop": clock.operations / 1e9, "gflop_per_second": rate / 1e9}
    floor["seconds"] = clock.operations / rate
    print(json.dumps({"seconds": total, "stages": stages, "floor": floor}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fit_stages.py", description=__doc__)
    parser.add_argument("--data-folder", type=Path, required=True)
    parser.add_argument("--regularization", type=float, required=True)
    parser.add_argument("--threads", type=int, required=True)
    main(parser.parse_args())
