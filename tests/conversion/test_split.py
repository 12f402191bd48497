"""Split images into a training set and a test set."""

import numpy as np
import pytest

from image_workflow.conversion.split import equal_images, stratified_split
from image_workflow.errors import UserError
from samples import labelled_images

NAMES = {3: "three", 7: "seven", 200: "two hundred"}


def split(images: np.ndarray, labels: np.ndarray, share: float = 0.2, seed: int = 42) -> np.ndarray:
    return stratified_split(images, labels, share, seed, NAMES)


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    return labelled_images(300, 4, 5, classes=list(NAMES))


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_each_class_gives_its_share(sample, share: float):
    _, labels = sample
    in_test = split(*sample, share)
    for label in NAMES:
        members = labels == label
        assert in_test[members].sum() == max(round(share * members.sum()), 1)


def test_the_seed_decides_which(sample):
    assert np.array_equal(split(*sample), split(*sample))
    assert not np.array_equal(split(*sample), split(*sample, seed=43))


def test_another_image_moves_at_most_one(sample):
    images, labels = sample
    before = split(images, labels)[1:]
    after = split(images[1:], labels[1:])
    assert (before != after).sum() <= 1


def test_the_order_of_the_images_changes_nothing(sample):
    images, labels = sample
    order = np.random.default_rng(0).permutation(len(images))
    assert np.array_equal(split(images[order], labels[order]), split(images, labels)[order])


def test_a_class_with_two_images_has_one_in_each_set():
    images = np.arange(12, dtype=np.uint8).reshape(6, 1, 2)
    labels = np.array([3, 3, 7, 7, 200, 200])
    for share in (0.01, 0.9):
        assert [split(images, labels, share)[labels == label].sum() for label in NAMES] == [1, 1, 1]


def test_a_class_with_one_image_is_refused_by_name():
    images = np.arange(10, dtype=np.uint8).reshape(5, 1, 2)
    with pytest.raises(UserError, match=r"at least two images of each class.* found one of seven"):
        split(images, np.array([3, 3, 7, 200, 200]))


def test_equal_images_in_both_sets_are_found():
    train, test = (
        np.array(values, np.uint8).reshape(-1, 1, 2)
        for values in ([1, 2, 3, 4, 1, 2], [3, 4, 9, 9, 1, 2])
    )
    assert equal_images(train, test) == [(1, 0), (0, 2)]
