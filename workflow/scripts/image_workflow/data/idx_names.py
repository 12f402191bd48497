"""Find a data set's IDX files in a folder, under the names that the usual data sets have."""

import re
from pathlib import Path

from image_workflow.data import idx
from image_workflow.errors import UserError
from image_workflow.lineage.checksums import sha256_of_file
from image_workflow.paths import visible_files

#: train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte.gz,
#: qmnist-train-labels-idx2-int.gz, train-images.gz, and the like. Browsers add " (1)" to a name.
NAME = re.compile(
    r"(?:.*[-_.])?(train|t10k|test)[-_.](images|labels)(?:[-_.]idx\d?(?:[-_.]\w+)?)?"
    r"(?: ?\(\d+\))?(?:\.gz)?",
    re.I,
)


def find_idx_files(folder: Path) -> dict[str, Path]:
    """Return the IDX files in a folder and its subfolders, gzipped or raw.

    A file may be there several times with the same content, as in Kaggle's archive.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    dict of pathlib.Path
        By ``train-images``, ``train-labels``, ``test-images`` and ``test-labels``; without the
        files that were not found.

    Raises
    ------
    UserError
        If there are several files with different content for the same key.
    """
    found = {}
    for path in visible_files(folder) if folder.is_dir() else []:
        key = key_of(path.name)
        if key is None:
            continue
        first = found.setdefault(key, path)
        if first != path and _content(first) != _content(path):
            raise UserError(
                f"expected one file of {key} in {folder}, found two with different content, "
                f"{first.relative_to(folder)} and {path.relative_to(folder)}. Leave only the files "
                "of one data set in the folder."
            )
    return found


def key_of(name: str) -> str | None:
    """Return what an IDX file contains, by its name, or None for other names.

    Examples
    --------
    >>> key_of("emnist-letters-test-images-idx3-ubyte.gz"), key_of("t10k-labels.idx1-ubyte")
    ('test-images', 'test-labels')
    >>> key_of("readme.txt")
    """
    match = NAME.fullmatch(name)
    if match is None:
        return None
    part, kind = match[1].lower(), match[2].lower()
    return f"{'train' if part == 'train' else 'test'}-{kind}"


def _content(path: Path) -> str:
    """Return the checksum of the uncompressed content, or of a damaged file as it is."""
    try:
        return idx.file_payload_sha256(path)
    except idx.IdxError:
        return sha256_of_file(path)
