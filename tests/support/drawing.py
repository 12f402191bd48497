"""What a user does on the page of the server, in headless Chromium.

As a program it draws a 7 while `make serve` runs, and writes docs/draw.png.
"""

import base64
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageDraw
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

import browser
import mirror
from checkout import TOP

PAGE = TOP / "workflow/serving/draw.html"
DESKTOP, PHONE = (1000, 700), (360, 780)
#: The corners of each digit's stroke, in widths of the paper.
STROKES = {
    "0": [(0.5 + 0.2 * math.sin(n / 3), 0.5 - 0.3 * math.cos(n / 3)) for n in range(20)],
    "1": [(0.5, 0.2), (0.5, 0.5), (0.5, 0.8)],
    "7": [(0.28, 0.25), (0.5, 0.25), (0.72, 0.25), (0.58, 0.52), (0.45, 0.8)],
}
SIZE, PEN = 800, 64  # pixels of the paper, and of the width of a line


# ---- The server ----------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[mirror.Mirror]:
    """Run a server that has the page, and chosen answers to the requests for predictions."""
    with mirror.serving() as server:
        html = {"Content-Type": "text/html; charset=utf-8"}
        server.answers["/draw"] = [mirror.content(PAGE.read_bytes(), headers=html)]
        yield server


def answered(
    content: dict | list | str, status: int = 200, received: list[str] | None = None
) -> mirror.Answer:
    """Answer with JSON, or with a text; add the picture of the request to ``received``."""
    body = (content if isinstance(content, str) else json.dumps(content)).encode()

    def answer(handler: mirror.Handler) -> None:
        request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        if received is not None:
            (picture,) = request.values()
            received.append(picture)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def prediction(names: list[str], scores: list[float] | None, label: str) -> dict:
    """Return an answer of the server about a picture."""
    return {
        "labels": [label],
        "class_names": names,
        "probabilities": None if scores is None else [scores],
        "image": [[0, 255, 0], [9, 90, 9]],
    }


CAT = prediction(["cat", "dog"], [0.75, 0.25], "cat")
DOG = prediction(["cat", "dog"], [0.25, 0.75], "dog")


# ---- The user ------------------------------------------------------------------------------


def show(window: WebDriver, url: str) -> None:
    """Open the page of a server as on a computer with a mouse, with empty logs."""
    window.implicitly_wait(0)
    browser.resize(window, *DESKTOP)
    emulate(window)
    window.get("about:blank")
    browser.console_errors(window)
    browser.requested_urls(window)
    window.get(f"{url}/draw")


def emulate(window: WebDriver, touch: bool = False, colours: str = "light") -> None:
    """Let the window be that of a touch screen, or in the dark mode."""
    window.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": touch})
    media = {"features": [{"name": "prefers-color-scheme", "value": colours}]}
    window.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def part(page: WebDriver, name: str) -> WebElement:
    """Return an element by its id."""
    return page.find_element(By.ID, name)


def draw(page: WebDriver, digit: str = "7", pointer: str = "mouse") -> None:
    """Draw a digit on the paper with the mouse, by touch or with a pen."""
    paper, hand = part(page, "paper").rect, PointerInput(pointer, pointer)
    corners = [
        (round(paper["x"] + x * paper["width"]), round(paper["y"] + y * paper["height"]))
        for x, y in STROKES[digit]
    ]
    hand.create_pointer_move(0, *corners[0])
    hand.create_pointer_down(button=0)
    for corner in corners[1:]:
        hand.create_pointer_move(0, *corner)
    hand.create_pointer_up(0)
    ActionBuilder(page, mouse=hand).perform()


def picture_of_7(size: int = 200) -> Image.Image:
    """Return a black 7 on white."""
    picture = Image.new("RGB", (size, size), "white")
    corners = [(x * size, y * size) for x, y in STROKES["7"]]
    ImageDraw.Draw(picture).line(corners, "black", width=size // 12, joint="curve")
    return picture


def choose(page: WebDriver, path: Path) -> None:
    """Choose a file."""
    page.find_element(By.CSS_SELECTOR, "input:not([capture])").send_keys(str(path))


def press(page: WebDriver, *keys: str) -> None:
    """Press keys together."""
    page.switch_to.active_element.send_keys("".join(keys))


def until(page: WebDriver, condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    WebDriverWait(page, 10, poll_frequency=0.02).until(lambda _: condition())


def wait_for(page: WebDriver, name: str, text: str) -> None:
    """Wait until an element has a text, or a sentence that begins with it."""
    until(page, lambda: f"{part(page, name).text}.".startswith(f"{text}."))


def rows(page: WebDriver) -> list[list[str]]:
    """Return the names of the classes that are shown, with the percentages."""
    return page.execute_script(
        "return Array.from(document.querySelectorAll('#scores li'), row => "
        "['.name', '.percent'].map(part => row.querySelector(part).textContent))"
    )


def is_blank(page: WebDriver) -> bool:
    """Tell whether the paper is white."""
    script = f"return paper.getContext('2d').getImageData(0, 0, {SIZE}, {SIZE})"
    return page.execute_script(f"{script}.data.every(byte => byte == 255)")


def sent_picture(received: str) -> Image.Image:
    """Return the picture of a request."""
    kind, _, content = received.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


if __name__ == "__main__":
    with browser.opened("about:blank") as window:
        show(window, "http://127.0.0.1:5001")
        draw(window)
        wait_for(window, "label", "7")
        window.save_screenshot(TOP / "docs/draw.png")
