"""Paths as users write them, and the files in a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

#: Files that operating systems put into folders of pictures, besides hidden files.
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def expanded(path: str) -> Path:
    """Return a path with ``~`` and environment variables replaced."""
    return Path(os.path.expanduser(os.path.expandvars(path)))


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders, without hidden and system files, sorted."""
    return sorted(Path(entry.path) for entry in scan(folder))


def listed(folder: Path) -> str:
    """Return the names of the first files in a folder, and the number of the others."""
    names = [str(path.relative_to(folder)) for path in visible_files(folder)]
    more = [f"{len(names) - 3:,} more"] if len(names) > 3 else []
    return ", ".join(names[:3] + more) or "no files"


def scan(folder: Path | str) -> Iterator[os.DirEntry]:
    """Yield the files of a folder and its subfolders, except hidden and system files, as entries.

    They come in the order of the file system.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
                continue
            if entry.is_dir():
                if not (entry.is_symlink() and _leads_up(entry.path)):
                    yield from scan(entry.path)
            else:
                yield entry


def _leads_up(link: str) -> bool:
    """Tell whether a link to a folder leads to a folder that contains it, so without an end."""
    target = os.path.realpath(link)
    return os.path.commonpath([target, os.path.realpath(os.path.dirname(link))]) == target
