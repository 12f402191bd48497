"""Paths as users write them, and the files in a folder."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from image_workflow.errors import UserError

SPECIAL = "it is a device, a pipe or a socket"
#: Control characters, line breaks, halves of characters (bytes of a file's name that are not
#: UTF-8), and characters that turn the direction of the text that follows.
UNFIT = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
#: Files that operating systems put into folders of pictures, besides hidden files.
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def expanded(path: str) -> Path:
    """Return a path with ``~`` and environment variables replaced.

    Raises
    ------
    UserError
        If there is a device, a pipe or a socket, which might never end.
    """
    found = Path(os.path.expanduser(os.path.expandvars(path)))
    if os.path.exists(found) and not (os.path.isfile(found) or os.path.isdir(found)):
        raise UserError(f"{found} cannot be read: {SPECIAL}. Name a file or a folder.")
    return found


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders, without hidden and system files, sorted.

    Raises
    ------
    UserError
        If there is a device, a pipe or a socket, which might never end.
    """
    entries = list(scan(folder))
    for entry in entries:
        if not _is(entry.is_file) and os.path.exists(entry.path):  # not a broken link either
            raise UserError(f"{shown_name(entry.path)} cannot be read: {SPECIAL}. Remove it.")
    return sorted(Path(entry.path) for entry in entries)


def listed(folder: Path) -> str:
    """Return the names of the first files in a folder, and the number of the others."""
    names = [shown_name(str(path.relative_to(folder))) for path in visible_files(folder)]
    more = [f"{len(names) - 3:,} more"] if len(names) > 3 else []
    return ", ".join(names[:3] + more) or "no files"


def shown_name(name: str) -> str:
    """Return a file's name for a message, with escapes for characters that do not show."""
    return UNFIT.sub(lambda match: ascii(match[0])[1:-1], name)


def scan(folder: Path | str, above: tuple[str, ...] = ()) -> Iterator[os.DirEntry]:
    """Yield the files of a folder and its subfolders, except hidden and system files, as entries.

    They come in the order of the file system. A link to a folder is followed, unless it leads to
    one of the folders ``above``, so in a circle.
    """
    above = (*above, os.path.realpath(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
                continue
            if _is(entry.is_dir):
                if not (entry.is_symlink() and _leads_up(entry.path, above)):
                    yield from scan(entry.path, above)
            else:
                yield entry


def _is(kind: Callable[[], bool]) -> bool:
    """Return whether an entry is of a kind. A link that leads to itself is of none."""
    try:
        return kind()
    except OSError:
        return False


def _leads_up(link: str, above: tuple[str, ...]) -> bool:
    """Tell whether a link leads to one of these folders, or to a folder that contains one."""
    target = os.path.realpath(link)
    return any(os.path.commonpath([target, folder]) == target for folder in above)
