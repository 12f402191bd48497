"""Fixtures of the tests that serve a model."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

import browser
import drawing
import mirror
import serving
from registration import registered


@pytest.fixture(scope="session")
def registered_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of the digits, and a registry with their model."""
    folder = tmp_path_factory.mktemp("digits")
    with contextlib.chdir(folder):
        registered(serving.write_digits(Path("results"), "sqlite:///registry/mlflow.db"))
    return folder


@pytest.fixture(scope="session")
def server(
    registered_digits: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[serving.Server]:
    """A server of that model, from the results alone."""
    if not serving.PYTHON.exists():
        pytest.skip(serving.REASON)
    folder = tmp_path_factory.mktemp("results alone")
    shutil.copytree(registered_digits / "results", folder / "results")
    with serving.serving(folder) as running:
        yield running
        # Whatever the tests sent, it wrote no line on the terminal.
        assert running.stop() == (0, "")


@pytest.fixture(scope="module")
def window() -> Iterator[WebDriver]:
    """A window of the browser."""
    if not (browser.CHROMIUM and browser.DRIVER):
        pytest.skip("chromium or chromedriver is not installed")
    with browser.opened("about:blank") as driver:
        yield driver


@pytest.fixture
def page(window: WebDriver, server: serving.Server) -> WebDriver:
    """The page of that server."""
    drawing.show(window, server.url)
    return window


@pytest.fixture
def answers(window: WebDriver, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[mirror.Answer]]:
    """The answers that the page gets instead, in their order, the last one again and again."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with drawing.serving() as other:
        other.answers["/score"] = []
        drawing.show(window, other.url)
        yield other.answers["/score"]
