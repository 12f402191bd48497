"""Test what all pictures share."""

import logging
from pathlib import Path

import pytest

from image_workflow.pictures.style import LARGE, SMALL, new_page, save, shortened, text_width
from picture_checks import LONG


def test_short_text_stays_as_it_is():
    assert shortened("apple", 500) == "apple"


@pytest.mark.parametrize("width", [100, 200, 300])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_shortened_text_fits_and_keeps_both_ends(width: int, size: int):
    old, new = (shortened(f"{LONG} {end}", width, size) for end in ("old", "new"))
    assert text_width(old, size) <= width
    assert old[0] == "K"
    assert old[-1] == "d"
    assert "…" in old
    assert old != new


def test_shortened_text_is_as_long_as_fits():
    text = shortened("m" * 100, 300)
    assert text_width(text) <= 300 < text_width(f"{text}m")


def test_line_breaks_in_a_name_become_spaces():
    assert shortened("a\n b\tc", 500) == "a b c"


@pytest.mark.filterwarnings("ignore:Glyph")  # pytest resets the filters.
def test_letters_that_the_font_lacks_are_reported_once(tmp_path: Path, caplog):
    figure, page = new_page(300, 100)
    page.text(0, 50, "京都 äß ÿ 京")
    page.text(0, 20, "都")
    with caplog.at_level(logging.WARNING):
        save(figure, tmp_path / "page.png")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'page.png'}: boxes stand for 京 都, which the font does not have."
    ]


def test_dollar_signs_are_not_formulas():
    _, page = new_page(300, 100)
    text = page.text(0, 50, "$x^2$")
    assert text.get_window_extent().width == pytest.approx(text_width("$x^2$"), abs=1)
