"""The data sets that a user can choose: the entries of two files, or a path.

An entry has either ``files``, four IDX files with known checksums to download, or ``images``, the
user's own images to convert.
"""

import os
import re
import unicodedata
from pathlib import Path

from image_workflow.configuration import ConfigurationError, checked, load, nearest
from image_workflow.paths import expanded


def load_entries(files: list[Path], schemas: Path) -> dict[str, dict]:
    """Return the entries of all files, by name, completed with the defaults.

    Parameters
    ----------
    files : list of pathlib.Path
        YAML files. All but the first may be missing or empty.
    schemas : pathlib.Path
        The folder with the JSON Schemas of both kinds of entries.

    Raises
    ------
    ConfigurationError
        If an entry has a wrong key or value, or if two entries have the same name.
    """
    kinds = {
        key: load(schemas / f"{name}.schema.yaml")
        for key, name in (("files", "idx_files"), ("images", "own_images"))
    }
    entries = {}
    for file in files:
        for name, entry in _entries_of(file, optional=file != files[0]).items():
            where = f"{file}: {name}"
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
                raise ConfigurationError(
                    f"{file}: {name!r} is not allowed as a name; use letters, digits, `_` and `-`, "
                    "and put numbers in quotes."
                )
            if name in entries:
                raise ConfigurationError(f"{where} is in config/datasets.yaml already; rename it.")
            kind = next((key for key in kinds if isinstance(entry, dict) and key in entry), None)
            if kind is None:
                raise ConfigurationError(
                    f"{where} needs `images`, the path of your images, or `files` and `sources`."
                )
            entries[name] = checked(entry, kinds[kind], where)
    return entries


def _entries_of(file: Path, optional: bool) -> dict:
    content = load(file) if file.exists() or not optional else None
    if content is None and optional:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: expected names with entries, found {content!r}.")
    return content


def chosen_entry(dataset: str, entries: dict[str, dict], schemas: Path) -> tuple[str, dict]:
    """Return the name and the entry of the configured data set.

    Parameters
    ----------
    dataset : str
        The name of an entry, or a path of images to convert with the default options.
    entries : dict of dict
        See :func:`load_entries`.
    schemas : pathlib.Path
        The folder with the JSON Schemas.

    Raises
    ------
    ConfigurationError
        If there is neither such an entry nor such a file or folder.
    """
    if dataset in entries:
        return dataset, entries[dataset]
    if os.path.exists(expanded(dataset)):
        name = name_of(expanded(dataset))
        schema = load(schemas / "own_images.schema.yaml")
        # A folder may be called as an entry is, such as digits/.
        name += "-images" if name in entries else ""
        return name, checked({"images": dataset}, schema, "config")
    raise ConfigurationError(
        f"config: dataset cannot be {dataset!r}, which is neither a data set nor an existing path; "
        f"{nearest(dataset, list(entries))}"
    )


def name_of(path: Path) -> str:
    """Return a data set's name for a path: the last part, in plain letters.

    Examples
    --------
    >>> name_of(Path("Bilder/Grüne Bäume")), name_of(Path("digits/train.csv"))
    ('Grune-Baume', 'train')
    """
    stem = path.resolve().name if path.is_dir() else path.resolve().name.split(".")[0]
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    return re.sub("[^A-Za-z0-9_-]+", "-", plain).strip("-_")[:100] or "images"
