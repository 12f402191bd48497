"""The page on which a user draws, in headless Chromium."""

import base64
import hashlib
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

import browser
import drawing
import mirror
import serving
from drawing import CAT, answered, choose, draw, is_blank, part, press, rows, until, wait_for

# ---- Draw, with the server -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("digit", "pointer"),
    [("0", "mouse"), ("1", "mouse"), ("7", "mouse"), ("1", "touch"), ("7", "pen")],
)
def test_a_drawn_digit_is_recognized(page: WebDriver, digit: str, pointer: str):
    name = serving.NAMES[int(digit)]
    draw(page, digit, pointer)
    wait_for(page, "label", name)
    assert [row[0] for row in rows(page)] == serving.NAMES
    chosen = page.find_elements(By.CSS_SELECTOR, "#scores .chosen")
    assert [row.text.split() for row in chosen] == [[name, part(page, "share").text]]
    assert part(page, "size").text == "What the model saw, 8 \N{MULTIPLICATION SIGN} 8 pixels"


def test_the_paper_is_cleared_and_clearing_is_undone(page: WebDriver):
    draw(page, "7")
    wait_for(page, "label", "seven")
    part(page, "clear").click()
    assert is_blank(page)
    assert part(page, "label").text == ""
    assert rows(page) == []
    draw(page, "1")
    wait_for(page, "label", "one")
    press(page, Keys.CONTROL, "z")
    assert is_blank(page)
    part(page, "undo").click()
    wait_for(page, "label", "seven")
    press(page, Keys.ESCAPE)
    assert is_blank(page)


def test_a_photograph_is_recognized(page: WebDriver, tmp_path: Path):
    photograph = tmp_path / "upright by its orientation.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = drawing.picture_of_7(3000).transpose(Image.Transpose.ROTATE_90)
    turned.save(photograph, exif=exif)
    choose(page, photograph)
    wait_for(page, "label", "seven")
    assert not is_blank(page)


def test_the_page_asks_no_other_host(page: WebDriver, server):
    draw(page, "7")
    wait_for(page, "label", "seven")
    urls = [url for url in browser.requested_urls(page) if not url.startswith("data:")]
    assert urls == [f"{server.url}/draw", f"{server.url}/score"]
    assert browser.console_errors(page) == []


# ---- Files and strokes ---------------------------------------------------------------------


def test_a_large_picture_is_sent_smaller_and_a_small_one_as_it_is(
    answers: list[mirror.Answer], window: WebDriver, tmp_path: Path
):
    received: list[str] = []
    answers.append(answered(CAT, received=received))
    for width, height in [(3000, 1500), (28, 20)]:
        path = tmp_path / f"{width}.png"
        Image.effect_noise((width, height), 90).save(path)
        choose(window, path)
        until(window, lambda: part(window, "label").text == "cat" and received)
        sent = drawing.sent_picture(received.pop())
        if width == 28:
            assert sent.convert("RGB").tobytes() == Image.open(path).convert("RGB").tobytes()
        else:
            assert sent.size == (drawing.SIZE, drawing.SIZE // 2)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(
    answers: list[mirror.Answer], window: WebDriver, event: str
):
    answers.append(answered(CAT))
    content = io.BytesIO()
    drawing.picture_of_7().save(content, "png")
    give = """
        const [event, content] = arguments, data = new DataTransfer();
        const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
        if (content) data.items.add(new File([bytes], "7.png", { type: "image/png" }));
        else data.setData("text/plain", "seven");
        const options = { bubbles: true, cancelable: true };
        const given = event === "drop"
            ? new DragEvent(event, { ...options, dataTransfer: data })
            : new ClipboardEvent(event, { ...options, clipboardData: data });
        return document.body.dispatchEvent(given);
    """
    window.execute_script(give, event, "")
    wait_for(window, "problem", "There is no picture. Choose a PNG or JPEG file")
    left = window.execute_script(give, event, base64.b64encode(content.getvalue()).decode())
    wait_for(window, "label", "cat")
    assert part(window, "problem").text == ""
    assert left == (event == "paste")  # Chromium would show a dropped file instead of the page.


def test_a_file_that_is_no_picture_leaves_the_drawing(
    answers: list[mirror.Answer], window: WebDriver, tmp_path: Path
):
    answers.append(answered(CAT))
    draw(window)
    wait_for(window, "label", "cat")
    (tmp_path / "notes.txt").write_text("seven")
    choose(window, tmp_path / "notes.txt")
    wait_for(window, "problem", "This browser cannot read notes.txt as a picture")
    assert part(window, "label").text == "cat"
    assert not is_blank(window)


def test_a_stroke_on_an_opened_picture_begins_a_drawing(
    answers: list[mirror.Answer], window: WebDriver, tmp_path: Path
):
    received: list[str] = []
    answers.append(answered(CAT, received=received))
    Image.new("L", (50, 40), 200).save(tmp_path / "grey.png")
    choose(window, tmp_path / "grey.png")
    until(window, lambda: len(received) == 1)
    draw(window, "7")
    until(window, lambda: len(received) == 2)
    part(window, "undo").click()
    until(window, lambda: len(received) == 3)
    assert received[0] == received[2] != received[1]


