"""Check that arrays and model belong to the configuration, before the model is registered."""

from pathlib import Path

import numpy as np

from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from image_workflow.errors import UserError
from image_workflow.lineage.results import Training


def check_arrays(arrays: dict[str, np.ndarray], idx_sha256: dict[str, str], folder: Path) -> None:
    """Raise UserError unless the arrays are those that dataset.json describes.

    Parameters
    ----------
    arrays : dict of ndarray
        The four arrays, see :func:`image_workflow.data.arrays.load_arrays`.
    idx_sha256 : dict of str
        The checksums of the uncompressed IDX files in dataset.json, by file name.
    folder : pathlib.Path
        Where the arrays were read from.
    """
    for name, array in arrays.items():
        expected, found = idx_sha256[IDX_FILES[name]], idx.payload_sha256(array)
        if found != expected:
            raise UserError(
                f"{folder / name}.npy is not the array that dataset.json describes: expected "
                f"sha256 {expected} of its IDX payload, found {found}. Run again to make it anew."
            )


def check_model(
    model: Path, model_sha256: str, training: Training, training_file: Path, arguments: list[str]
) -> None:
    """Raise UserError unless the model was trained as the configuration says.

    Parameters
    ----------
    model : pathlib.Path
        The model's file, with the checksum ``model_sha256``.
    training : Training
        The content of ``training_file``.
    arguments : list of str
        The configured arguments of the training script.
    """
    if model_sha256 != training.model_sha256:
        raise UserError(
            f"{model} is not the model that {training_file} describes: expected sha256 "
            f"{training.model_sha256}, found {model_sha256}. Run again to train it anew."
        )
    if training.arguments != arguments:
        raise UserError(
            f"{model} was not trained as the configuration says: expected "
            f"{' '.join(arguments)!r}, found {' '.join(training.arguments)!r} in "
            f"{training_file}. Run again to train it anew."
        )
