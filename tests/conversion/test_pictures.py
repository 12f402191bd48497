"""Read folders of pictures as people have them."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_workflow.conversion.parts import Source
from image_workflow.conversion.pictures import read_pictures
from image_workflow.errors import UserError

EXIF_ORIENTATION = 0x0112


def read(folder: Path, **options) -> Source:
    """Read a folder with the default options."""
    defaults = {"size": None, "fit": "pad", "polarity": "as_is", "skip": False, "threads": 1}
    return read_pictures(folder, **(defaults | options))


def save(path: Path, picture: Image.Image | None = None, **options) -> Path:
    """Save a picture, by default a grey one of 4 x 4 pixels, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or Image.new("L", (4, 4), 100)).save(path, **options)
    return path


def one(folder: Path, picture: Image.Image, name: str = "x.png", polarity="as_is", **save_options):
    """Save one picture, and return it as it is read at its own size."""
    save(folder / "class" / name, picture, **save_options)
    return read(folder, polarity=polarity).train.images[0]


# ---- Layouts -------------------------------------------------------------------------------


def test_subfolders_are_classes(tmp_path: Path):
    for name in ("b/2.png", "a/1.png", "b/deeper/3.png"):
        save(tmp_path / name)
    source = read(tmp_path)
    assert source.train.names == ["a/1.png", "b/2.png", "b/deeper/3.png"]
    assert source.train.labels.tolist() == ["a", "b", "b"]
    assert source.test is None


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "Validation")])
def test_folders_called_train_and_test_are_the_two_sets(tmp_path: Path, train: str, test: str):
    save(tmp_path / train / "a/1.png")
    save(tmp_path / test / "b/2.png")
    source = read(tmp_path)
    assert source.train.labels.tolist() == ["a"]
    assert source.test.labels.tolist() == ["b"]


def test_a_validation_set_beside_a_test_set_belongs_to_the_training_set(tmp_path: Path):
    for name in ("train/a/1.png", "val/a/2.png", "test/a/3.png"):
        save(tmp_path / name)
    source = read(tmp_path)
    assert source.train.names == ["train/a/1.png", "val/a/2.png"]
    assert source.test.names == ["test/a/3.png"]


@pytest.mark.parametrize("name", ["test", "train"])
def test_a_class_may_be_called_test_or_train(tmp_path: Path, name: str):
    save(tmp_path / name / "1.png")
    save(tmp_path / "other/2.png")
    assert read(tmp_path).train.labels.tolist() == ["other", name]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path):
    save(tmp_path / "elsewhere/1.png")
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos/a/again").symlink_to(tmp_path / "photos")
    save(tmp_path / "photos/a/2.png")
    assert read(tmp_path / "photos").train.names == ["a/2.png", "b/1.png"]


def test_a_folder_without_pictures_is_mentioned(tmp_path: Path, caplog):
    caplog.set_level("INFO", "image_workflow")
    save(tmp_path / "a/1.png")
    (tmp_path / "c").mkdir()
    read(tmp_path)
    assert f"{tmp_path / 'c'} has no pictures" in caplog.messages


def test_a_name_that_is_not_utf_8_is_named(tmp_path: Path):
    save(tmp_path / "a/1.png")
    os.rename(tmp_path / "a/1.png", os.fsencode(tmp_path / "a") + b"/\xe4.png")
    with pytest.raises(UserError, match="its name has characters that do not show"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "JPG", "jpeg", "Gif", "BMP", "tif", "TIFF", "webp"])
def test_the_usual_formats_are_read_in_any_case(tmp_path: Path, suffix: str):
    path = tmp_path / f"ä b/Bild 1 ü.{suffix}"
    save(path, Image.new("L", (8, 8), 100))
    source = read(tmp_path)
    assert source.train.names == [f"ä b/Bild 1 ü.{suffix}"]
    assert abs(source.train.images.astype(int) - 100).max() <= 1  # JPEG and WebP lose a little


def test_names_are_composed_as_they_are_typed(tmp_path: Path):
    """File systems of macOS give ä as two characters."""
    save(tmp_path / "a\u0308pfel/1.png")
    assert read(tmp_path).train.labels.tolist() == ["\u00e4pfel"]


