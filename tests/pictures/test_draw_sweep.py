"""Test the picture of the sweep: draw_sweep.py."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

import draw_sweep
from image_workflow.errors import UserError
from image_workflow.lineage.results import Candidate, Sweep
from picture_checks import check_layout

SWEEP = Sweep(
    regularization_rate=0.5,
    n_train=5000,
    n_validation=1000,
    candidates=[
        Candidate(1e-3, train_accuracy=0.99, validation_accuracy=0.7),
        Candidate(0.5, train_accuracy=0.95, validation_accuracy=0.9),
        Candidate(2000, train_accuracy=0.65, validation_accuracy=0.6),
    ],
)


def test_picture_has_one_point_for_each_rate():
    _, axes = draw_sweep.draw(SWEEP).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines == {
        "training part, 5,000 images": [[1e-3, 0.99], [0.5, 0.95], [2000, 0.65]],
        "validation part, 1,000 images": [[1e-3, 0.7], [0.5, 0.9], [2000, 0.6]],
        "chosen: 0.5": [[0.5, 0.9]],
    }
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)


@pytest.mark.parametrize("rates", [[1e-3, 0.5, 2000], [0.5, 0.8]])
def test_ticks_of_the_logarithmic_axis_are_the_rates(rates: list[float]):
    candidates = [Candidate(rate, 1.0, 0.9) for rate in rates]
    _, axes = draw_sweep.draw(replace(SWEEP, candidates=candidates)).axes
    axes.figure.canvas.draw()
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == rates
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [f"{rate:g}" for rate in rates]
    assert not any(tick.get_text() for tick in axes.get_xticklabels(minor=True))
    assert all(tick.get_text().endswith("%") for tick in axes.get_yticklabels())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("regularization rate", "accuracy")


def test_bytes_of_the_picture_depend_only_on_the_sweep(tmp_path: Path):
    def png(sweep: Sweep) -> bytes:
        sweep.write(tmp_path / "sweep.json")
        output = tmp_path / "sweep.png"
        draw_sweep.main(Namespace(sweep=tmp_path / "sweep.json", output=output, record=None))
        return output.read_bytes()

    first = png(SWEEP)
    assert first.startswith(b"\x89PNG")
    assert b"Software" not in first
    assert png(SWEEP) == first
    assert png(replace(SWEEP, regularization_rate=2000)) != first


def test_labels_of_close_rates_do_not_overlap():
    rates = [0.1, 0.2, 0.3, 0.9, 0.95, 1, 1.05, 2, 1000]
    candidates = [Candidate(rate, 1.0, 0.9) for rate in rates]
    sweep = replace(SWEEP, regularization_rate=0.95, candidates=candidates)
    figure = draw_sweep.draw(sweep)
    check_layout(figure)
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert len(labels) == len(rates)
    assert {"0.1", "0.95", "1000"} <= set(labels)  # The chosen rate is always named.


def test_sweep_of_a_single_rate_is_an_error(tmp_path: Path):
    replace(SWEEP, candidates=[]).write(tmp_path / "sweep.json")
    options = Namespace(sweep=tmp_path / "sweep.json", output=tmp_path / "x.png", record=None)
    with pytest.raises(UserError, match="compares no regularization rates"):
        draw_sweep.main(options)
