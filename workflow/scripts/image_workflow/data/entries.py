"""The data sets that a user can choose: the entries of two files, or a path.

An entry has either ``files``, four IDX files with known checksums to download, or ``images``, the
user's own images to convert.
"""

import os
import re
import unicodedata
from pathlib import Path

from image_workflow.configuration import ConfigurationError, checked, load, shown
from image_workflow.conversion import FILE_KEYS
from image_workflow.errors import UserError, nearest
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
            if not isinstance(name, str) or not re.fullmatch(
                r"[A-Za-z0-9][A-Za-z0-9_-]{,99}", name
            ):
                raise ConfigurationError(
                    f"{file}: {shown(name)} is not allowed as a name; use at most 100 letters, "
                    "digits, `_` and `-`, and put numbers in quotes."
                )
            where = f"{file}: {name}"
            if name in entries:
                raise ConfigurationError(f"{where} is in config/datasets.yaml already; rename it.")
            kind = next((key for key in kinds if isinstance(entry, dict) and key in entry), None)
            if kind is None:
                raise ConfigurationError(
                    f"{where} needs `images`, the path of your images, or `files` and `sources`."
                )
            entries[name] = checked(entry, kinds[kind], where)
            _resolve_paths(entries[name], file.parents[1])
            if kind == "files":
                # Some programs print checksums in capital letters.
                checksums = entry["files"].items()
                entries[name]["files"] = {key: sha256.lower() for key, sha256 in checksums}
    return entries


def _resolve_paths(entry: dict, top: Path) -> None:
    """Let the relative paths of an entry begin at ``top``, the folder that contains its config/."""
    if top == Path():
        return
    for place, keys in [
        (entry, FILE_KEYS),
        *((each, ["folder"]) for each in entry.get("sources", [])),
    ]:
        for key in place.keys() & keys:
            if not place[key].startswith(("~", "$")):
                place[key] = os.path.join(top, place[key])


def _entries_of(file: Path, optional: bool) -> dict:
    content = load(file) if file.exists() or not optional else None
    if content is None and optional:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file}: expected names with entries, found {shown(content)}.")
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
    try:
        if dataset in entries:
            for key in FILE_KEYS:
                expanded(entries[dataset].get(key, ""))
            return dataset, entries[dataset]
        place = expanded(dataset)
    except UserError as error:
        raise ConfigurationError(f"config: the data set {shown(dataset)}: {error}") from error
    if os.path.exists(place):
        name = name_of(place)
        schema = load(schemas / "own_images.schema.yaml")
        # A folder may be called as an entry is, such as digits/.
        name += "-images" if name in entries else ""
        return name, checked({"images": dataset}, schema, "config")
    raise ConfigurationError(
        f"config: dataset cannot be {shown(dataset)}, which is neither a data set nor an existing "
        f"path; {nearest(dataset, list(entries))}"
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
