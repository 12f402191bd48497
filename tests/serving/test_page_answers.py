"""The answers and the errors of the server on the page, in headless Chromium."""

import threading
import time

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

import browser
import drawing
import mirror
from drawing import CAT, DOG, answered, draw, part, prediction, rows, until, wait_for

# ---- Answers -------------------------------------------------------------------------------


def test_the_likeliest_ten_of_many_classes_are_shown(
    answers: list[mirror.Answer], window: WebDriver
):
    names = [f"class {n}" for n in range(256)]
    scores = [n / sum(range(256)) for n in range(256)]
    answers.append(answered(prediction(names, scores, names[-1])))
    draw(window)
    wait_for(window, "label", "class 255")
    assert [name for name, _ in rows(window)] == names[:-11:-1]
    assert part(window, "more").text == "and 246 more"
    answers[:] = [answered(CAT)]
    draw(window)
    wait_for(window, "label", "cat")
    assert rows(window) == [["cat", "75.0%"], ["dog", "25.0%"]]
    assert part(window, "more").text == ""


def test_names_are_text_and_fit_into_a_phone(answers: list[mirror.Answer], window: WebDriver):
    hostile = "<img src=x onerror=\"document.title='taken'\">"
    names = [hostile, "<b>bold</b>", "a" * 300, "\N{RIGHT-TO-LEFT OVERRIDE}abc", "", "Äpfel 🍎"]
    answers += [answered(prediction(names, [1, 0, 0, 0, 0, 0], name)) for name in names]
    browser.resize(window, *drawing.PHONE)
    for name in names:
        draw(window)
        until(window, lambda name=name: part(window, "label").get_property("textContent") == name)
        assert [found for found, _ in rows(window)] == names
        assert window.execute_script(
            "return [document.documentElement, ...document.querySelectorAll('bdi')]"
            ".every(element => element.scrollWidth <= element.clientWidth)"
        )
    assert window.title == "Draw a picture"
    assert browser.console_errors(window) == []


def test_a_model_without_probabilities(answers: list[mirror.Answer], window: WebDriver):
    answers += [answered(CAT), answered(prediction(["cat", "dog"], None, "dog"))]
    draw(window)
    wait_for(window, "label", "cat")
    assert not part(window, "unknown").is_displayed()
    draw(window)
    wait_for(window, "label", "dog")
    assert part(window, "unknown").text == "This model gives no probabilities."
    assert rows(window) == []
    assert part(window, "share").text == ""


def test_the_image_that_the_model_saw_is_enlarged(answers: list[mirror.Answer], window: WebDriver):
    answers.append(answered(CAT))
    draw(window)
    wait_for(window, "label", "cat")
    script = "return Array.from(seen.getContext('2d').getImageData(0, 0, 3, 2).data)"
    bytes_ = [byte for row in CAT["image"] for byte in row]
    assert window.execute_script(script) == [b for byte in bytes_ for b in (byte, byte, byte, 255)]
    seen = part(window, "seen")
    assert seen.rect["width"] / seen.rect["height"] == pytest.approx(3 / 2, abs=0.05)
    assert seen.value_of_css_property("image-rendering") == "pixelated"
    assert seen.accessible_name == part(window, "size").text


def test_a_late_answer_does_not_replace_a_newer_one(
    answers: list[mirror.Answer], window: WebDriver
):
    asked, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def late(handler: mirror.Handler) -> None:
        asked.set()
        go_on.wait(10)
        try:
            answered(CAT)(handler)
        finally:
            ended.set()

    answers += [late, answered(DOG)]
    draw(window)
    assert asked.wait(10)
    draw(window)
    wait_for(window, "label", "dog")
    go_on.set()
    assert ended.wait(10)
    time.sleep(0.2)
    assert part(window, "label").text == "dog"


def test_the_answer_to_a_cleared_drawing_is_not_shown(
    answers: list[mirror.Answer], window: WebDriver
):
    go_on = threading.Event()

    def late(handler: mirror.Handler) -> None:
        go_on.wait(10)
        answered(CAT)(handler)

    answers.append(late)
    draw(window)
    part(window, "clear").click()
    go_on.set()
    time.sleep(0.2)
    assert part(window, "label").text == ""
    assert part(window, "problem").text == ""


# ---- Errors --------------------------------------------------------------------------------


def hang_up(handler: mirror.Handler) -> None:
    """Close the connection without an answer."""
    handler.connection.close()


ERRORS = {
    "a sentence of the server": (
        answered({"message": "expected a digit, found an empty picture."}, status=400),
        "expected a digit, found an empty picture",
        False,
    ),
    "HTML": (
        answered("<h1>busy</h1>", status=503),
        "The server answered with the status 503",
        True,
    ),
    "no JSON": (answered("<h1>ok</h1>"), "The server's answer is not a prediction", True),
    "null": (answered("null"), "The server's answer is not a prediction", True),
    "another answer": (answered([7]), "The server's answer is not a prediction", True),
    "no label": (
        answered(CAT | {"labels": []}),
        "The server's answer is not a prediction",
        True,
    ),
    "no image of a size": (
        answered(CAT | {"image": [[]]}),
        "The server's answer is not a prediction",
        True,
    ),
    "gone": (hang_up, "The server does not answer", True),
}


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_is_told_and_the_page_goes_on(
    answers: list[mirror.Answer], window: WebDriver, error: str
):
    answer, sentence, again = ERRORS[error]
    answers += [answered(CAT), answer]
    draw(window)
    wait_for(window, "label", "cat")
    draw(window)
    wait_for(window, "problem", sentence)
    # The old prediction would be taken for that of this picture.
    assert part(window, "label").text == ""
    assert rows(window) == []
    assert not part(window, "view").is_displayed()
    answers[:] = [answered(DOG)]
    buttons = part(window, "problem").find_elements(By.XPATH, "//button[.='Try again']")
    assert len(buttons) == again
    if again:
        buttons[0].click()
    else:
        draw(window)
    wait_for(window, "label", "dog")
    assert part(window, "problem").text == ""


def test_a_silent_server_is_told(answers: list[mirror.Answer], window: WebDriver):
    answers.append(mirror.silence)
    script = "const wait = setTimeout; window.setTimeout = (call, time) => wait(call, time / 100)"
    window.execute_script(script)
    draw(window)
    wait_for(window, "problem", "The server has not answered for 30 seconds")
