"""Fixtures of the tests that use the Slurm cluster of `make test-slurm`."""

from pathlib import Path

import pytest

from checkout import Checkout
from slurm_client import ARRAYS


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with the arrays of the digits. Tests must not change it."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("prepared") / "checkout")
    checkout.finish("--cores", "2", *ARRAYS, "results/dataset.json", dataset="digits")
    return checkout


@pytest.fixture
def digits(prepared: Checkout, tmp_path: Path) -> Checkout:
    """A copy of that checkout, which a test may change."""
    return prepared.copied(tmp_path / "digits")
