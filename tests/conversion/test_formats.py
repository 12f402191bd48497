"""Convert images in the formats that people have."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from checkout import TOP
from image_workflow.configuration import checked, load
from image_workflow.conversion.converting import convert
from image_workflow.errors import UserError
from image_workflow.lineage.results import Conversion
from samples import labelled_images

SCHEMA = load(TOP / "workflow/schemas/own_images.schema.yaml")
CLASSES = [0, 3, 9]
IMAGES, LABELS = labelled_images(60, 6, 6, classes=CLASSES)
TEST_IMAGES, TEST_LABELS = labelled_images(20, 6, 6, classes=CLASSES, seed=1)
COLOURS = np.repeat(IMAGES[..., np.newaxis], 3, axis=3)


def converted(path: Path, **entry) -> tuple[dict[str, np.ndarray], Conversion]:
    """Convert the images at a path, with the options of an entry."""
    return convert(checked({"images": str(path)} | entry, SCHEMA, "config/my_datasets.yaml"), 1)


def assert_whole(arrays: dict[str, np.ndarray]) -> None:
    """Assert that the arrays are the sample's training and test set."""
    for name, expected in zip(arrays, (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS), strict=True):
        assert np.array_equal(arrays[name], expected), name
        assert arrays[name].dtype == np.uint8


def assert_split(arrays: dict[str, np.ndarray]) -> None:
    """Assert that the arrays are a split of the sample's training set."""
    assert len(arrays["test-images"]) == 12
    together = np.concatenate([arrays["train-images"], arrays["test-images"]])
    labels = np.concatenate([arrays["train-labels"], arrays["test-labels"]])
    pairs = {image.tobytes(): label for image, label in zip(together, labels, strict=True)}
    assert pairs == {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}


# ---- CSV -----------------------------------------------------------------------------------


def write_csv(path: Path, images: np.ndarray, labels: np.ndarray, last=False, **options) -> Path:
    """Write a table as Kaggle has it: label, pixel0, pixel1, ..."""
    table = pd.DataFrame(images.reshape(len(images), -1)).add_prefix("pixel")
    table.insert(table.shape[1] if last else 0, "label", labels)
    table.to_csv(path, index=False, **options)
    return path


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz"])
@pytest.mark.parametrize("last", [False, True])
def test_a_table_is_split(tmp_path: Path, name: str, last: bool):
    arrays, conversion = converted(write_csv(tmp_path / name, IMAGES, LABELS, last))
    assert_split(arrays)
    assert (conversion.format, conversion.polarity) == ("CSV", "light_on_dark")
    assert (conversion.test_share, conversion.split_seed) == (0.2, 42)
    assert conversion.class_names == {"0": "0", "3": "3", "9": "9"}


def test_a_table_without_a_header_has_the_label_first(tmp_path: Path):
    assert_split(converted(write_csv(tmp_path / "a.csv", IMAGES, LABELS, header=False))[0])


def test_a_header_of_numbers_is_a_header(tmp_path: Path):
    """As pandas writes a table without names of its columns."""
    table = pd.DataFrame(IMAGES.reshape(60, -1))
    table.insert(0, "label", LABELS)
    table.to_csv(tmp_path / "a.csv", index=False)
    assert_split(converted(tmp_path / "a.csv")[0])


def test_a_column_that_counts_the_rows_is_left_out(tmp_path: Path):
    path = write_csv(tmp_path / "a.csv", IMAGES, LABELS)
    pd.read_csv(path).to_csv(path)  # with the index as the first column
    assert_split(converted(path)[0])


def test_whole_numbers_written_as_decimals_are_pixels(tmp_path: Path):
    assert_split(converted(write_csv(tmp_path / "a.csv", IMAGES * 1.0, LABELS))[0])


