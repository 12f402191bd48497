"""What MLflow shows of a model: names, descriptions, parameters and tags."""

import importlib.metadata
import json
import re
from dataclasses import asdict
from textwrap import shorten

from mlflow.utils.validation import (
    MAX_ENTITY_KEY_LENGTH,
    MAX_PARAM_VAL_LENGTH,
    MAX_TAG_VAL_LENGTH,
)

from image_workflow.backends.interface import Registration
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.pins import pinned_packages
from image_workflow.lineage.results import COMMON_SETTINGS, RATE, short_name
from image_workflow.models.settings import LOGISTIC_REGRESSION

NAMES = 30  # classes in a description
PARAMETERS = 200  # characters of the parameters in a description

#: The tag of a run and of a version with the digest of model_input.json.
INPUT_TAG = "model_input_sha256"
#: The tags that versions and runs of the same model have in common.
SAME = "model_sha256", "data_sha256", "estimator_sha256", INPUT_TAG
MODEL_DESCRIPTION = (
    "Classifies images by their pixels. Each version says which data set it was trained on, how "
    "accurate it is, and at which regularization rate or by which estimator."
)
# MLflow's list of runs shows no metrics. This tag of an experiment adds a view of the list, named
# accuracy, and tools/ui.py prints its address.
RUN_LIST = {
    "mlflow.sharedViewState.accuracy": json.dumps(
        {
            "selectedColumns": [
                "metrics.`accuracy`",
                "params.`estimator`",
                "params.`regularization`",
                "attributes.`Models`",
                "attributes.`Dataset`",
            ],
            "orderByKey": "metrics.`accuracy`",
            "orderByAsc": False,
        }
    )
}


def is_default(registration: Registration) -> bool:
    """Return whether the estimator is logistic_regression."""
    return registration.parameters["estimator"] == LOGISTIC_REGRESSION


def serialization_format(registration: Registration) -> str:
    """Return the format in which MLflow stores the model.

    skops refuses the types of most other estimators, unless the model itself names them as trusted,
    which would protect nobody. It takes many times the time and space for models of many trees,
    while every model is known to be picklable: model.pkl is a pickle.
    """
    return "skops" if is_default(registration) else "pickle"


def run_parameters(registration: Registration) -> dict[str, str]:
    """Return the settings of the training as parameters that MLflow allows.

    The name of a Pipeline's step may have characters that MLflow refuses.
    """
    return {
        cut(re.sub(r"[^\w.\- ]", "_", name), MAX_ENTITY_KEY_LENGTH): cut(text, MAX_PARAM_VAL_LENGTH)
        for name, text in registration.parameters.items()
    }


def cut(text: str, length: int) -> str:
    """Return the text; the end of one that is too long is replaced with a checksum."""
    if len(text) <= length:
        return text
    checksum = f" sha256 {sha256_of_json(text)}"
    return text[: length - len(checksum)] + checksum


def content_tags(registration: Registration) -> dict[str, str]:
    """Return the tags of a run and of a version that say what the model was made from."""
    git = registration.git
    tags = {f"{key}_sha256": value for key, value in registration.sha256.items()}
    tags |= {"git_commit": str(git["commit"]), "git_dirty": str(git["dirty"])}
    model_input = sha256_of_json(asdict(registration.data_set.model_input()))
    return tags | {INPUT_TAG: model_input, "class_names": class_names_tag(registration)}


def score_tags(registration: Registration) -> dict[str, str]:
    """Return the tags that the list of versions shows: the accuracy, and the rate or estimator."""
    metrics, estimator = registration.metrics, registration.parameters["estimator"]
    tags = {"accuracy": f"{metrics.accuracy:.4f}"}
    if is_default(registration):
        return tags | {RATE: f"{metrics.parameters[RATE]:.15g}"}
    return tags | {"estimator": short_name(estimator)}


def class_names(registration: Registration) -> dict[str, str]:
    """Return the name of each class, by its label as text, because JSON has no other keys."""
    return {str(label): name for label, name in registration.data_set.class_names().items()}


def class_names_tag(registration: Registration) -> str:
    """Return the names of the classes as JSON, or their checksum if they are too long for a tag."""
    names = class_names(registration)
    text = json.dumps(names, ensure_ascii=False)
    return text if len(text) <= MAX_TAG_VAL_LENGTH else f"sha256 {sha256_of_json(names)}"


def run_name(registration: Registration) -> str:
    """Return a name such as ``accuracy 0.9193, rate 0.5, mnist``, with an estimator for the rate.

    MLflow's list of runs shows about 25 characters, and no metrics until they are selected.
    """
    scores = score_tags(registration)
    model = scores.get("estimator") or f"rate {scores[RATE]}"
    return f"accuracy {scores['accuracy']}, {model}, {registration.data_set.name}"


def description(registration: Registration) -> str:
    """Describe the model in a few lines of Markdown. Lists show the first 28 characters only."""
    data_set, git = registration.data_set, registration.git
    accuracy, model = score_tags(registration)["accuracy"], described_model(registration)
    names = [plain(name) for label, name in class_names(registration).items() if name != label]
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    listed = f": {', '.join(names[:NAMES])}{more}" if names else ""
    dirty = ", with uncommitted changes" if git["dirty"] else ""
    return "  \n".join(  # Markdown's line break
        [
            f"Accuracy {accuracy} on {plain(data_set.name)}, {plain(model)}",
            f"{data_set.n_train:,} training images and {data_set.n_test:,} test images of "
            f"{data_set.rows} x {data_set.columns} pixels",
            f"{len(data_set.classes)} classes{listed}",
            f"Code of commit {git['commit']}{dirty}" if git["commit"] else "Code outside of git",
        ]
    )


def described_model(registration: Registration) -> str:
    """Return ``at regularization rate 0.5``, or ``by MLPClassifier with alpha=0.1``."""
    scores = score_tags(registration)
    if is_default(registration):
        return f"at regularization rate {scores[RATE]}"
    given = registration.parameters.items()
    chosen = ", ".join(f"{name}={text}" for name, text in given if name not in COMMON_SETTINGS)
    listed = f" with {shorten(chosen, PARAMETERS, placeholder=' ...')}" if chosen else ""
    return f"by {scores['estimator']}{listed}"


def plain(text: str) -> str:
    """Return Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_~<>\[\]])", r"\\\1", text)


def requirements(registration: Registration) -> list[str]:
    """Return the pinned pip requirements that the registered model needs to be loaded."""
    pins = pinned_packages(registration.environment)
    if serialization_format(registration) == "skops":
        pins["skops"] = importlib.metadata.version("skops")
    return [f"{package}=={version}" for package, version in pins.items()]
