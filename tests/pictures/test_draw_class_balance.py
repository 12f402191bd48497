"""Test the picture of the class balance."""

from argparse import Namespace
from itertools import product
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import draw_class_balance
from picture_checks import check_layout, class_names, data_set_of, words


def bars(figure: Figure) -> list[list[float]]:
    """Return the lengths of the bars in each panel."""
    panels = [axes for axes in figure.axes if axes.patches]
    standing = len(panels[0].patches) > 15 and panels[0].patches[1].get_x() > 0
    return [
        [bar.get_height() if standing else bar.get_width() for bar in axes.patches]
        for axes in panels
    ]


def test_both_sets_have_a_bar_and_a_count_for_each_class():
    figure = draw_class_balance.draw(data_set_of(["a", "b"], [1200, 34], [5, 0]))
    assert bars(figure) == [[1200, 34], [5, 0]]
    shown = words(figure)
    assert {"1,200", "34", "5", "0", "a", "b"} <= set(shown)
    assert {"Training set, 1,234 images", "Test set, 5 images"} <= set(shown)


def test_dashed_line_is_the_mean_of_the_classes():
    figure = draw_class_balance.draw(data_set_of(["a", "b"], [30, 50], [4, 8]))
    means = [axes.lines[0].get_xdata()[0] for axes in figure.axes if axes.patches]
    assert means == [40, 6]


@pytest.mark.parametrize(
    ("count", "kind"), [*product([2, 10, 26, 62], ["short", "long", "strange"]), (256, "long")]
)
def test_every_name_can_be_read(count: int, kind: str):
    names = class_names(count, kind)
    train, test = [6000 + 7 * number for number in range(count)], [900] * count
    figure = draw_class_balance.draw(data_set_of(names, train, test))
    if count <= 62:  # The check of all pairs of texts takes long.
        check_layout(figure)
    assert bars(figure) == [train, test]
    if kind == "short":
        assert set(names) <= set(words(figure))
    ends = {name[-4:] for name in names}
    assert len(ends & {word[-4:] for word in words(figure)}) == len(ends)


def test_bytes_depend_only_on_the_data_set(tmp_path: Path):
    def png(train: list[int]) -> bytes:
        data_set_of(["a", "b"], train, [2, 2]).write(tmp_path / "dataset.json")
        output = tmp_path / "balance.png"
        options = {"dataset_file": tmp_path / "dataset.json", "output": output, "record": None}
        draw_class_balance.main(Namespace(**options))
        return output.read_bytes()

    first = png([3, 4])
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png([3, 4]) == first
    assert png([4, 3]) != first
