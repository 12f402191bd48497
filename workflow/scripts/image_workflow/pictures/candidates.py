"""The values and accuracies of a sweep's candidates, as text and as numbers to draw."""

import json
import math

from image_workflow.lineage.results import Sweep
from image_workflow.pictures.style import BLUE, GREY, SMALL, shortened

#: The name, the colour and the line of each part of the training set.
PARTS = {"train": ("training part", GREY, "o--"), "validation": ("validation part", BLUE, "o-")}
LONGEST_VALUE = 450
LARGE_PART = 1000  # With more images, the second decimal of an accuracy means something.


def chosen(sweep: Sweep) -> int:
    """Return the index of the chosen candidate."""
    points = [json.dumps(candidate.parameters) for candidate in sweep.candidates]
    return points.index(json.dumps(sweep.parameters))


def values_of(sweep: Sweep, name: str) -> list:
    """Return a parameter's value for each candidate."""
    return [candidate.parameters[name] for candidate in sweep.candidates]


def accuracies_of(sweep: Sweep, part: str) -> list[float]:
    """Return each candidate's accuracy on the ``train`` or the ``validation`` part."""
    return [getattr(candidate, f"{part}_accuracy") for candidate in sweep.candidates]


def part_text(sweep: Sweep, part: str) -> str:
    """Return the name of a part of the training set, and how many images it has."""
    return f"{PARTS[part][0]}, {getattr(sweep, f'n_{part}'):,} images"


def is_number(value: object) -> bool:
    """Return whether a value has a place on an axis, unlike true, false and infinity."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def texts_of(sweep: Sweep, name: str) -> dict[str, str]:
    """Return a text for each value of a parameter, by its JSON, in the order of the grid.

    JSON tells 1 from true, and a list can be no key.
    """
    values = {json.dumps(value): value for value in values_of(sweep, name)}
    texts = value_texts([*values.values()])
    return {
        key: shortened(text, LONGEST_VALUE, SMALL) for key, text in zip(values, texts, strict=True)
    }


def value_texts(values: list) -> list[str]:
    """Return different values as different texts.

    Examples
    --------
    >>> value_texts(["adam", [50, 50], None, 0.0001, True])
    ['adam', '[50, 50]', 'null', '0.0001', 'true']
    >>> value_texts(["true", True])
    ['"true"', 'true']
    """

    def text_of(value):
        if isinstance(value, float):
            return f"{value:g}"
        if isinstance(value, str) and value.strip():
            return value
        return json.dumps(value, ensure_ascii=False)

    texts = [text_of(value) for value in values]
    if len(set(texts)) < len(texts):
        return [json.dumps(value, ensure_ascii=False) for value in values]
    return texts


def accuracy_text(accuracy: float, n: int) -> str:
    """Return an accuracy on ``n`` images in percent, with the decimals that mean something.

    Examples
    --------
    >>> accuracy_text(0.97256, 300), accuracy_text(0.97256, 10_000)
    ('97.3', '97.26')
    """
    return f"{100 * accuracy:.{1 if n <= LARGE_PART else 2}f}"


def shades(accuracies: list[float], n: int) -> list[float]:
    """Return how dark to draw each accuracy on ``n`` images, from 0 to 1.

    The logarithm of the errors shows the differences of good candidates beside a bad one.

    Examples
    --------
    >>> shades([0.9, 0.99, 0.999], 10_000)
    [0.0, 0.5, 1.0]
    """
    values = [-math.log(max(1 - accuracy, 0.5 / n)) for accuracy in accuracies]
    low, span = min(values), max(values) - min(values)
    # The last digits of a logarithm differ between processors.
    return [round((value - low) / span, 6) if span else 0.0 for value in values]
