"""Check figures as a reader sees them, and make the data that they are drawn from."""

from itertools import combinations, product

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from image_workflow.lineage.results import RATE, Candidate, DataSet, ImageClass, Metrics, Sweep

LONG = "Köln Straßenbahn (alt, vor 1970)"
STRANGE = "$a_{1}$ ^ %s \\frac äß"


def shown_texts(figure: Figure) -> list[Text]:
    """Return the texts that a reader sees, apart from empty ones."""
    texts = list(figure.texts)
    for axes in figure.axes:
        texts += axes.texts
        if axes.axison:
            texts += [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
            texts += _tick_labels(axes.xaxis) + _tick_labels(axes.yaxis)
        if axes.get_legend():
            texts += axes.get_legend().get_texts()
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def _tick_labels(axis: Axis) -> list[Text]:
    """Return the labels of the ticks that are drawn; Matplotlib has some more beyond the ends."""
    low, high = sorted(axis.get_view_interval())
    pairs = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    return [label for place, label in pairs if low <= place <= high]


def words(figure: Figure) -> list[str]:
    """Return the content of the texts that a reader sees."""
    return [text.get_text() for text in shown_texts(figure)]


def check_layout(figure: Figure) -> None:
    """Check that all texts are large enough, lie inside the figure, and do not overlap."""
    figure.canvas.draw()
    texts = shown_texts(figure)
    # A line of text has 1 or 2 empty pixels above and below it.
    boxes = [(text.get_text(), text.get_window_extent().padded(-2)) for text in texts]
    for text in texts:
        assert text.get_fontsize() >= 10, f"{text.get_text()!r} is too small for half size"
    for name, box in boxes:
        inside = figure.bbox.containsx(box.x0) and figure.bbox.containsx(box.x1)
        inside = inside and figure.bbox.containsy(box.y0) and figure.bbox.containsy(box.y1)
        assert inside, f"{name!r} is cut off"
    for (name, box), (other_name, other) in combinations(boxes, 2):
        assert not box.overlaps(other), f"{name!r} overlaps {other_name!r}"


def class_names(count: int, kind: str) -> list[str]:
    """Return names: numbers, long names that differ at the end, or strange names."""
    return {
        "short": [f"{number}" for number in range(count)],
        "long": [f"{LONG} {number:03}" for number in range(count)],
        "strange": [f"{number} {STRANGE}" for number in range(count)],
    }[kind]


def data_set_of(
    names: list[str], train: list[int], test: list[int], polarity: str = "as_is", **size: int
) -> DataSet:
    """Return a data set whose labels are 0, 1, and so on."""
    counts = zip(names, train, test, strict=True)
    return DataSet(
        name="test",
        description=None,
        license=None,
        rows=size.get("rows", 8),
        columns=size.get("columns", 8),
        n_train=sum(train),
        n_test=sum(test),
        maximum=255,
        polarity=polarity,
        prepare="fit",
        classes=[ImageClass(label, *values) for label, values in enumerate(counts)],
        conversion=None,
        idx_sha256={},
    )


def metrics_of(matrix: list[list[int]] | np.ndarray, names: list[str]) -> Metrics:
    """Return the metrics of a confusion matrix."""
    matrix = np.array(matrix)
    return Metrics(
        accuracy=float(np.trace(matrix) / matrix.sum()),
        parameters={RATE: 0.5},
        n_train=100,
        n_test=int(matrix.sum()),
        classes=list(range(len(matrix))),
        class_names=names,
        per_class=[],
        confusion_matrix=matrix.tolist(),
    )


def sweep_of(grid: dict[str, list], accuracies: list[float], n: int = 10_000) -> Sweep:
    """Return the comparison of all points of a grid, with their accuracies on ``n`` images.

    The list of accuracies is repeated. On the training part, each is 0.01 better.
    """
    names = sorted(grid)
    candidates = []
    for at, values in enumerate(product(*(grid[name] for name in names))):
        accuracy = accuracies[at % len(accuracies)]
        point = dict(zip(names, values, strict=True))
        candidates.append(Candidate(point, accuracy + 0.01, accuracy))
    best = max(candidates, key=lambda candidate: candidate.validation_accuracy)
    return Sweep(best.parameters, 5 * n, n, candidates)