def test_names_of_classes_may_be_none_and_na(tmp_path: Path):
    names = np.array(["None", "NA", "null"])[np.searchsorted(CLASSES, LABELS)]
    _, conversion = converted(write_csv(tmp_path / "a.csv", IMAGES, names))
    assert conversion.class_names == {"0": "NA", "1": "None", "2": "null"}


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"label,a\n1,\xe4\n"])
def test_a_folder_with_a_damaged_table_names_it(tmp_path: Path, content: bytes):
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"train\.csv"):
        converted(tmp_path)


def test_two_tables_are_the_two_sets(tmp_path: Path):
    train = write_csv(tmp_path / "fashion-mnist_train.csv", IMAGES, LABELS)
    test = write_csv(tmp_path / "fashion-mnist_test.csv", TEST_IMAGES, TEST_LABELS)
    assert_whole(converted(train, test_images=str(test))[0])
    assert_whole(converted(tmp_path)[0])


def test_a_test_table_without_labels_is_left_out(tmp_path: Path):
    """Kaggle's competitions do not tell the labels of their test set."""
    write_csv(tmp_path / "train.csv", IMAGES, LABELS)
    table = pd.read_csv(tmp_path / "train.csv").drop(columns="label")
    table.to_csv(tmp_path / "test.csv", index=False)
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    assert_split(converted(tmp_path)[0])
    with pytest.raises(UserError, match=r"expected a column of labels in .*test\.csv"):
        converted(tmp_path / "test.csv")


def test_words_in_a_table_become_class_names(tmp_path: Path):
    words = np.array(["cat", "dog", "Ölvogel"])[np.searchsorted(CLASSES, LABELS)]
    _, conversion = converted(write_csv(tmp_path / "a.csv", IMAGES, words))
    assert conversion.class_names == {"0": "cat", "1": "dog", "2": "Ölvogel"}


def test_colours_in_a_table_become_grey(tmp_path: Path):
    path = write_csv(tmp_path / "a.csv", COLOURS, LABELS)
    with pytest.raises(UserError, match="Set `size"):
        converted(path)
    arrays, conversion = converted(path, size=6)
    assert_split(arrays)
    assert (conversion.from_colour, conversion.polarity) == (60, "as_is")


def test_images_in_a_table_may_be_oblong(tmp_path: Path):
    path = write_csv(tmp_path / "a.csv", IMAGES[:, :4], LABELS)
    with pytest.raises(UserError, match=r"expected square images in .*, found rows of 24 values"):
        converted(path)
    arrays, _ = converted(path, size=[4, 6])
    assert arrays["train-images"].shape[1:] == (4, 6)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("label,a,b,c,d\n0,1,2,3,4\n1,1,,3,4\n", "found an empty one in image 2"),
        ("label,a,b,c,d\n0,1,2,3,4\n1,1,256,3,4\n", "expected pixels from 0 to 255"),
        ("label,a,b,c,d\n0,1,2,3,4\n1,1,0.5,3,4\n", "element type float64"),
        ("label;a;b;c;d\n0;1;2;3;4\n", "separated by commas"),
        ("label,a,b,c,d,Usage\n0,1,2,3,4,x\n", "found texts in Usage"),
        ("label,a,b,c,d\n", "expected a row for each image in .*, found none"),
        ("label,a,b,c,d\n0,1,2,3,4\n-1,1,2,3,4\n1,1,2,3,4\n", "expected labels from 0 to 255"),
        ("label,a,b,c,d\n0,1,2,3,4\n0,1,2,3,4\n", "expected images of at least two classes"),
        ("label,a,b,c,d\n0,1,2\n0,1,2,3,4,5,6\n", "cannot be read as a CSV file of images"),
        ("", r"a\.csv is an empty file, not a CSV file of images. Copy or download it again"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, text: str, reason: str):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=reason):
        converted(tmp_path / "a.csv")


# ---- NumPy ---------------------------------------------------------------------------------


def test_keras_names_in_an_npz(tmp_path: Path):
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=TEST_IMAGES, y_test=TEST_LABELS)
    arrays, conversion = converted(path)
    assert_whole(arrays)
    assert (conversion.format, conversion.polarity) == ("npz", "light_on_dark")


