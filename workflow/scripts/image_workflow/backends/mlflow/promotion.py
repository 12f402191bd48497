"""Promotion: the alias ``champion`` of a registered model names its best version.

A version has a tag with its validation accuracy for each choice of held-out images that it was
compared on. Two versions are compared only if both were measured on the same images.
"""

import mlflow
from mlflow.entities.model_registry import ModelVersion

from image_workflow.backends.interface import Validation
from image_workflow.backends.mlflow.unfinished import delete_version_tag
from image_workflow.lineage.results import Promotion

CHAMPION = "champion"
#: The beginning of a tag with a validation accuracy. The rest says which images were held out.
ACCURACY = "validation_accuracy."
#: The tag with the number of the version that was the champion before, or NOBODY.
REPLACED, NOBODY = "replaced_version", "none"


def accuracy_tags(validation: Validation | None) -> dict[str, str]:
    """Return the tag with a validation accuracy, if there is one."""
    return {tag_name(validation): repr(validation.accuracy)} if validation else {}


def tag_name(validation: Validation) -> str:
    """Return the name of the tag with the accuracy on these images."""
    return ACCURACY + validation.images[:16]


def promote(name: str, number: int, validation: Validation | None) -> Promotion:
    """Give a version the alias, unless the present champion is better or cannot be compared.

    A server has no lock, so two clients can replace the same champion at the same time. Each sets
    the alias first and the tag ``replaced_version`` second, and then looks for the tags of others.
    The one that looks last finds the other, and gives the alias to the better version.

    Parameters
    ----------
    name : str
        The registered model's name.
    number : int
        The version.
    validation : Validation or None
        The version's validation accuracy.
    """
    client = mlflow.MlflowClient()
    # Read these tags before the alias: who replaces the same champion meanwhile has no tag here.
    earlier = {int(found.version): found.tags.get(REPLACED) for found in versions_of(name)}
    champion = champion_of(name)
    if champion and int(champion.version) == number:
        replaced = champion.tags.get(REPLACED, "")
        before = int(replaced) if replaced.isdecimal() else None
        return Promotion(True, before, "it was the champion already")
    if problem := reason_to_keep(champion, validation):
        return Promotion(False, None, problem)

    replaced = champion.version if champion else NOBODY
    client.set_registered_model_alias(name, CHAMPION, str(number))
    client.set_model_version_tag(name, str(number), REPLACED, str(replaced))
    rivals = [
        (float(found.tags[tag_name(validation)]), int(found.version))
        for found in versions_of(name)
        if int(found.version) != number
        and found.tags.get(REPLACED) == str(replaced) != earlier.get(int(found.version))
        and tag_name(validation) in found.tags
    ]
    best_accuracy, best = max([(validation.accuracy, number), *rivals])
    if rivals:
        client.set_registered_model_alias(name, CHAMPION, str(best))
    if best != number:
        delete_version_tag(name, str(number), REPLACED)
        return Promotion(
            False,
            None,
            f"version {best} became the champion at the same time, with the validation accuracy "
            f"{best_accuracy:.6g}, and it has {validation.accuracy:.6g}",
        )
    if champion is None:
        return Promotion(True, None, "there was no champion")
    return Promotion(
        True,
        int(champion.version),
        f"its validation accuracy is {validation.accuracy:.6g}, that of version "
        f"{champion.version} is {float(champion.tags[tag_name(validation)]):.6g}",
    )


def reason_to_keep(champion: ModelVersion | None, validation: Validation | None) -> str | None:
    """Return why a version must not replace the champion, or None.

    Parameters
    ----------
    champion : ModelVersion or None
        The present champion.
    validation : Validation or None
        The version's validation accuracy.
    """
    if validation is None:
        return (
            "it has no validation accuracy, because nothing was compared. Give a list of values, "
            "such as regularization=[0.5,2], and run again"
        )
    if champion is None:
        return None
    accuracy = champion.tags.get(tag_name(validation))
    if accuracy is None:
        return (
            f"the champion, version {champion.version}, has no validation accuracy on the same "
            "images: it had another training set, seed or validation_fraction, or nothing was "
            "compared. Compare the two versions yourself, and give the better one the alias "
            f"{CHAMPION} in MLflow"
        )
    if validation.accuracy < float(accuracy):
        return (
            f"its validation accuracy is {validation.accuracy:.6g}, below that of the champion, "
            f"version {champion.version}: {float(accuracy):.6g}"
        )
    return None


def versions_of(name: str) -> list[ModelVersion]:
    """Return all versions of a registered model."""
    return list(mlflow.MlflowClient().search_model_versions(f"name = '{name}'"))


def champion_of(name: str) -> ModelVersion | None:
    """Return the version that has the alias, or None."""
    client = mlflow.MlflowClient()
    number = client.get_registered_model(name).aliases.get(CHAMPION)
    return client.get_model_version(name, number) if number else None
