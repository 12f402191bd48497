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
from PIL import Image
from tqdm import tqdm

from image_workflow.conversion.parts import Part, Source
from image_workflow.conversion.pixels import FORMATS, grey_of_size
from image_workflow.data import idx, kinds
from image_workflow.errors import UserError
from image_workflow.paths import UNFIT, scan, shown_name, visible_files

log = logging.getLogger(__name__)

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
        sizes = read_all(pool, _size, {each.name: each.path for each in pictures}, odd)
        readable = [picture for picture in pictures if picture.name in sizes]
        if size is None and readable:
            size = _default_size(sizes.values())
        files = {each.name: each.path for each in readable}
        read = read_all(pool, lambda path: _read(path, size, fit, polarity), files, odd)
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


def read_all(
    pool: ThreadPoolExecutor,
    function: Callable[[Path], object],
    files: dict[str, Path],
    odd: dict[str, str],
) -> dict[str, object]:
    """Return the function's result for each picture by name, and add the failures to ``odd``.

    Parameters
    ----------
    pool : concurrent.futures.ThreadPoolExecutor
    function : callable
        Reads a file.
    files : dict of pathlib.Path
        The files by name.
    odd : dict of str
        Gets the reason for each file that cannot be read, by name.
    """

    def attempt(path: Path) -> tuple[object, str | None]:
        try:
            return function(path), None
        except Image.UnidentifiedImageError:
            return None, _no_picture(path)
        # Pillow raises exceptions of many kinds for damaged files.
        except Exception as error:
            return None, getattr(error, "strerror", None) or str(error) or type(error).__name__

    results = {}
    bar = tqdm(files, unit=" pictures", leave=False, disable=None)
    for name, (result, reason) in zip(bar, pool.map(attempt, files.values()), strict=True):
        if reason is None:
            results[name] = result
        else:
            odd[name] = reason.rstrip(".")
    return results


def _size(path: Path) -> tuple[int, int]:
    """Return the rows and columns that a picture has when it is upright."""
    with Image.open(path, formats=FORMATS) as opened:
        columns, rows = opened.size
        turned = opened.getexif().get(EXIF_ORIENTATION) in TURNED
        return (columns, rows) if turned else (rows, columns)


def _default_size(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    rows, columns = (median(sides) for sides in zip(*sizes, strict=True))
    scale = min(1, LONGEST_SIDE / max(rows, columns))
    return max(round(rows * scale), 1), max(round(columns * scale), 1)


def _read(path: Path, size: tuple[int, int], fit: str, polarity: str) -> tuple[np.ndarray, bool]:
    """Return a picture as a grey image, and whether it was in colour."""
    with Image.open(path, formats=FORMATS) as opened:
        image = np.asarray(grey_of_size(opened, size, fit, polarity))
        return image, opened.mode not in ("1", "L", "LA") and not opened.mode.startswith("I")


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
