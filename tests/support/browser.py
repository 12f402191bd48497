"""Look at a page in headless Chromium, without a network."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.remote.webdriver import WebDriver

#: Of Debian's packages chromium and chromium-driver, or None.
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

OPTIONS = [
    "--headless=new",
    # As root and in containers, Chromium does not start with its sandbox.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


# Moving elements would miss the clicks.
WITHOUT_TRANSITIONS = """
addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = "* { transition: none !important; }";
    document.head.append(style);
});
"""


@contextmanager
def opened(page: Path | str, width: int = 1400, height: int = 900) -> Iterator[WebDriver]:
    """Open a page in a browser that finds no other host than 127.0.0.1.

    Parameters
    ----------
    page : pathlib.Path or str
        An HTML file, or a URL.
    width, height : int
        The size of the window in pixels.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        driver.implicitly_wait(10)
        resize(driver, width, height)
        script = {"source": WITHOUT_TRANSITIONS}
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", script)
        driver.get(page if isinstance(page, str) else page.resolve().as_uri())
        yield driver
    finally:
        driver.quit()


def resize(driver: WebDriver, width: int, height: int) -> None:
    """Change the size of the window, in pixels."""
    # Real windows cannot be as narrow as a telephone.
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def console_errors(driver: WebDriver) -> list[str]:
    """Return the errors in the browser's console since the last call."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requested_urls(driver: WebDriver) -> list[str]:
    """Return the URLs requested since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


def requested_schemes(driver: WebDriver) -> set[str]:
    """Return the schemes, such as ``https``, of the URLs requested since the last call."""
    return {url.partition(":")[0] for url in requested_urls(driver)}