def test_a_palm_does_not_disturb_the_pen(answers: list[mirror.Answer], window: WebDriver):
    received: list[str] = []
    answers.append(answered(CAT, received=received))
    paper, hands = part(window, "paper").rect, ActionBuilder(window)
    # The palm touches the paper after the pen, and both move and leave together.
    for kind, start, end in [("pen", 50, 90), ("touch", 300, 350)]:
        hand = hands.add_pointer_input(kind, kind)
        hand.create_pointer_move(0, round(paper["x"]) + start, round(paper["y"]) + 50)
        if kind == "touch":
            hand.create_pause(0)
        hand.create_pointer_down(button=0)
        if kind == "pen":
            hand.create_pause(0)
        hand.create_pointer_move(0, round(paper["x"]) + end, round(paper["y"]) + 50)
        hand.create_pointer_up(0)
    hands.perform()
    until(window, lambda: received)
    picture = drawing.sent_picture(received[0]).convert("L")
    left, _, right, _ = picture.point(lambda byte: 255 - byte).getbbox()
    scale, half = paper["width"] / drawing.SIZE, drawing.PEN / 2
    ends = [(left + half) * scale, (right - half) * scale]
    assert ends == pytest.approx([50, 90], abs=2)


# ---- For everybody -------------------------------------------------------------------------


def test_the_page_fits_into_a_phone(page: WebDriver):
    browser.resize(page, *drawing.PHONE)
    drawing.emulate(page, touch=True)
    draw(page, "7", "touch")
    wait_for(page, "label", "seven")
    assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert part(page, "paper").rect["width"] > 300
    assert part(page, "paper").value_of_css_property("touch-action") == "none"
    buttons = page.find_elements(By.CSS_SELECTOR, "button, .button")
    assert [button.text for button in buttons] == ["Undo", "Clear", "Open file", "Camera"]
    assert min(button.rect["height"] for button in buttons) >= 44
    # The prediction is to be seen without scrolling.
    label = part(page, "label").rect
    assert label["y"] + label["height"] < drawing.PHONE[1]


def test_each_part_has_a_name_for_screen_readers(page: WebDriver):
    draw(page, "7")
    wait_for(page, "label", "seven")
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [
        (node["role"]["value"], node["name"]["value"].split(",")[0].split(".")[0])
        for node in tree
        if not node["ignored"] and node["role"]["value"] in {"button", "image", "list", "region"}
    ]
    assert sorted(named) == [
        ("button", "Clear"),
        ("button", "Open file"),
        ("button", "Undo"),
        ("image", "Drawing paper"),
        ("image", "What the model saw"),
        ("list", "Probabilities"),
        ("region", "The model's answer"),
        ("region", "Your picture"),
    ]
    status = page.find_element(By.CSS_SELECTOR, "[role=status]")
    assert status.text.split() == ["Prediction", "seven", part(page, "share").text]
    assert part(page, "problem").aria_role == "alert"


def test_the_keyboard_reaches_each_control(page: WebDriver):
    for name in ("Undo", "Clear", "Open file"):
        press(page, Keys.TAB)
        focused = page.switch_to.active_element
        # Chromium adds that no file is chosen.
        assert focused.accessible_name.partition(":")[0] == name
        button = page.execute_script("return arguments[0].closest('button, .button')", focused)
        assert button.value_of_css_property("outline-style") == "solid"


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_text_has_contrast(answers: list[mirror.Answer], window: WebDriver, mode: str):
    answers.append(answered(CAT))
    drawing.emulate(window, colours=mode)
    draw(window)
    wait_for(window, "label", "cat")
    script = """
        const luminance = (colour) => {
            const [r, g, b] = colour.match(/[0-9.]+/g).map((byte) => byte / 255).map((c) =>
                c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            return colour.endsWith(", 0)") ? behind(element.parentElement) : colour;
        };
        problem.textContent = "A problem.";
        return Array.from(document.querySelectorAll("body *"))
            .filter((e) => e.checkVisibility()
                && Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.data.trim()))
            .map((e) => {
                const pair = [getComputedStyle(e).color, behind(e)].map(luminance);
                return [e.textContent.trim(),
                    (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
            });
    """
    contrasts = window.execute_script(script)
    assert len(contrasts) > 12
    assert [pair for pair in contrasts if pair[1] < 4.5] == []
    body = window.find_element(By.TAG_NAME, "body")
    red = int(re.search(r"\d+", body.value_of_css_property("background-color"))[0])
    assert red > 200 if mode == "light" else red < 50


def test_the_policy_names_the_hash_of_the_script():
    html = drawing.PAGE.read_text(encoding="utf-8")
    (script,) = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.findall("script-src ([^;]+);", html) == [f"'sha256-{digest}'"]


@pytest.mark.usefixtures("answers")
def test_nothing_else_may_run_or_be_reached(window: WebDriver):
    script = """
        const [other, done] = arguments, found = [];
        addEventListener("securitypolicyviolation", (event) => {
            found.push(event.violatedDirective);
            if (found.length === 4) done(found.sort());
        });
        const html = `<img src="data:," onerror="document.title = 'taken'"><img src="${other}">
            <form action="${other}"></form>`;
        document.body.insertAdjacentHTML("beforeend", html);
        document.forms[0].submit();
        fetch(other).catch(() => {});
    """
    with mirror.serving() as other:
        violated = window.execute_async_script(script, other.url)
        assert violated == ["connect-src", "form-action", "img-src", "script-src-attr"]
        assert other.requests == []
    assert window.title == "Draw a picture"
