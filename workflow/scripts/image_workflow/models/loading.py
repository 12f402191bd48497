"""Load the model in results/ with the description of its input."""

from pathlib import Path

import numpy as np

from image_workflow.errors import UserError
from image_workflow.inference.classifier import ImageClassifier
from image_workflow.lineage.results import DataSet, Training
from image_workflow.models.estimator import load_model

RUN = "Run snakemake results/model.pkl, or name the folder of the results with --model."


def classifier_of_results(folder: Path, estimator_folder: Path | None) -> ImageClassifier:
    """Return the classifier in a folder of results.

    Parameters
    ----------
    folder : pathlib.Path
        Has model.pkl, training.json and dataset.json.
    estimator_folder : pathlib.Path or None
        Has the user's file with the class of the model, and the modules that it imports.

    Raises
    ------
    UserError
        If a file is missing, or if the three do not belong together.
    """
    model_file = folder / "model.pkl"
    for path in (model_file, folder / "training.json", folder / "dataset.json"):
        if not path.exists():
            raise UserError(f"{path} is missing, so there is no model to predict with. {RUN}")
    data_set = DataSet.read(folder / "dataset.json")
    sha256 = Training.read(folder / "training.json").model_sha256
    try:
        model = load_model(model_file, sha256, estimator_folder)
    except (ImportError, AttributeError) as error:
        raise missing_module(model_file, error) from error
    n_pixels, names = data_set.rows * data_set.columns, data_set.class_names()
    taken = getattr(model, "n_features_in_", n_pixels)
    labels = {int(label) for label in np.ravel(getattr(model, "classes_", []))}
    if taken != n_pixels or not names.keys() >= labels:
        raise UserError(
            f"{model_file} takes {taken} pixels and knows {len(labels)} classes, but the "
            f"images of {folder / 'dataset.json'} have {n_pixels} pixels and {len(names)} classes. "
            f"{RUN}"
        )
    return ImageClassifier.from_model(model, data_set.model_input())


def missing_module(model: Path | str, error: Exception) -> UserError:
    """Return the error for a model whose class cannot be imported."""
    return UserError(
        f"{model} needs code that Python does not find ({error}). Name the folder of the file with "
        "its estimator with --estimator-folder, and install the packages that it imports."
    )
