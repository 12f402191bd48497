"""Fixtures that tests of several subjects use."""

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

import mirror
from checkout import Checkout

# A shell makes background processes ignore Ctrl-C, and nohup makes them ignore SIGHUP. Their child
# processes would ignore them too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Run the same examples each time, without a deadline on a busy machine.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A fresh copy of the workflow."""
    return Checkout.fresh(tmp_path / "checkout")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[mirror.Mirror]:
    """A running mirror of a data set."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with mirror.serving() as running:
        yield running


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with all results of the digits. Tests must not change it."""
    checkout = Checkout.fresh(tmp_path_factory.mktemp("the digits' run"))
    checkout.finish(dataset="digits")
    return checkout


@pytest.fixture
def finished(digits_run: Checkout, tmp_path: Path) -> Checkout:
    """A copy of that checkout, which a test may change."""
    return digits_run.copied(tmp_path / "finished")
