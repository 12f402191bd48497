"""Write files completely or not at all."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(*targets: Path) -> Iterator[list[Path]]:
    """Yield a temporary path for each target; rename them to the targets if the block succeeds.

    Each file is flushed to disk before it is renamed. If the block raises, the targets stay as they
    were. Temporary files that a killed program left for the same targets are deleted first.

    Parameters
    ----------
    *targets : pathlib.Path
        The files to write. Missing folders are created.

    Yields
    ------
    list of pathlib.Path
        An empty file for each target, in the same folder.
    """
    parts = []
    try:
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            for abandoned in target.parent.glob(f".{target.name}.*.part"):
                abandoned.unlink(missing_ok=True)
            handle, part = tempfile.mkstemp(".part", f".{target.name}.", target.parent)
            os.close(handle)
            parts.append(Path(part))
        yield parts
        for part in parts:
            share(part)
            flush(part)
        for part, target in zip(parts, targets, strict=True):
            os.replace(part, target)
            flush(target.parent)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def share(path: Path) -> None:
    """Give a file of mkstemp, which only its owner can read, the permissions of a new file."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)


def write_json(path: Path, content: dict) -> None:
    """Write ``content`` as indented JSON, with its keys in their order.

    A list of whole numbers takes one line, so that a matrix has one line for each row.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False)
    text = re.sub(r"\[\n\s+(-?\d+(?:,\n\s+-?\d+)*)\n\s*\]", _on_one_line, text)
    with replacing(path) as (part,):
        part.write_text(text + "\n", encoding="utf-8")


def _on_one_line(numbers: re.Match) -> str:
    return "[" + re.sub(r"\s+", " ", numbers[1]) + "]"


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
