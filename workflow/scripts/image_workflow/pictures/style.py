"""The style of all pictures: fonts, colours, the page, and the file.

Lengths are in pixels of the PNG. Text of 10 points is 21 pixels high and can still be read when the
picture is shown at half its size.
"""

import logging
import warnings
from functools import cache
from pathlib import Path

from image_workflow.files import replacing
from image_workflow.imports import fast_imports

with fast_imports():
    import matplotlib
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties, findfont, get_font
    from matplotlib.text import Text

log = logging.getLogger(__name__)

DPI = 150
WIDTH = 1500  # of a page
SMALL, NORMAL, LARGE = 10, 11, 13  # points

#: Colours of Okabe and Ito's palette, which colour-blind people can tell apart.
BLUE, ORANGE, VERMILLION = "#0072B2", "#E69F00", "#D55E00"
#: Greys for secondary text, for lines, and for areas.
DARK_GREY, GREY, LIGHT_GREY = "0.35", "0.6", "0.88"

#: The colours of a data set's images, by its polarity.
IMAGE_COLOURS = {"light_on_dark": "gray_r", "as_is": "gray"}
#: Colours of shares and of accuracies, from light to dark, and of signed values, white for 0.
SHARE_COLOURS, ACCURACY_COLOURS, SIGNED_COLOURS = "YlOrBr", "Blues", "RdBu_r"

# A user's own matplotlibrc must not change the pictures.
matplotlib.rcParams.update(matplotlib.rcParamsDefault)
matplotlib.rcParams.update(
    {
        "text.parse_math": False,  # A class may be named "$x$".
        "font.family": "DejaVu Sans",  # comes with Matplotlib
        "font.size": NORMAL,
        "axes.titlesize": LARGE,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.edgecolor": "white",
        "legend.framealpha": 1,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": "black",
        "ytick.labelcolor": "black",
    }
)
# Matplotlib warns of each letter at each line of code; save() warns once of all.
warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")


def new_page(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure, and axes that cover it and take pixels from the top left corner."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    page.set_axis_off()
    return figure, page


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Return new axes, placed by pixels from the top left corner of the figure."""
    page_width, page_height = figure.get_size_inches() * DPI
    bottom = page_height - top - height
    return figure.add_axes(
        (left / page_width, bottom / page_height, width / page_width, height / page_height)
    )


def line_height(size: float) -> float:
    """Return the distance of two lines of text of ``size`` points, in pixels."""
    return 1.3 * size * DPI / 72


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DPI)


@cache
def text_width(text: str, size: float = NORMAL) -> float:
    """Return the width of a line of text of ``size`` points, in pixels."""
    font = FontProperties(size=size)
    return _renderer().get_text_width_height_descent(text, font, ismath=False)[0]


def widest(texts: list[str], size: float = NORMAL) -> float:
    """Return the width of the widest text, or 0 if there is none."""
    return max((text_width(text, size) for text in texts), default=0)


def shortened(text: str, width: float, size: float = NORMAL) -> str:
    """Return the text, with an ellipsis in its middle if it is wider than ``width`` pixels.

    Similar names often differ at their ends, such as "tram (old)" and "tram (new)".
    """
    text = " ".join(text.split())
    if text_width(text, size) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        begin, end = text[: kept - kept // 2].rstrip(), text[len(text) - kept // 2 :].lstrip()
        if text_width(f"{begin}…{end}", size) <= width:
            return f"{begin}…{end}"
    return text[:1] + "…"


def save(figure: Figure, output: Path) -> None:
    """Write a figure as a PNG, which has the same bytes whenever the picture is the same."""
    with replacing(output) as (part,):
        # Without the Software entry, the bytes do not depend on the version of Matplotlib.
        figure.savefig(part, format="png", metadata={"Software": None})
    missing = _missing_letters(figure)
    if missing:
        log.warning("%s: boxes stand for %s, which the font does not have.", output, missing)


def _missing_letters(figure: Figure) -> str:
    """Return the letters in a figure that its font does not have."""
    known = get_font(findfont(FontProperties())).get_charmap()
    letters = {letter for text in figure.findobj(Text) for letter in text.get_text()}
    return " ".join(sorted(letter for letter in letters if ord(letter) not in known))
