"""Test the picture of the sweep: draw_sweep.py."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import draw_sweep
from image_workflow.errors import UserError
from image_workflow.lineage.results import RATE, Candidate, Sweep
from image_workflow.pictures.candidates import shades
from image_workflow.pictures.style import VERMILLION
from picture_checks import LONG, STRANGE, check_layout, sweep_of, words

SWEEP = Sweep(
    parameters={RATE: 0.5},
    n_train=5000,
    n_validation=1000,
    candidates=[
        Candidate({RATE: 1e-3}, train_accuracy=0.99, validation_accuracy=0.7),
        Candidate({RATE: 0.5}, train_accuracy=0.95, validation_accuracy=0.9),
        Candidate({RATE: 2000}, train_accuracy=0.65, validation_accuracy=0.6),
    ],
)
ACCURACIES = [0.9712, 0.9834, 0.9105, 0.9656, 0.0987]


def lines(figure: Figure) -> dict[str, list]:
    """Return the points of each line in the picture, by its name in the legend."""
    (axes,) = (axes for axes in figure.axes if axes.lines)
    return {line.get_label(): line.get_xydata().tolist() for line in axes.lines}


# ---- Numbers of one parameter --------------------------------------------------------------


def test_picture_has_one_point_for_each_rate():
    figure = draw_sweep.draw(SWEEP)
    assert lines(figure) == {
        "training part, 5,000 images": [[1e-3, 0.99], [0.5, 0.95], [2000, 0.65]],
        "validation part, 1,000 images": [[1e-3, 0.7], [0.5, 0.9], [2000, 0.6]],
        "chosen: 0.5": [[0.5, 0.9]],
    }
    _, axes = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines(figure))


@pytest.mark.parametrize("rates", [[1e-3, 0.5, 2000], [0.5, 0.8]])
def test_ticks_of_the_logarithmic_axis_are_the_rates(rates: list[float]):
    _, axes = draw_sweep.draw(sweep_of({RATE: rates}, [0.9])).axes
    axes.figure.canvas.draw()
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == rates
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"{rate:g}" for rate in rates]
    assert not any(tick.get_text() for tick in axes.get_xticklabels(minor=True))
    assert all(tick.get_text().endswith("%") for tick in axes.get_yticklabels())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("regularization rate", "accuracy")


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.1, 1], "log"),
        ([10, 15, 20, 99], "linear"),
        ([0, 1e-4, 1], "linear"),
        ([-2, 100], "linear"),
    ],
)
def test_axis_of_numbers_is_logarithmic_if_they_span_a_power_of_ten(values: list, scale: str):
    figure = draw_sweep.draw(sweep_of({"mlp__alpha": values}, ACCURACIES))
    check_layout(figure)
    axes = figure.axes[1]
    assert axes.get_xscale() == scale
    assert axes.get_xlabel() == "mlp__alpha"
    assert axes.get_xticks().tolist() == values


def test_numbers_are_joined_in_their_order_and_the_chosen_one_is_marked():
    figure = draw_sweep.draw(sweep_of({"C": [3, 1, 2]}, [0.97, 0.98, 0.96]))
    assert lines(figure)["validation part, 10,000 images"] == [[1, 0.98], [2, 0.96], [3, 0.97]]
    assert lines(figure)["chosen: 1"] == [[1, 0.98]]


@pytest.mark.parametrize(
    "rates", [[0.1, 0.2, 0.3, 0.9, 0.95, 1, 1.05, 2, 1000], [*range(1, 120)], [100, 101, 102, 900]]
)
@pytest.mark.parametrize("name", [RATE, "alpha"])
def test_labels_of_close_numbers_do_not_overlap(rates: list[float], name: str):
    chosen = rates[len(rates) // 2]
    sweep = replace(sweep_of({name: rates}, [0.9]), parameters={name: chosen})
    figure = draw_sweep.draw(sweep)
    check_layout(figure)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert len(labels) == len(rates)
    assert f"{chosen:g}" in labels
    assert len([label for label in labels if label]) > 1


def test_numbers_that_are_almost_equal_have_different_labels():
    figure = draw_sweep.draw(sweep_of({"tol": [0.10000001, 0.10000002]}, [0.9]))
    assert {"0.10000001", "0.10000002"} <= set(words(figure))


@pytest.mark.parametrize("values", [[1, 2], ["a", "b"]])
@pytest.mark.parametrize("accuracies", [[0.91, 0.93], [0.9711, 0.9712], [0.97, 0.9745], [1.0, 1.0]])
def test_ticks_of_the_accuracies_are_exact_and_at_most_100(values: list, accuracies: list[float]):
    sweep = sweep_of({"C": values}, accuracies)
    same = [replace(found, train_accuracy=accuracies[0]) for found in sweep.candidates]
    figure = draw_sweep.draw(replace(sweep, candidates=same))
    (axes,) = (axes for axes in figure.axes if axes.lines)
    figure.canvas.draw()
    axis = axes.yaxis if values == [1, 2] else axes.xaxis
    ticks = axis.get_ticklocs()
    texts = [label.get_text() for label in axis.get_ticklabels()]
    assert [float(text[:-1]) / 100 for text in texts] == pytest.approx(ticks, abs=1e-9)
    low, high = axis.get_view_interval()
    assert all(tick < 1 + 1e-9 for tick in ticks if low <= tick <= high)


# ---- Other values of one parameter ---------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([True, False], ["true", "false"]),
        (["sgd", "adam", None], ["sgd", "adam", "null"]),
        ([[100], [50, 50]], ["[100]", "[50, 50]"]),
        ([1, True, 1.0], ["1", "true", "1.0"]),
        ([2, float("inf"), float("nan")], ["2", "inf", "nan"]),
        (["true", True, ""], ['"true"', "true", '""']),
        ([{"0": 1, "7": 5}, "balanced"], ['{"0": 1, "7": 5}', "balanced"]),
    ],
)
def test_values_stand_one_below_the_other_in_their_order(values: list, texts: list[str]):
    figure = draw_sweep.draw(sweep_of({"name": values}, ACCURACIES))
    check_layout(figure)
    axes = next(axes for axes in figure.axes if axes.lines)
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()] == texts
    assert axes.yaxis_inverted()
    rows = range(len(values))
    best = int(np.argmax(ACCURACIES[: len(values)]))
    assert lines(figure)["validation part, 10,000 images"] == [[ACCURACIES[r], r] for r in rows]
    assert lines(figure)[f"chosen: {texts[best]}"] == [[ACCURACIES[best], best]]
    assert {"name", *(f"{ACCURACIES[row]:.2%}" for row in rows)} <= set(words(figure))


@pytest.mark.parametrize(
    ("text", "count"), [("", 2), ("", 30), (LONG, 5), (STRANGE, 12), (3 * LONG, 2)]
)
def test_values_overlap_nothing(text: str, count: int):
    values = [f"{text} {number}" for number in range(count)]
    figure = draw_sweep.draw(sweep_of({f"parameter {text}": values}, ACCURACIES))
    check_layout(figure)
    axes = next(axes for axes in figure.axes if axes.lines)
    assert len({label.get_text() for label in axes.get_yticklabels()}) == count


# ---- Two parameters ------------------------------------------------------------------------


def heat_map(figure: Figure) -> tuple[list, list, dict, list]:
    """Return the labels of rows and columns, the text in each cell, and the framed cells."""
    (axes,) = (axes for axes in figure.axes if axes.images)
    figure.canvas.draw()
    rows, columns = (
        [label.get_text() for label in labels]
        for labels in (axes.get_yticklabels(), axes.get_xticklabels())
    )
    cells = {
        (rows[int(y)], columns[int(x)]): text.get_text()
        for text in axes.texts
        for x, y in [text.get_position()]
    }
    framed = [
        (rows[int(patch.get_y() + 0.5)], columns[int(patch.get_x() + 0.5)])
        for patch in axes.patches
        if to_hex(patch.get_edgecolor()) == VERMILLION.lower()
    ]
    return rows, columns, cells, framed


def test_two_parameters_are_drawn_as_a_heat_map():
    grid = {"alpha": [0.1, 0.01, 1], "layers": [[300], [50, 50]]}
    figure = draw_sweep.draw(sweep_of(grid, [0.9712, 0.9834, 0.91051]))
    rows, columns, cells, framed = heat_map(figure)
    assert rows == ["[300]", "[50, 50]"]  # the longer texts
    assert columns == ["0.1", "0.01", "1"]
    assert cells[rows[0], columns[0]] == "97.12"
    assert cells[rows[1], columns[0]] == "98.34"
    assert cells[rows[0], columns[1]] == "91.05"
    assert len(cells) == 6
    assert framed == [("[50, 50]", "0.1")]
    assert {
        "Accuracy in % on the validation part, 10,000 images",
        "chosen: layers = [50, 50], alpha = 0.1",
        "alpha",
        "layers",
    } <= set(words(figure))


def test_better_candidates_are_darker_also_beside_a_bad_one():
    bad, fair, good = shades([0.1, 0.97, 0.98], 10_000)
    assert (bad, good) == (0, 1)
    assert 0.05 < good - fair < 0.5
    assert shades([1.0, 1.0], 10_000) == [0, 0]


def test_numbers_can_be_read_on_their_cells():
    figure = draw_sweep.draw(sweep_of({"a": [1, 2, 3], "b": [1, 2]}, ACCURACIES))
    (axes,) = (axes for axes in figure.axes if axes.images)
    (image,) = axes.images
    for text in axes.texts:
        column, row = text.get_position()
        cell = np.mean(image.cmap(image.norm(image.get_array()[row, column]))[:3])
        number = {"white": 1.0, "black": 0.0}[text.get_color()]
        assert abs(cell - number) > 0.4


def test_labels_of_narrow_columns_are_turned_rather_than_shortened():
    texts = [f"number {number}" for number in range(20)]
    figure = draw_sweep.draw(sweep_of({"a": texts, "b": [LONG, "short"]}, ACCURACIES))
    assert heat_map(figure)[1] == texts


@pytest.mark.parametrize(
    ("text", "rows", "columns"),
    [
        *(("", 2, 2), ("", 12, 6), ("", 20, 20)),
        *((LONG, 2, 2), (LONG, 3, 5), (LONG, 2, 20), (LONG, 20, 20)),
        *((STRANGE, 3, 5), (STRANGE, 20, 2)),
    ],
)
def test_heat_map_overlaps_nothing(text: str, rows: int, columns: int):
    grid = {
        f"one {text}": [f"{text} {number}" for number in range(rows)],
        f"other {text}": [f"{text} {number}." for number in range(columns)],
    }
    figure = draw_sweep.draw(sweep_of(grid, [*ACCURACIES, 0.999, 1.0 - 0.01]))
    shown = heat_map(figure)
    assert {len(shown[0]), len(shown[1])} == {rows, columns}
    assert len(shown[2]) == rows * columns
    if rows * columns <= 100:  # The check of all pairs of texts takes long.
        check_layout(figure)


# ---- More parameters -----------------------------------------------------------------------


def rows_of(figure: Figure) -> list[list[str]]:
    """Return the texts of a table, line by line, from left to right."""
    figure.canvas.draw()
    found = {}
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        found.setdefault(round((box.y0 + box.y1) / 20), []).append((box.x0, text.get_text()))
    return [[text for _, text in sorted(found[line])] for line in sorted(found, reverse=True)]


def test_three_parameters_are_drawn_as_a_table_with_the_best_first():
    grid = {"alpha": [0.1, 1.0], "layers": [[300], [50, 50]], "solver": ["adam", "sgd"]}
    figure = draw_sweep.draw(sweep_of(grid, [0.97, 0.9834, 0.96, 0.9834, 0.95]))
    check_layout(figure)
    title, first_header, header, *rows = rows_of(figure)
    assert title == ["8 candidates, by their accuracy on the validation part"]
    assert first_header == ["training part", "validation part"]
    assert header == ["alpha", "layers", "solver", "50,000 images", "10,000 images"]
    assert rows[:4] == [
        ["0.1", "[300]", "sgd", "99.34%", "98.34%", "chosen"],
        ["0.1", "[50, 50]", "sgd", "99.34%", "98.34%"],
        ["1", "[50, 50]", "adam", "99.34%", "98.34%"],
        ["0.1", "[300]", "adam", "98.00%", "97.00%"],
    ]
    assert [row[4] for row in rows] == sorted((row[4] for row in rows), reverse=True)
    assert len(rows) == 8


def test_table_has_30_candidates_and_says_how_many_more_there_are():
    grid = {"alpha": [*range(11)], "tol": [1, 2], "solver": ["adam", "sgd"]}
    figure = draw_sweep.draw(sweep_of(grid, [0.5 + at / 1000 for at in range(44)]))
    check_layout(figure)
    title, _, _, *rows, last = rows_of(figure)
    assert title == ["The 30 best of 44 candidates, by their accuracy on the validation part"]
    assert len(rows) == 30
    assert rows[0][-1] == "chosen"
    assert last == ["and 14 more with an accuracy of at most 51.40%"]


@pytest.mark.parametrize(
    "grid",
    [
        {"a": [*range(21)], "b": [1, 2]},
        {"a": [*map(str, range(31))]},
        {f"pipeline__{name}__a_long_parameter": [{"0": 1, name: [LONG]}, None] for name in "abcd"},
        {f"{STRANGE} {name}": [f"{LONG} {LONG} 1", f"{LONG} {LONG} 2"] for name in "abcde"},
    ],
)
def test_table_overlaps_nothing(grid: dict[str, list]):
    figure = draw_sweep.draw(sweep_of(grid, ACCURACIES, n=500))
    check_layout(figure)
    assert figure.bbox.width < 2000
    best = rows_of(figure)[3]
    assert best[-3:] == ["99.34%", "98.3%", "chosen"]
    assert len(best) == len(grid) + 3


# ---- The program ---------------------------------------------------------------------------


def png(sweep: Sweep, folder: Path) -> bytes:
    """Return what the program draws."""
    sweep.write(folder / "sweep.json")
    output = folder / "sweep.png"
    draw_sweep.main(Namespace(sweep=folder / "sweep.json", output=output, record=None))
    return output.read_bytes()


def test_bytes_of_the_picture_depend_only_on_the_sweep(tmp_path: Path):
    first = png(SWEEP, tmp_path)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png(SWEEP, tmp_path) == first
    assert png(replace(SWEEP, parameters={RATE: 2000}), tmp_path) != first


@pytest.mark.parametrize("number", [1, 2, 3])
def test_program_draws_any_number_of_parameters(number: int, tmp_path: Path):
    values = [{"0": 1, "7": 2.5}, None, True, 1, float("nan")]
    grid = dict.fromkeys("abc"[:number], values) | {"fixed": ["auto"]}
    assert png(sweep_of(grid, ACCURACIES), tmp_path).startswith(b"\x89PNG")


def test_sweep_of_single_values_is_an_error(tmp_path: Path):
    with pytest.raises(UserError, match="compares nothing"):
        png(replace(SWEEP, candidates=[]), tmp_path)