def test_medmnists_names_in_an_npz(tmp_path: Path):
    path = tmp_path / "bloodmnist.npz"
    validation = {"val_images": COLOURS[50:], "val_labels": LABELS[50:, np.newaxis]}
    np.savez_compressed(
        path,
        train_images=COLOURS[:50],
        train_labels=LABELS[:50, np.newaxis],
        test_images=np.repeat(TEST_IMAGES[..., np.newaxis], 3, 3),
        test_labels=TEST_LABELS[:, np.newaxis],
        **validation,
    )
    arrays, conversion = converted(path)
    assert_whole(arrays)
    assert (conversion.from_colour, conversion.polarity) == (80, "as_is")


@pytest.mark.parametrize("names", [("images", "labels"), ("X", "y"), ("data", "target")])
def test_an_npz_without_a_test_set_is_split(tmp_path: Path, names: tuple[str, str]):
    np.savez(tmp_path / "a.npz", **dict(zip(names, (IMAGES, LABELS), strict=True)))
    assert_split(converted(tmp_path / "a.npz")[0])


def test_pairs_of_npy_files(tmp_path: Path):
    files = {"images": IMAGES, "labels": LABELS, "test_images": TEST_IMAGES}
    files |= {"test_labels": TEST_LABELS}
    for key, array in files.items():
        np.save(tmp_path / f"{key}.npy", array)
    entry = {key: str(tmp_path / f"{key}.npy") for key in files}
    assert_whole(converted(entry.pop("images"), **entry)[0])
    with pytest.raises(UserError, match=r"has no labels. Name the file that has them as `labels`"):
        converted(tmp_path / "images.npy")


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16),
        IMAGES[..., np.newaxis],
        IMAGES.reshape(60, 36),
        COLOURS,
        np.moveaxis(COLOURS, 3, 1),
    ],
    ids=["int64", "uint16", "one channel", "flat", "colour", "channels first"],
)
@pytest.mark.parametrize("labels", [LABELS.astype(np.int64), LABELS[:, np.newaxis], LABELS * 1.0])
def test_other_shapes_and_types_whose_values_fit(tmp_path: Path, images, labels):
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    assert_split(converted(tmp_path / "a.npz")[0])


