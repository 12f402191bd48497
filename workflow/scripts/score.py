"""Answer requests with a model: the entry script of Azure ML's inference server.

The server calls :func:`init` once, and :func:`run` with the body of each request. A deployment has
this file, the modules that it imports, and the model.
"""

import base64
import binascii
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# The server loads this file by its path, so Python does not find the modules beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import joblib
import numpy as np
from PIL import Image

from image_workflow.inference.classifier import ImageClassifier, images_of_numbers
from image_workflow.inference.model_input import INPUT_FILE, InputError, ModelInput
from image_workflow.inference.preparation import prepared, read_picture

if TYPE_CHECKING:
    from azureml_inference_server_http.api.aml_response import AMLResponse

MAXIMUM_PIXELS = 50_000_000  # of a picture: more than a telephone's camera takes
EXPECTED = (
    'expected {"data": [[pixels of an image], ...]} or {"picture": "data:image/png;base64,..."}'
)

#: The model; set by :func:`init`.
classifier: ImageClassifier


def init() -> None:
    """Load the model from the folder that the variable AZUREML_MODEL_DIR names."""
    global classifier
    classifier = loaded(Path(os.environ["AZUREML_MODEL_DIR"]))


def run(raw: str) -> "dict | AMLResponse":
    """Return the answer to a request.

    Parameters
    ----------
    raw : str
        JSON: ``{"data": ...}`` with a list of numbers, or a list of rows, for each image; or
        ``{"picture": ...}`` with the file of a picture in base64, or as a data URL.

    Returns
    -------
    dict or AMLResponse
        ``labels``, ``probabilities`` and ``class_names``; for a picture also ``image``, what the
        model saw. For a wrong request a response with status 400 and the key ``message``.

    Raises
    ------
    InputError
        If the request is wrong, and Azure ML's server is not installed.
    """
    try:
        return answer(raw)
    except InputError as error:
        return refusal(error)


def loaded(folder: Path) -> ImageClassifier:
    """Return the model below a folder.

    It is a version of MLflow's registry, whose model takes bytes, or the model.pkl of Azure ML's,
    whose model takes pixels from 0 to 1. The description of its input is beside the model or beside
    this file.
    """
    found = [*folder.rglob("model.skops"), *folder.rglob("*model.pkl")]
    if not found:
        raise FileNotFoundError(f"expected model.skops or model.pkl in {folder}, found neither")
    file = min(found, key=lambda path: len(path.parts))
    if (file.parent / "MLmodel").exists():
        # The modules of the user's own estimator.
        sys.path.append(str(file.parent / "code"))
        return ImageClassifier.load(file.parent)
    places = [file.parent / INPUT_FILE, Path(__file__).resolve().with_name(INPUT_FILE)]
    model_input = ModelInput.read(next(filter(Path.exists, places), places[0]))
    return ImageClassifier.from_model(joblib.load(file), model_input)


def answer(raw: str) -> dict:
    """Return the answer to a request, or raise InputError."""
    if not raw.strip():
        # The server reads a body of another type as a form, such as curl's without the header.
        raise InputError(
            f"{EXPECTED}, found an empty request. Send JSON with the header Content-Type: "
            "application/json."
        )
    try:
        request = json.loads(raw)
    # The second for a number of too many digits, the third for a list in a list in a list ...
    except (ValueError, RecursionError) as error:
        raise InputError(f"{EXPECTED}, found no JSON: {str(error).rstrip('.')}.") from None
    if not isinstance(request, dict) or len(request.keys() & {"data", "picture"}) != 1:
        found = ", ".join(sorted(request)) if isinstance(request, dict) else type(request).__name__
        raise InputError(f"{EXPECTED}, found {found[:80] or 'no key'}.")
    if "data" in request:
        if not isinstance(request["data"], list):
            raise InputError(f'{EXPECTED}, found a "data" that is no list.')
        return classifier.predict(images_of_numbers(request["data"])).to_json()
    image = prepared(picture_of(request["picture"]), classifier.input)
    return classifier.predict(image[np.newaxis]).to_json() | {"image": image.tolist()}


def picture_of(text: object) -> Image.Image:
    """Return the picture in a data URL, or in base64 alone."""
    if not isinstance(text, str):
        raise InputError(f'{EXPECTED}, found a "picture" that is no text.')
    try:
        file = base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f'{EXPECTED}, found a "picture" that is not in base64.') from None
    picture = read_picture(io.BytesIO(file))
    if picture.width * picture.height > MAXIMUM_PIXELS:
        raise InputError(
            f"expected a picture of at most {MAXIMUM_PIXELS:,} pixels, found {picture.width} x "
            f"{picture.height}. Scale it down."
        )
    return picture


def refusal(error: InputError) -> "AMLResponse":
    """Return a response with status 400, or raise the error if there is no server for it."""
    try:
        from azureml_inference_server_http.api.aml_response import AMLResponse
    except ImportError:
        raise error from None
    text = str(error)
    return AMLResponse({"message": text[0].upper() + text[1:]}, 400, json_str=True)
