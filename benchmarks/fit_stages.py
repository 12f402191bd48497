"""Measure the seconds of each stage of our fit, and estimate a lower bound for its products.

The lower bound is the time of all multiplications in the passes over the rows, if each ran as fast
as one large product of matrices runs on this machine. Prints JSON for benchmarks/fit.py.
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

from image_workflow.newton import NewtonOneVsRest
from image_workflow.newton.hessian import SampledHessians
from image_workflow.newton.objective import Objective
from image_workflow.newton.optimizer import Optimizer

# The methods to measure, each with its class and its description in the table.
STAGES = {
    "first_guess": (Optimizer, "start: a rough solution on a tenth of the rows"),
    "move": (Objective, "steps: objective and gradient in single precision"),
    "set_margins": (Objective, "steps: the change of the margins"),
    "renew": (SampledHessians, "Hessians of sampled rows, and their factors"),
    "evaluate_in_double": (Objective, "corrections: objective and gradient in double precision"),
    "hessian_product": (Objective, "corrections: conjugate gradients on the whole Hessian"),
}
# How many products with each row and class a stage computes.
PRODUCTS = {"move": 1, "set_margins": 1, "evaluate_in_double": 2, "hessian_product": 2}


class Clock:
    """Count and time the outermost calls of the stages, and count their operations."""

    def __init__(self):
        self.calls = dict.fromkeys(STAGES, 0)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.operations = 0
        self.inside = False

    def timed(self, name):
        """Return a stage's method that reports to this clock."""
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
                # Each value takes a multiplication and an addition. The classes are the second
                # argument; set_margins has them third.
                classes = arguments[2 if name == "set_margins" else 1]
                self.operations += 2 * PRODUCTS[name] * owner.n * owner.d * len(classes)
            return result

        return stage


def product_rate(threads: int) -> float:
    """Return the operations per second of a large product of single-precision matrices."""
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
        description: {"calls": clock.calls[name], "seconds": clock.seconds[name]}
        for name, (_, description) in STAGES.items()
    }
    rest = total - sum(clock.seconds.values())
    stages["rest: directions and line searches"] = {"calls": 1, "seconds": rest}
    rate = product_rate(options.threads)
    floor = {"gflop": clock.operations / 1e9, "gflop_per_second": rate / 1e9}
    floor["seconds"] = clock.operations / rate
    print(json.dumps({"seconds": total, "stages": stages, "floor": floor}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="fit_stages.py", description=__doc__)
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument("--regularization", type=float, required=True, help="the rate, 1 / C")
    parser.add_argument("--threads", type=int, required=True)
    main(parser.parse_args())