# ---- Files that are no pictures ------------------------------------------------------------


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with three pictures and six files that cannot be read as pictures of a class."""
    folder = tmp_path / "photos"
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        save(folder / name)
    whole = save(tmp_path / "whole.jpg", Image.effect_noise((64, 64), 50)).read_bytes()
    (folder / "a/cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "a/empty.png").write_bytes(b"")
    (folder / "b/page.jpg").write_bytes(b"<!DOCTYPE html><html>")
    (folder / "b/notes.txt").write_text("notes")
    save(folder / "loose.png")
    (folder / "a/gone.png").symlink_to(folder / "nowhere.png")
    return folder


ODD = ["a/cut.jpg", "a/empty.png", "a/gone.png", "b/notes.txt", "b/page.jpg", "loose.png"]


def test_all_odd_files_are_named_in_one_message(odd: Path):
    with pytest.raises(UserError) as refused:
        read(odd)
    message = str(refused.value)
    assert "found 6 other file(s)" in message
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:-1]] == ODD
    assert "a/gone.png: No such file or directory" in message
    assert "b/notes.txt: its name does not end in .bmp, .gif" in message
    assert "loose.png: it is not in the folder of a class" in message
    assert "skip_unreadable: true" in message


def test_odd_files_are_left_out_if_the_user_says_so(odd: Path):
    source = read(odd, skip=True)
    assert source.skipped == tuple(ODD)
    assert source.train.names == ["a/1.png", "a/2.png", "b/3.png"]


def test_hidden_and_system_files_are_ignored(tmp_path: Path):
    save(tmp_path / "a/1.png")
    for name in (".DS_Store", "a/Thumbs.db", "a/._1.png"):
        (tmp_path / name).write_bytes(b"x")
    save(tmp_path / ".thumbnails/1.png")
    assert read(tmp_path).train.names == ["a/1.png"]


def test_a_folder_in_which_nothing_can_be_read_is_refused_also_when_files_may_be_skipped(tmp_path):
    save(tmp_path / "a/1.png").write_bytes(b"x")
    with pytest.raises(UserError, match="found 1 other file"):
        read(tmp_path, skip=True)


# ---- Kinds of pictures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orientation", "corner"), [(1, (0, 0)), (3, (3, 5)), (6, (0, 3)), (8, (5, 0))]
)
def test_the_orientation_of_a_camera_is_applied(tmp_path: Path, orientation: int, corner: tuple):
    pixels = np.zeros((4, 6), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = one(tmp_path, Image.fromarray(pixels), "x.png", exif=exif)
    assert image.shape == ((4, 6) if orientation < 5 else (6, 4))
    assert np.argwhere(image == 255).tolist() == [list(corner)]


@pytest.mark.parametrize(
    ("polarity", "behind"), [("as_is", 255), ("dark_on_light", 255), ("light_on_dark", 0)]
)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_areas_become_the_background(tmp_path: Path, mode: str, polarity: str, behind):
    picture = Image.new("RGBA", (2, 2), (50, 50, 50, 0))
    picture.putpixel((0, 0), (50, 50, 50, 255))
    if mode == "P":
        picture = picture.quantize(8)
    image = one(tmp_path, picture.convert(mode) if mode != "P" else picture, polarity=polarity)
    assert image.tolist() == [[50, behind], [behind, behind]]


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path):
    pixels = np.array([[0, 256, 257, 32896, 65535]], np.uint16)
    for name in ("x.png", "x.tif"):
        assert one(tmp_path / name, Image.fromarray(pixels), name).tolist() == [[0, 1, 1, 128, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_black_white_and_grey_stay_what_they_are(tmp_path: Path, mode: str):
    picture = Image.new("RGB", (16, 16), "black")
    picture.paste("white", (8, 0, 16, 16))
    image = one(tmp_path, picture.convert(mode), "x.tif")
    assert image[:, :8].max() <= 2
    assert image[:, 8:].min() >= 253


def test_colours_become_grey_by_their_brightness(tmp_path: Path):
    picture = Image.new("RGB", (3, 1))
    for x, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        picture.putpixel((x, 0), colour)
    assert one(tmp_path, picture).tolist() == [[76, 150, 29]]  # ITU-R 601-2
    assert read(tmp_path).from_colour == 1


def test_of_an_animation_the_first_frame_is_read(tmp_path: Path):
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    image = one(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert image.max() == 10


def test_floating_point_pixels_are_named(tmp_path: Path):
    save(tmp_path / "a/x.tif", Image.fromarray(np.ones((4, 4), np.float32)))
    with pytest.raises(UserError, match=r"a/x.tif: its pixels are floating-point numbers"):
        read(tmp_path)


# ---- Size ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(28, 28)], (28, 28)),
        ([(40, 60), (20, 30), (40, 60)], (40, 60)),
        ([(480, 640), (480, 640), (640, 480)], (48, 64)),
        ([(1000, 10)], (64, 1)),
    ],
)
def test_the_size_is_the_median_but_at_most_64(tmp_path: Path, sizes, expected):
    for number, (rows, columns) in enumerate(sizes):
        save(tmp_path / f"a/{number}.png", Image.new("L", (columns, rows)))
    assert read(tmp_path).train.images.shape[1:] == expected


@pytest.mark.parametrize(
    ("fit", "row"),
    [("pad", [0, 100, 100, 0]), ("crop", [100, 100, 100, 100]), ("stretch", [100, 100, 100, 100])],
)
def test_a_picture_of_another_shape_is_fitted(tmp_path: Path, fit: str, row: list):
    save(tmp_path / "a/1.png", Image.new("L", (2, 4), 100))
    image = read(tmp_path, size=(4, 4), fit=fit).train.images[0]
    assert image.tolist() == [row] * 4


def test_crop_keeps_the_middle_and_stretch_keeps_all(tmp_path: Path):
    picture = Image.new("L", (12, 4), 100)
    picture.paste(0, (4, 0, 8, 4))
    save(tmp_path / "a/1.png", picture)
    assert read(tmp_path, size=(4, 4), fit="crop").train.images.max() == 0
    assert read(tmp_path, size=(4, 4), fit="stretch").train.images[0, 0, [0, 3]].min() > 80


def test_the_border_of_ink_on_paper_is_white(tmp_path: Path):
    save(tmp_path / "a/1.png", Image.new("L", (2, 4), 100))
    image = read(tmp_path, size=(4, 4), polarity="dark_on_light").train.images[0]
    assert image[0].tolist() == [255, 100, 100, 255]


def test_the_number_of_threads_changes_nothing(tmp_path: Path):
    for number in range(20):
        save(tmp_path / f"a/{number}.jpg", Image.effect_noise((300 + number, 200), 40))
    first, second = (read(tmp_path, threads=threads).train for threads in (1, 5))
    assert first.names == second.names
    assert np.array_equal(first.images, second.images)
