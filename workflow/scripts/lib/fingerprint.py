"""The fingerprint of a training run: equal fingerprints mean the same model."""

import hashlib
import json
from pathlib import Path


def fingerprint(
    data_sha256: str, code: list[Path], folder: Path, arguments: list[str], pins: dict[str, str]
) -> str:
    """Return the sha256 of all that decides the model.

    Parameters
    ----------
    data_sha256 : str
        The checksum of the data.
    code : list of pathlib.Path
        The training script and the modules of ours that it imports.
    folder : pathlib.Path
        Where they are; their names below it are part of the code.
    arguments : list of str
        The training script's arguments.
    pins : dict of str
        The versions of the packages, by package.
    """
    content = {
        "data": data_sha256,
        "code": {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in code
        },
        "arguments": arguments,
        "pins": pins,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
