"""What a model was made from: checksums of model, data and code."""

import argparse
import hashlib
from pathlib import Path

import numpy as np

from lib import code, idx
from lib.command import UserError

SETS = "train-images", "train-labels", "test-images", "test-labels"


def load_sets(folder: Path) -> list[np.ndarray]:
    """Return the four arrays of a data set as memory maps, in the order of ``SETS``."""
    return [np.load(folder / f"{part}.npy", mmap_mode="r") for part in SETS]


def provenance(model: Path, arrays: list[np.ndarray], training_script: Path) -> dict[str, str]:
    """Return the sha256 of the model, of the data, and of the code that trained it.

    The data's is that of the four IDX payloads, one after the other; the code's is that of the
    training script and the modules it imports, one after the other.
    """
    files = code.files(training_script)
    return {
        "model": hashlib.sha256(model.read_bytes()).hexdigest(),
        "data": idx.payload_sha256(*arrays),
        "code": hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest(),
    }


def check_chain(
    options: argparse.Namespace,
    training: dict,
    model_sha256: str,
    arrays: list[np.ndarray],
) -> None:
    """Check that data and model are those of the configuration, before the model is registered.

    Parameters
    ----------
    options : argparse.Namespace
        Of the program that registers. ``data_sha256`` has the four checksums of the configured
        data set in the order of ``SETS``, ``arguments`` the configured arguments of the training.
    training : dict
        The content of training.json.
    model_sha256 : str
        The checksum of model.pkl.
    arrays : list of ndarray
        The four arrays, in the order of ``SETS``.

    Raises
    ------
    UserError
        If one of them is another one.
    """
    for part, array, expected in zip(SETS, arrays, options.data_sha256, strict=True):
        found = idx.payload_sha256(array)
        if found != expected:
            raise UserError(
                f"{options.data_folder / part}.npy is not of the configured data set: expected "
                f"sha256 {expected} of its IDX payload, found {found}. Delete it and run again."
            )
    if model_sha256 != training["model_sha256"]:
        raise UserError(
            f"{options.model} is not the model that {options.training} describes: expected sha256 "
            f"{training['model_sha256']}, found {model_sha256}. Delete it and run again."
        )
    if training["arguments"] != options.arguments:
        raise UserError(
            f"{options.model} was not trained as the configuration says: expected "
            f"{' '.join(options.arguments)!r}, found {' '.join(training['arguments'])!r} in "
            f"{options.training}. Delete {options.model} and run again."
        )