@pytest.mark.parametrize(
    ("images", "labels", "reason"),
    [
        (IMAGES / 255, LABELS, "found the element type float64. Scale them to 0-255"),
        (IMAGES.astype(int) * 300, LABELS, "expected pixels from 0 to 255"),
        (IMAGES.astype(int) - 1, LABELS, "expected pixels from 0 to 255"),
        (IMAGES, LABELS[:-1], "found 60 images and 59 labels"),
        (IMAGES, np.eye(60), r"found labels of the shape \(60, 60\)"),
        (IMAGES, LABELS + 0.5, "expected labels as whole numbers or texts"),
        (IMAGES, LABELS.astype(int) + 250, "expected labels from 0 to 255"),
        (IMAGES, np.arange(60) // 60, "expected images of at least two classes"),
        (IMAGES, np.arange(60), "expected at least two images of each class"),
        (IMAGES[:0], LABELS[:0], r"found the shape \(0, 6, 6\)|at least two classes"),
        (np.zeros((60, 2, 2, 4), np.uint8), LABELS, r"found the shape \(60, 2, 2, 4\)"),
        (np.array([{}] * 60), LABELS, "contains Python objects"),
    ],
)
def test_arrays_of_something_else_are_refused(tmp_path: Path, images, labels, reason: str):
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with pytest.raises(UserError, match=reason):
        converted(tmp_path / "a.npz")


def test_a_folder_with_one_npz(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    assert_split(converted(tmp_path)[0])


@pytest.mark.parametrize(
    "keys", [{"test_images": "a.npz"}, {"labels": "a.npz"}, {"test_labels": "a.npz"}]
)
def test_keys_that_have_no_meaning_are_refused(tmp_path: Path, keys: dict):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    entry = {key: str(tmp_path / name) for key, name in keys.items()}
    with pytest.raises(UserError, match=f"Leave out `{next(iter(keys))}`"):
        converted(tmp_path / "a.npz", **entry)


def test_unknown_names_in_an_npz_are_listed(tmp_path: Path):
    np.savez(tmp_path / "a.npz", pictures=IMAGES, kinds=LABELS)
    with pytest.raises(UserError, match=r"found kinds, pictures. Save the arrays"):
        converted(tmp_path / "a.npz")


def test_a_damaged_npz_is_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    with pytest.raises(UserError, match=r"a\.npz cannot be read as a NumPy file"):
        converted(tmp_path / "a.npz")


def test_a_damaged_compressed_npz_is_named(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.npz cannot be read as a NumPy file"):
        converted(tmp_path / "a.npz")


def test_numpy_files_are_known_by_their_content(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    assert_split(converted(tmp_path / "a.npy")[0])
    with pytest.raises(UserError, match=r"is a file of the format npz.* Leave out `labels`"):
        converted(tmp_path / "a.npy", labels=str(tmp_path / "a.npy"))


# ---- IDX -----------------------------------------------------------------------------------


def write_idx(path: Path, array: np.ndarray, code: int = 0x08, kind: str = ">u1") -> None:
    """Write an IDX file, gzipped if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wb") as file:
        file.write(header + array.astype(kind).tobytes())


NAMES = {
    "MNIST's": "train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz t10k-images-idx3-ubyte.gz "
    "t10k-labels-idx1-ubyte.gz",
    "dots": "train-images.idx3-ubyte train-labels.idx1-ubyte t10k-images.idx3-ubyte "
    "t10k-labels.idx1-ubyte",
    "EMNIST's": "emnist-letters-train-images-idx3-ubyte.gz "
    "emnist-letters-train-labels-idx1-ubyte.gz "
    "emnist-letters-test-images-idx3-ubyte.gz emnist-letters-test-labels-idx1-ubyte.gz",
    "Kaggle's folders": "train-images-idx3-ubyte/train-images-idx3-ubyte "
    "train-labels-idx1-ubyte/train-labels-idx1-ubyte t10k-images-idx3-ubyte/t10k-images-idx3-ubyte "
    "t10k-labels-idx1-ubyte/t10k-labels-idx1-ubyte",
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_idx_files_under_the_usual_names(tmp_path: Path, names: str):
    for name, array in zip(names.split(), (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS), strict=True):
        write_idx(tmp_path / name, array)
    arrays, conversion = converted(tmp_path)
    assert_whole(arrays)
    assert conversion.format == "IDX"


def test_idx_files_without_a_test_set_are_split(tmp_path: Path):
    write_idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS)
    assert_split(converted(tmp_path)[0])


@pytest.mark.parametrize(("code", "kind"), [(0x0B, ">i2"), (0x0C, ">i4")])
def test_idx_files_of_larger_numbers_under_any_name(tmp_path: Path, code: int, kind: str):
    write_idx(tmp_path / "pictures", IMAGES, code, kind)
    write_idx(tmp_path / "kinds.gz", LABELS, code, kind)
    assert_split(converted(tmp_path / "pictures", labels=str(tmp_path / "kinds.gz"))[0])


def test_emnists_letters_are_turned_upright(tmp_path: Path):
    """EMNIST's images are transposed, and the labels of its letters are 1 to 26."""
    letters = np.repeat(np.arange(1, 27, dtype=np.uint8), 4)
    images, _ = labelled_images(104, 6, 6, classes=CLASSES)
    for part in ("train", "test"):
        write_idx(tmp_path / f"emnist-letters-{part}-images-idx3-ubyte", images.swapaxes(1, 2))
        write_idx(tmp_path / f"emnist-letters-{part}-labels-idx1-ubyte", letters)
    names = [chr(ord("a") + number) for number in range(26)]
    arrays, conversion = converted(tmp_path, transposed=True, classes=names)
    assert np.array_equal(arrays["train-images"], images)
    assert np.array_equal(arrays["train-labels"], letters)
    assert conversion.class_names == {str(number): name for number, name in enumerate(names, 1)}
    assert len(conversion.equal_images) == 104


# ---- Options -------------------------------------------------------------------------------


def test_ink_on_paper_is_inverted(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=255 - IMAGES, labels=LABELS)
    assert_split(converted(tmp_path / "a.npz", polarity="dark_on_light")[0])


def test_the_size_of_transposed_images_is_that_of_upright_ones(tmp_path: Path):
    images = IMAGES[:, :4]
    path = write_csv(tmp_path / "a.csv", images.swapaxes(1, 2), LABELS)
    arrays, _ = converted(path, size=[4, 6], transposed=True)
    together = np.concatenate([arrays["train-images"], arrays["test-images"]])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in images}


def test_arrays_are_scaled_if_a_size_is_given(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=np.repeat(np.repeat(IMAGES, 2, 1), 2, 2), labels=LABELS)
    assert converted(tmp_path / "a.npz", size=6)[0]["train-images"].shape[1:] == (6, 6)


def test_names_are_given_in_the_order_of_the_labels(tmp_path: Path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    _, conversion = converted(tmp_path / "a.npz", classes=["zero", "three", 9])
    assert conversion.class_names == {"0": "zero", "3": "three", "9": "9"}
    with pytest.raises(UserError, match=r"has 3 classes, with the labels 0, 3, 9, but .* 2 names"):
        converted(tmp_path / "a.npz", classes=["zero", "three"])


def test_names_decide_the_order_of_a_folders_classes(tmp_path: Path):
    for name in ("sad", "happy"):
        for number in range(2):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.new("L", (2, 2), number).save(tmp_path / name / f"{number}.png")
    arrays, conversion = converted(tmp_path, classes=["sad", "happy"])
    assert conversion.class_names == {"0": "sad", "1": "happy"}
    assert arrays["train-labels"].tolist() == [1, 0]  # happy/, then sad/
    with pytest.raises(UserError, match=r"the classes of .* are happy, sad, but"):
        converted(tmp_path, classes=["sad", "glad"])


def test_a_class_that_only_the_test_set_has_is_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=TEST_IMAGES, y_test=TEST_LABELS + 1)
    with pytest.raises(UserError, match=r"training set does not have: 1 \(\d+ times\), 4 .*, 10 "):
        converted(path)


def test_images_of_two_sizes_are_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=TEST_IMAGES[:, 1:], y_test=TEST_LABELS)
    with pytest.raises(UserError, match=r"found 6 x 6 in .* and 5 x 6 in .*a\.npz\. Set `size`"):
        converted(path)


def test_turned_test_images_are_refused_with_both_files(tmp_path: Path):
    arrays = {"images": IMAGES[:, :4], "test_images": TEST_IMAGES[:, :4].swapaxes(1, 2)}
    arrays |= {"labels": LABELS, "test_labels": TEST_LABELS}
    entry = {name: str(tmp_path / f"{name}.npy") for name in arrays}
    for name, path in entry.items():
        np.save(path, arrays[name])
    with pytest.raises(UserError) as raised:
        converted(Path(entry.pop("images")), **entry)
    assert str(raised.value) == (
        f"expected training and test images of one size, found 4 x 6 in {tmp_path / 'images.npy'} "
        f"and 6 x 4 in {tmp_path / 'test_images.npy'}. The test images seem to be turned. Set "
        "`size` of the data set to scale both."
    )


# ---- What is no data set -------------------------------------------------------------------


def test_a_path_that_does_not_exist_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"`images` of the data set is .*nowhere, which does not"):
        converted(tmp_path / "nowhere")


@pytest.mark.parametrize("names", [[], ["a.pdf", "b.docx"]])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, names: list[str]):
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"found (no files|a.pdf, b.docx). Other files are named"):
        converted(tmp_path)


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    with pytest.raises(UserError, match=r"a\.pdf is a PDF document. Expected a folder"):
        converted(tmp_path / "a.pdf")
