"""The folder that MLflow stores for a model: a Pipeline that takes bytes, and how to call it.

``mlflow.sklearn.load_model`` returns the Pipeline, with scikit-learn alone. It takes flat bytes.
``mlflow.pyfunc.load_model`` returns the classifier of :mod:`image_workflow.inference`, which checks
the images and answers class names. The folder has a copy of its code.
"""

import logging
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME, ModelInfo

from image_workflow.backends.interface import Registration
from image_workflow.backends.mlflow.texts import (
    class_names,
    requirements,
    serialization_format,
)
from image_workflow.data.arrays import find_array
from image_workflow.inference import mlflow_loader
from image_workflow.inference.classifier import ImageClassifier
from image_workflow.inference.model_input import INPUT_FILE, ModelInput
from image_workflow.lineage.code import copy_code
from image_workflow.models.estimator import load_model

# It warns of every pickle that it writes. Whoever loads one has to take care.
logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)

EXAMPLES = 5  # test images in the model's input example
LOADER = Path(mlflow_loader.__file__)
#: The name of the copy of our code. With its own name it would hide the workflow's package from a
#: process that has loaded a version.
PACKAGE = "registered_image_model"


def log_model(registration: Registration) -> ModelInfo:
    """Log the model in the active run."""
    file = registration.estimator_file
    model = load_model(registration.model, registration.sha256["model"], file and file.parent)
    model_input = registration.data_set.model_input()
    classifier = ImageClassifier.from_model(model, model_input)
    example = find_array(registration.data_folder, "test-images")[:EXAMPLES]
    answer = mlflow_loader.PythonModel(classifier).predict(example)
    with tempfile.TemporaryDirectory() as folder:
        copy_code(LOADER, Path(folder, PACKAGE))
        if file:
            # MLflow would store the folder of a module with everything in it.
            copy_code(file, Path(folder))
        return Model.log(
            artifact_path=None,
            name="model",
            flavor=sys.modules[__name__],
            sk_model=classifier.pipeline,
            model_input=model_input,
            code_paths=sorted(map(str, Path(folder).iterdir())),
            serialization_format=serialization_format(registration),
            signature=mlflow.models.infer_signature(example, answer),
            input_example=example,
            pip_requirements=requirements(registration),
            metadata={"class_names": class_names(registration)},
        )


def save_model(path: str, mlflow_model: Model, model_input: ModelInput, **options) -> None:
    """Write the folder. MLflow calls this function, because this module is a flavor for it.

    Parameters
    ----------
    path : str
        The folder to write.
    mlflow_model : mlflow.models.Model
        The content of the folder's file MLmodel.
    model_input : ModelInput
    **options
        The arguments of ``mlflow.sklearn.save_model``.
    """
    mlflow.sklearn.save_model(path=path, mlflow_model=mlflow_model, **options)
    model_input.write(Path(path, INPUT_FILE))
    called = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    called[mlflow.pyfunc.MAIN] = f"{PACKAGE}.{LOADER.stem}"
    mlflow_model.save(str(Path(path, MLMODEL_FILE_NAME)))
