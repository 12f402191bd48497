"""Check that arrays and model belong to the configuration, before the model is registered."""

from pathlib import Path

import numpy as np

from image_workflow.data import idx
from image_workflow.errors import UserError
from image_workflow.lineage.results import Training


def check_arrays(arrays: dict[str, np.ndarray], idx_sha256: dict[str, str], folder: Path) -> None:
    """Raise UserError unless each array is the content of its IDX file in config/datasets.yaml.

    Parameters
    ----------
    arrays : dict of ndarray
        The four arrays, see :func:`image_workflow.data.arrays.load_arrays`.
    idx_sha256 : dict of str
        The configured checksums of the uncompressed IDX files, by array name.
    folder : pathlib.Path
        Where the arrays were read from.
    """
    for name, array in arrays.items():
        found = idx.payload_sha256(array)
        if found != idx_sha256[name]:
            raise UserError(
                f"{folder / name}.npy is not of the configured data set: expected sha256 "
                f"{idx_sha256[name]} of its IDX payload, found {found}. Delete it and run again."
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
            f"{training.model_sha256}, found {model_sha256}. Delete it and run again."
        )
    if training.arguments != arguments:
        raise UserError(
            f"{model} was not trained as the configuration says: expected "
            f"{' '.join(arguments)!r}, found {' '.join(training.arguments)!r} in "
            f"{training_file}. Delete {model} and run again."
        )
