"""Read a folder of pictures, with a subfolder for each class.

The layouts are those that torchvision, Keras and Hugging Face read: FOLDER/CLASS/PICTURE, or
FOLDER/train/CLASS/PICTURE and FOLDER/test/CLASS/PICTURE.
"""

import logging
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from image_workflow.conversion.parts import Part, Source
from image_workflow.conversion.pixels import fitted
from image_workflow.data import idx, kinds
from image_workflow.errors import UserError
from image_workflow.paths import UNFIT, scan, shown_name, visible_files

log = logging.getLogger(__name__)

FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}
#: The names of subfolders that are parts of the data set instead of classes.
PARTS = {
    "train": {"train", "training"},
    "validation": {"val", "valid", "validation"},
    "test": {"test", "testing"},
}
LONGEST_SIDE = 64  # pixels of a scaled picture, unless the user chooses a size
EXIF_ORIENTATION = 0x0112
TURNED = {5, 6, 7, 8}  # the EXIF orientations that exchange width and height


@dataclass(frozen=True)
class Picture:
    """A file in a class folder.

    Attributes
    ----------
    part : {"train", "validation", "test"}
    label : str
        The name of the class.
    path : pathlib.Path
    name : str
        The path below the data set's folder.
    """

    part: str
    label: str
    path: Path
    name: str


def has_pictures(folder: Path) -> bool:
    """Tell whether any file in a subfolder has the name of a picture."""
    paths = (Path(entry.path) for entry in scan(folder))
    return any(path.suffix.lower() in SUFFIXES and path.parent != folder for path in paths)


def read_pictures(
    folder: Path, size: tuple[int, int] | None, fit: str, polarity: str, skip: bool, threads: int
) -> Source:
    """Read all pictures of a folder as grey images of one size.

    Parameters
    ----------
    folder : pathlib.Path
    size : (rows, columns) or None
        None stands for the median size of the pictures, at most 64 pixels on a side.
    fit : {"pad", "crop", "stretch"}
        See :func:`image_workflow.conversion.pixels.fitted`.
    polarity : {"as_is", "light_on_dark", "dark_on_light"}
        Decides whether borders and transparent areas become black or white.
    skip : bool
        Whether to leave out files that cannot be read, instead of stopping.
    threads : int
        How many pictures to read at once.

    Raises
    ------
    UserError
        If a file cannot be read as a picture; the message names all such files.
    """
    pictures, odd = _find(folder)
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        # Such as: a large photograph may be an attack. Pillow refuses 179 million pixels and more.
        warnings.filterwarnings("ignore", module="PIL")
        sizes = _all(pool, _size, pictures, odd)
        readable = [picture for picture in pictures if picture.name in sizes]
        if size is None and readable:
            size = _default_size(sizes.values())
        background = 0 if polarity == "light_on_dark" else 255
        border = 255 if polarity == "dark_on_light" else 0
        read = _all(
            pool, lambda picture: _read(picture, size, fit, background, border), readable, odd
        )
    if odd and not (skip and read):
        raise _unreadable(folder, odd)
    for name, reason in sorted(odd.items()):
        log.info("left out %s: %s", name, reason)
    readable = [picture for picture in readable if picture.name in read]
    parts = {part: [each for each in readable if each.part == part] for part in PARTS}
    if not parts["test"]:
        parts["test"] = parts.pop("validation")
    train = parts["train"] + parts.get("validation", [])
    return Source(
        format="folder of pictures",
        train=_part(train, read),
        test=_part(parts["test"], read) if parts["test"] else None,
        photographs=True,
        from_colour=sum(colour for _, colour in read.values()),
        skipped=tuple(sorted(odd)),
    )


def _part(pictures: list[Picture], read: dict[str, tuple[np.ndarray, bool]]) -> Part:
    return Part(
        images=np.array([read[picture.name][0] for picture in pictures], np.uint8),
        labels=np.array([picture.label for picture in pictures]),
        names=[picture.name for picture in pictures],
    )


