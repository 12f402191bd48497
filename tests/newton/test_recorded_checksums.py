"""The solver's coefficients have the recorded bits, on every processor."""

import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from image_workflow.newton import NewtonOneVsRest

# Rounded coefficients do not depend on the processor. A change here is a change of the solver.
DIGITS = {
    0.01: "089f167c6aeeac0d3900b89f21f29f5861f2d08b087aec51f760f157c18f89a0",
    0.5: "eb7b59d3ca01b00d01b1f312f1d66d62857fab5c49dd6be767402a396b841cae",
    10: "fa4c2dc790d80b5bd20e47380f6977b949b594fd0bc5c670a0fd8e9324eb2d06",
}
RANDOM = "185e9c1c97f8f3dab33205117c6e13e0afe80fbeeab85b2d4a19b126522fe425"


def checksum(X: np.ndarray, y: np.ndarray, rate: float) -> str:
    """Return the sha256 of the coefficients and intercepts at a regularization rate."""
    model = NewtonOneVsRest(C=1 / rate, scale=1 / 255, reproducible=True).fit(X, y)
    return hashlib.sha256(model.coef_.tobytes() + model.intercept_.tobytes()).hexdigest()


@pytest.mark.parametrize("rate", DIGITS)
def test_the_coefficients_of_the_digits(rate: float):
    digits = load_digits()
    X = np.rint(digits.data * (255 / 16)).astype(np.uint8)
    assert checksum(X, digits.target, rate) == DIGITS[rate]


def test_the_coefficients_of_random_rows():
    """These are enough rows for a first solution on a tenth of them, and for sampled Hessians."""
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (30_000, 60)).astype(np.uint8)
    y = (X[:, :3].sum(axis=1) + random.integers(0, 300, 30_000)) // 200
    assert checksum(X, y, 0.5) == RANDOM
