"""Test the description of a data set, and the comparison of its two sets before training."""

import json
import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

import describe
import train
from image_workflow.data.arrays import IDX_FILES, ONE_DATA_SET
from image_workflow.errors import UserError
from image_workflow.lineage.results import Conversion, DataSet
from samples import labelled_images

TRAIN = labelled_images(30, 6, 4, classes=[0, 3, 9])
TEST = labelled_images(10, 6, 4, classes=[0, 3, 9], seed=1)


def write_arrays(folder: Path, train: tuple, test: tuple) -> Path:
    """Write the arrays of both sets into a new folder, as parse does."""
    folder.mkdir()
    for name, array in zip(IDX_FILES, (*train, *test), strict=True):
        np.save(folder / f"{name}.npy", array)
    return folder


def run_describe(folder: Path, conversion: Path | None = None, classes: tuple = ()) -> DataSet:
    """Describe the arrays in a folder as the rule does."""
    entry = {"name": "mine", "description": None, "license": None, "files": {}}
    entry |= {"polarity": "as_is", "prepare": "fit"}
    options = Namespace(
        data_folder=folder,
        entry=json.dumps(entry | {"classes": list(classes)}),
        conversion=conversion,
        remove=[],
        output=folder / "dataset.json",
        record=None,
    )
    describe.main(options)
    return DataSet.read(options.output)


def refusal(folder: Path) -> str:
    """Return the message with which a data set is refused; check that nothing is written."""
    with pytest.raises(UserError) as raised:
        run_describe(folder)
    assert not (folder / "dataset.json").exists()
    return str(raised.value)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.WARNING]


def test_a_whole_data_set_is_described_without_warnings(tmp_path: Path, caplog):
    data_set = run_describe(write_arrays(tmp_path / "arrays", TRAIN, TEST), classes=("a", "b", "c"))
    assert (data_set.rows, data_set.columns, data_set.n_train, data_set.n_test) == (6, 4, 30, 10)
    assert [each.name for each in data_set.classes] == ["a", "b", "c"]
    assert sum(each.n_train for each in data_set.classes) == 30
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("images", "size", "turned"),
    [
        (TEST[0].swapaxes(1, 2), "4 x 6", "The test images seem to be turned. "),
        (TEST[0].reshape(10, 3, 8), "3 x 8", ""),
        (TEST[0][:, 1:], "5 x 4", ""),
        (TEST[0].repeat(2, axis=1).repeat(2, axis=2), "12 x 8", ""),
    ],
    ids=["turned", "as many pixels", "cropped", "enlarged"],
)
def test_test_images_of_another_shape_are_refused(tmp_path: Path, images, size: str, turned: str):
    folder = write_arrays(tmp_path / "arrays", TRAIN, (images, TEST[1]))
    assert refusal(folder) == (
        f"expected training and test images of one size, found 6 x 4 in {folder}/train-images.npy "
        f"and {size} in {folder}/test-images.npy. {turned}{ONE_DATA_SET}"
    )


def test_labels_that_only_the_test_set_has_are_refused_with_their_counts(tmp_path: Path):
    labels = np.array([0, 3, 9, 4, 4, 4, 255, 0, 3, 9], np.uint8)
    folder = write_arrays(tmp_path / "arrays", TRAIN, (TEST[0], labels))
    assert refusal(folder) == (
        "the test set has labels that the training set does not have: 4 (3 times), 255 (1 times),"
        f" in {folder}/test-labels.npy. A model can only learn classes that it is shown. "
        f"{ONE_DATA_SET}"
    )


def test_a_training_set_of_one_class_is_refused(tmp_path: Path):
    train = TRAIN[0], np.full(30, 3, np.uint8)
    folder = write_arrays(tmp_path / "arrays", train, (TEST[0], np.full(10, 3, np.uint8)))
    assert "expected at least two classes in the training set, found only the label 3" in (
        refusal(folder)
    )


def test_classes_that_the_test_set_lacks_are_named_once(tmp_path: Path, caplog):
    keep = TEST[1] == 0
    folder = write_arrays(tmp_path / "arrays", TRAIN, (TEST[0][keep], TEST[1][keep]))
    data_set = run_describe(folder, classes=("apple", "pear", "quince"))
    assert [each.n_test for each in data_set.classes][1:] == [0, 0]
    assert warnings(caplog) == [
        "the test set has no images of pear, quince: the model is not measured there"
    ]


@pytest.mark.parametrize("count", [10, 3])
def test_test_images_that_the_training_set_has_are_counted(tmp_path: Path, caplog, count: int):
    test = np.concatenate([TRAIN[0][:count], TEST[0][count:]]), TEST[1]
    run_describe(write_arrays(tmp_path / "arrays", TRAIN, test))
    assert warnings(caplog) == [
        f"{count} of 10 test images are in the training set too: the accuracy of the model is "
        "overestimated"
    ]


def test_convert_has_named_the_equal_images_itself(tmp_path: Path, caplog):
    folder = write_arrays(tmp_path / "arrays", TRAIN, (TRAIN[0][:10], TRAIN[1][:10]))
    conversion = Conversion(
        format="npz",
        from_colour=0,
        fit="pad",
        polarity="as_is",
        transposed=False,
        test_share=None,
        split_seed=None,
        skipped=[],
        equal_images=[["a", "b"]],
        class_names={"0": "a", "3": "b", "9": "c"},
    )
    conversion.write(tmp_path / "conversion.json")
    assert run_describe(folder, tmp_path / "conversion.json").conversion == conversion
    assert warnings(caplog) == []


def test_more_or_fewer_names_than_labels_are_refused(tmp_path: Path):
    folder = write_arrays(tmp_path / "arrays", TRAIN, TEST)
    with pytest.raises(UserError, match="has 3 classes, but `classes` of its entry has 2 names"):
        run_describe(folder, classes=("a", "b"))


def test_train_refuses_the_same_without_a_description(tmp_path: Path):
    folder = write_arrays(tmp_path / "arrays", TRAIN, (TEST[0].swapaxes(1, 2), TEST[1]))
    with pytest.raises(UserError) as raised:
        train.main(Namespace(data_folder=folder, record=None))
    assert str(raised.value) == refusal(folder)