def _find(folder: Path) -> tuple[list[Picture], dict[str, str]]:
    """Return the pictures, and the reason for each file that is not one of a class."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    part_of = {
        path.name: part for path in folders for part in PARTS if path.name.lower() in PARTS[part]
    }
    # A class may be called train. Then its folder has pictures, and no folders.
    has_parts = any(
        part == "train" and any(path.is_dir() for path in (folder / name).iterdir())
        for name, part in part_of.items()
    )
    pictures, odd = [], {}
    for path in visible_files(folder):
        name = path.relative_to(folder)
        part, inner = "train", name.parts
        if has_parts:
            part, inner = part_of.get(name.parts[0]), name.parts[1:]
        if UNFIT.search(str(name)):
            odd[shown_name(str(name))] = "its name has characters that do not show; rename it"
        elif part is None or len(inner) < 2:
            odd[str(name)] = "it is not in the folder of a class"
        elif path.suffix.lower() not in SUFFIXES:
            odd[str(name)] = f"its name does not end in {', '.join(sorted(SUFFIXES))}"
        else:
            label = unicodedata.normalize("NFC", inner[0])
            pictures.append(Picture(part, label, path, str(name)))
    used = {picture.path.relative_to(folder).parts[0] for picture in pictures}
    for path in folders:
        if path.name not in used and not path.name.startswith("."):
            log.info("%s has no pictures", shown_name(str(path)))
    return pictures, odd


def _all(
    pool: ThreadPoolExecutor,
    function: Callable[[Picture], object],
    pictures: list[Picture],
    odd: dict[str, str],
) -> dict[str, object]:
    """Return the function's result for each picture by name, and add the failures to ``odd``."""

    def attempt(picture: Picture) -> tuple[object, str | None]:
        try:
            return function(picture), None
        except Image.UnidentifiedImageError:
            return None, _no_picture(picture.path)
        # Pillow raises exceptions of many kinds for damaged files.
        except Exception as error:
            return None, getattr(error, "strerror", None) or str(error) or type(error).__name__

    results = {}
    bar = tqdm(pictures, unit=" pictures", leave=False, disable=None)
    for picture, (result, reason) in zip(bar, pool.map(attempt, pictures), strict=True):
        if reason is None:
            results[picture.name] = result
        else:
            odd[picture.name] = reason.rstrip(".")
    return results


def _size(picture: Picture) -> tuple[int, int]:
    """Return the rows and columns that a picture has when it is upright."""
    with Image.open(picture.path, formats=FORMATS) as opened:
        columns, rows = opened.size
        turned = opened.getexif().get(EXIF_ORIENTATION) in TURNED
        return (columns, rows) if turned else (rows, columns)


def _default_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    rows, columns = (median(sides) for sides in zip(*sizes, strict=True))
    scale = min(1, LONGEST_SIDE / max(rows, columns))
    return max(round(rows * scale), 1), max(round(columns * scale), 1)


def _read(
    picture: Picture, size: tuple[int, int], fit: str, background: int, border: int
) -> tuple[np.ndarray, bool]:
    """Return a picture as a grey image, and whether it was in colour."""
    with Image.open(picture.path, formats=FORMATS) as opened:
        # Let the JPEG decoder skip details that scaling would remove.
        opened.draft(None, (2 * max(size), 2 * max(size)))
        upright = ImageOps.exif_transpose(opened)
        grey = to_grey(upright, background)
        colour = upright.mode not in ("1", "L", "LA") and not upright.mode.startswith("I")
        return np.asarray(fitted(grey, size, fit, border)), colour


def to_grey(picture: Image.Image, background: int) -> Image.Image:
    """Return a picture of any kind in grey, in Pillow's mode L.

    Parameters
    ----------
    picture : PIL.Image.Image
        The first frame of an animation is taken.
    background : int
        The grey value behind transparent areas, 0 to 255.

    Raises
    ------
    UserError
        If the pixels are floating-point numbers, or have more than 16 bits.
    """
    if picture.mode == "F":
        raise UserError("its pixels are floating-point numbers, which have no black and white")
    if picture.mode.startswith("I"):
        # Pillow itself would cut off all values above 255.
        pixels = np.asarray(picture).astype(np.int64)
        if pixels.min() < 0 or pixels.max() > 65535:
            raise UserError("its pixels have more than 16 bits")
        return Image.fromarray(((pixels + 128) // 257).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        behind = Image.new("RGBA", picture.size, (background,) * 3)
        picture = Image.alpha_composite(behind, picture)
    if picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
    return picture.convert("L")


def _no_picture(path: Path) -> str:
    try:
        kind = idx.described(idx.beginning(path))
    except idx.IdxError as error:
        return str(error).rstrip(".")
    if not kind.remedy or kind.remedy == kinds.PICTURE:
        return "it is damaged, or not a picture of a kind that can be read"
    return f"it is {kind.name}"


def _unreadable(folder: Path, odd: dict[str, str]) -> UserError:
    files = "".join(f"\n  {name}: {reason}" for name, reason in sorted(odd.items()))
    return UserError(
        f"expected only pictures in a folder for each class in {folder}, "
        f"found {len(odd)} other file(s):{files}\nRepair or remove them, or leave them "
        "out with `skip_unreadable: true` in an entry of config/my_datasets.yaml."
    )
