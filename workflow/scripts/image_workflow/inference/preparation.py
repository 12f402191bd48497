"""Bring a picture to the form of the training images."""

import numpy as np
from PIL import Image

from image_workflow.inference.model_input import ModelInput


def prepared(picture: Image.Image, model_input: ModelInput) -> np.ndarray:
    """Return a picture as the image that the model takes.

    Parameters
    ----------
    picture : PIL.Image.Image
        Of any mode and size.
    model_input : ModelInput

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
    """
    size = model_input.columns, model_input.rows
    return np.asarray(picture.convert("L").resize(size, Image.Resampling.BILINEAR))
