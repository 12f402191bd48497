"""Test which images are held out to compare regularization rates."""

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from image_workflow.errors import UserError
from image_workflow.models.sweep import held_out, mapped_part
from samples import labelled_images

LABELS = arrays.arrays(np.uint8, st.integers(0, 60), elements=st.sampled_from([0, 3, 7, 255]))
FRACTIONS = st.floats(0.01, 0.99)


@given(few=LABELS, fraction=FRACTIONS, seed=st.integers(0, 2**32 - 1))
def test_each_class_gives_its_share_and_keeps_an_image(few, fraction: float, seed: int):
    labels = np.append(few, np.full(100, 9, np.uint8))
    mask = held_out(labels, fraction, seed)
    assert (mask.dtype, mask.shape) == (np.bool_, labels.shape)
    for label in np.unique(labels):
        of_class = labels == label
        assert abs(mask[of_class].sum() - fraction * of_class.sum()) <= 0.5 or (
            mask[of_class].sum() == of_class.sum() - 1
        )
        assert not mask[of_class].all()


def test_a_sixth_of_each_class_is_held_out():
    labels = np.repeat(np.arange(10, dtype=np.uint8), 600)
    mask = held_out(labels, 0.16667, seed=42)
    assert set(Counter(labels[mask].tolist()).values()) == {100}


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 40), (0.9, 72)])
def test_the_only_image_of_a_class_is_not_held_out(fraction: float, count: int):
    labels = np.array([5] * 40 + [8] + [6] * 40 + [200], np.uint8)
    mask = held_out(labels, fraction, seed=42)
    assert not mask[40] and not mask[81]
    assert mask.sum() == count


def test_only_the_seed_decides_which_images_are_held_out():
    labels = labelled_images(500, 1, 1, classes=[1, 2, 3])[1]
    first = held_out(labels, 0.2, seed=1)
    np.random.seed(7)  # NumPy's global generator must have no effect
    np.testing.assert_array_equal(held_out(labels, 0.2, seed=1), first)
    assert (held_out(labels, 0.2, seed=2) != first).any()


def test_images_are_drawn_from_the_whole_class():
    # A data set may be sorted by writer, so the first or last images would be a biased sample.
    mask = held_out(np.zeros(3000, np.uint8), 0.2, seed=42)
    for third in np.split(mask, 3):
        assert 150 < third.sum() < 250


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 1, 1], [7]])
def test_too_few_images_are_refused(labels: list[int]):
    with pytest.raises(UserError) as raised:
        held_out(np.array(labels, np.uint8), 0.16667, seed=42)
    message = str(raised.value)
    assert message.startswith("expected enough images to hold out 0.16667 of each class")
    assert f"found {len(labels)} images of {len(set(labels))} classes." in message
    assert message.endswith("instead of a list, such as one regularization rate, or add images.")


def test_a_part_has_the_images_of_its_mask_and_is_not_in_memory(tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 256, (20_001, 28, 28), np.uint8)
    mask = held_out(images[:, 0, 0] % 10, 0.5, seed=42)
    tracemalloc.start()
    part = mapped_part(images, mask, tmp_path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (part == images[mask]).all()
    assert most < part.nbytes
    assert not part.flags.writeable
    assert not list(tmp_path.iterdir())  # Nothing is left if the program is killed now.
