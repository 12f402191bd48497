"""Test the picture of the confusion matrix."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import draw_confusion
from picture_checks import check_layout, class_names, metrics_of, words

MATRIX = [[90, 10, 0], [2, 1196, 2], [1, 0, 3]]
NAMES = ["cat", "dog", "cow"]


def matrix_axes(figure: Figure) -> Axes:
    """Return the axes with the cells."""
    (axes,) = (axes for axes in figure.axes if axes.images)
    return axes


def in_cell(figure: Figure, row: int, column: int) -> list[str]:
    """Return the texts in a cell."""
    return [text.get_text() for text in matrix_axes(figure).texts if text.xy == (column, row)]


def test_title_has_the_accuracy():
    figure = draw_confusion.draw(metrics_of(MATRIX, NAMES))
    assert "Accuracy 98.85% on 1,304 test images" in words(figure)


def test_cells_of_few_classes_have_the_count_and_the_share_of_the_true_class():
    figure = draw_confusion.draw(metrics_of(MATRIX, NAMES))
    assert in_cell(figure, 0, 0) == ["90", "90.0%"]
    assert in_cell(figure, 0, 1) == ["10", "10.0%"]
    assert in_cell(figure, 0, 2) == ["0"]
    assert in_cell(figure, 1, 1) == ["1,196", "99.7%"]
    assert in_cell(figure, 2, 0) == ["1", "25.0%"]


def test_tiny_share_is_not_drawn_as_0():
    figure = draw_confusion.draw(metrics_of([[99_999, 1], [0, 5]], ["a", "b"]))
    assert in_cell(figure, 0, 1) == ["1", "<0.1%"]


def test_confusions_are_listed_with_the_most_frequent_first():
    shown = words(draw_confusion.draw(metrics_of(MATRIX, NAMES)))
    at = shown.index("cat → dog")
    assert shown[at : at + 12] == [
        *("cat → dog", "10", "10.0%"),
        *("dog → cat", "2", "0.2%"),
        *("dog → cow", "2", "0.2%"),
        *("cow → cat", "1", "25.0%"),
    ]


def test_colours_show_the_errors_and_not_the_correct_predictions():
    image = matrix_axes(draw_confusion.draw(metrics_of(MATRIX, NAMES))).images[0]
    shares = image.get_array()
    assert shares.mask.tolist() == [[True, False, True], [False, True, False], [False, True, True]]
    assert image.norm.vmin == 0
    assert image.norm.vmax == 0.25  # the largest share of an error, 1 of 4 cows


def test_model_without_mistakes():
    figure = draw_confusion.draw(metrics_of([[5, 0], [0, 7]], ["a", "b"]))
    check_layout(figure)
    assert {"Accuracy 100.00% on 12 test images", "No confusions"} <= set(words(figure))


def test_class_that_the_test_set_lacks_has_no_share():
    figure = draw_confusion.draw(metrics_of([[4, 1], [0, 0]], ["a", "b"]))
    assert in_cell(figure, 1, 0) == ["0"]
    assert in_cell(figure, 1, 1) == ["0"]


@pytest.mark.parametrize(
    ("count", "kind"), list(product([1, 2, 3, 10, 15, 16, 26, 62], ["short", "long", "strange"]))
)
def test_all_texts_can_be_read(count: int, kind: str):
    random = np.random.default_rng(count)
    matrix = random.poisson(0.5, (count, count)) + np.diag(random.integers(1000, 20_000, count))
    figure = draw_confusion.draw(metrics_of(matrix, class_names(count, kind)))
    check_layout(figure)
    axes = matrix_axes(figure)
    assert len(axes.get_xticks()) == len(axes.get_yticks()) == count
    assert len({label.get_text() for label in axes.get_xticklabels()}) == count
    assert bool(axes.texts) == (count <= 15)


def test_256_classes_are_drawn(tmp_path: Path):
    matrix = np.eye(256, dtype=int) + np.eye(256, k=3, dtype=int)
    names = class_names(256, "long")
    axes = matrix_axes(draw_confusion.draw(metrics_of(matrix, names)))
    assert axes.images[0].get_array().shape == (256, 256)


def test_bytes_depend_only_on_the_metrics(tmp_path: Path):
    def png(matrix: list) -> bytes:
        metrics_of(matrix, NAMES).write(tmp_path / "metrics.json")
        output = tmp_path / "confusion.png"
        draw_confusion.main(
            Namespace(metrics=tmp_path / "metrics.json", output=output, record=None)
        )
        return output.read_bytes()

    first = png(MATRIX)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png(MATRIX) == first
    assert png(np.transpose(MATRIX).tolist()) != first
