"""What tests of several subjects share."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import mirror
from azureml_client import bare, cloud, emulator, parsed  # noqa: F401  fixtures
from checkout import Checkout

# What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in each run, however busy the machine is.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy of the workflow."""
    return Checkout.fresh(tmp_path / "checkout")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[mirror.Mirror]:
    """A running mirror."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with mirror.serving() as running:
        yield running


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout in which the digits were run up to the receipt; to be left as it is."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("the digits' run"))
    checkout.finish(dataset="digits")
    return checkout


@pytest.fixture
def finished(digits_run: Checkout, tmp_path: Path) -> Checkout:
    """A copy of that checkout, to be changed."""
    return digits_run.copied(tmp_path / "finished")
