"""Paths as users write them, and the files in a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

#: Files that operating systems put into folders of pictures, besides hidden files.
SYSTEM_FILES = {"thumbs.db", "desktop.ini"}


def expanded(path: str) -> Path:
    """Return a path with ``~`` and environment variables replaced."""
    return Path(os.path.expandvars(path)).expanduser()


def visible_files(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders, without hidden and system files, sorted."""
    return sorted(Path(entry.path) for entry in scan(folder))


def scan(folder: Path | str) -> Iterator[os.DirEntry]:
    """Yield the same files in the order of the file system, as entries that know their size."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in SYSTEM_FILES:
                continue
            if entry.is_dir():
                yield from scan(entry.path)
            else:
                yield entry
