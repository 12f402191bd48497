"""The JSON files among the results, as types.

Each class is one file in results/, or the part of the receipt that a registry supplies, or the file
that a run in the cloud writes. workflow/schemas/ has a JSON Schema for each file in results/.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from image_workflow.errors import UserError
from image_workflow.files import write_json
from image_workflow.inference.model_input import ModelInput

#: The version of the receipt's schema. Raise it when a key changes its meaning or goes away.
RECEIPT_SCHEMA = 1
#: The only parameter of the estimator logistic_regression.
RATE = "regularization_rate"
#: The settings in the receipt that every estimator has. The others are those of its own.
COMMON_SETTINGS = "estimator", "dataset", "seed"


class Result:
    """A dataclass that is stored as a JSON file, with one key for each field."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the content of a file.

        Raises
        ------
        UserError
            If the file does not have this class's keys.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(
                f"{path} is damaged, or another version of this workflow wrote it. Run "
                "again to make it anew."
            ) from None

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        return cls(**content)

    def to_json(self) -> dict:
        """Return the content in the form in which it is stored."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write the file."""
        write_json(path, self.to_json())


@dataclass(frozen=True)
class ImageClass:
    """A class of images.

    Attributes
    ----------
    label : int
        The number in the arrays of labels, 0 to 255.
    name : str
    n_train, n_test : int
        How many images of the class the training set and the test set have.
    """

    label: int
    name: str
    n_train: int
    n_test: int


@dataclass(frozen=True)
class Conversion(Result):
    """conversion.json: how the user's own images became a data set.

    Attributes
    ----------
    format : str
        The usual name of the format, such as ``CSV`` or ``folder of pictures``.
    from_colour : int
        How many images were converted from colour to grey.
    fit : {"pad", "crop", "stretch"}
        How images of another shape were fitted.
    polarity : {"as_is", "light_on_dark", "dark_on_light"}
        That of the user's images.
    transposed : bool
        Whether rows and columns were exchanged.
    test_share, split_seed : float and int, or None
        How the test set was split off; None if the user's images have one.
    skipped : list of str
        The files that were left out because they could not be read.
    equal_images : list of [str, str]
        A training image and a test image that are equal, for each such test image.
    class_names : dict of str
        The name of each class, by its label as text.
    """

    format: str
    from_colour: int
    fit: str
    polarity: str
    transposed: bool
    test_share: float | None
    split_seed: int | None
    skipped: list[str]
    equal_images: list[list[str]]
    class_names: dict[str, str]


@dataclass(frozen=True)
class DataSet(Result):
    """dataset.json: the images that the arrays contain.

    Attributes
    ----------
    name : str
    description, license : str or None
    rows, columns : int
        The size of an image in pixels.
    n_train, n_test : int
        How many images the training set and the test set have.
    maximum : int
        The largest pixel of the training images.
    polarity : {"light_on_dark", "as_is"}
        ``light_on_dark``: 0 is the background, and pictures show 255 as black on white.
        ``as_is``: photographs, and pictures show 0 as black and 255 as white.
    prepare : {"mnist", "digits", "fit"}
        How a picture of the user becomes an image such as these, see
        :mod:`image_workflow.inference.preparation`.
    classes : list of ImageClass
        Sorted by label.
    conversion : Conversion or None
        How the user's own images became this data set; None for IDX files that were downloaded.
    idx_sha256 : dict of str
        The checksum of each uncompressed IDX file.
    """

    name: str
    description: str | None
    license: str | None
    rows: int
    columns: int
    n_train: int
    n_test: int
    maximum: int
    polarity: str
    prepare: str
    classes: list[ImageClass]
    conversion: Conversion | None
    idx_sha256: dict[str, str]

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        classes = [ImageClass(**found) for found in content["classes"]]
        conversion = content["conversion"] and Conversion(**content["conversion"])
        return cls(**content | {"classes": classes, "conversion": conversion})

    def class_names(self) -> dict[int, str]:
        """Return the name of each class, by its label."""
        return {found.label: found.name for found in self.classes}

    def model_input(self) -> ModelInput:
        """Return the description of what a model that was trained on these images takes."""
        from_idx = "from_border" if self.polarity == "light_on_dark" else "as_is"
        return ModelInput(
            rows=self.rows,
            columns=self.columns,
            maximum=self.maximum,
            class_names=self.class_names(),
            method=self.prepare,
            fit=self.conversion.fit if self.conversion else "pad",
            polarity=self.conversion.polarity if self.conversion else from_idx,
        )


@dataclass(frozen=True)
class Candidate:
    """The score of one point of the grid: of one value for each parameter.

    Attributes
    ----------
    parameters : dict
        The values, by parameter. For the estimator logistic_regression, the only parameter is
        ``regularization_rate``.
    train_accuracy : float
        On the images that the candidate was fitted on.
    validation_accuracy : float
        On the images that were held out.
    """

    parameters: dict
    train_accuracy: float
    validation_accuracy: float

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        return cls(**with_parameters(content))

    def to_json(self) -> dict:
        """Return the content in the form in which it is stored."""
        return with_rate(asdict(self))


@dataclass(frozen=True)
class Sweep(Result):
    """sweep.json: the comparison of the estimator's parameters.

    Attributes
    ----------
    parameters : dict
        The chosen value of each parameter.
    n_train, n_validation : int
        How many images the candidates were fitted on, and how many were held out.
    candidates : list of Candidate
        Empty if each parameter has a single value, because nothing was compared then.
    """

    parameters: dict
    n_train: int
    n_validation: int
    candidates: list[Candidate]

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        candidates = [Candidate.from_json(candidate) for candidate in content["candidates"]]
        return cls(**with_parameters(content) | {"candidates": candidates})

    def to_json(self) -> dict:
        """Return the content in the form in which it is stored."""
        candidates = [candidate.to_json() for candidate in self.candidates]
        return with_rate(asdict(self) | {"candidates": candidates})

    def validation_accuracy(self) -> float | None:
        """Return the chosen candidate's accuracy on the held-out images, or None."""
        return max((found.validation_accuracy for found in self.candidates), default=None)

    def varied(self) -> list[str]:
        """Return the parameters that differ between the candidates."""
        points = [candidate.parameters for candidate in self.candidates]
        # JSON tells 1 from true, which are equal in Python.
        return [
            name
            for name in (points[0] if points else {})
            if len({json.dumps(point[name]) for point in points}) > 1
        ]


@dataclass(frozen=True)
class Metrics(Result):
    """metrics.json: the model on the test set.

    Attributes
    ----------
    accuracy : float
    parameters : dict
        The value of each parameter of the estimator.
    n_train, n_test : int
        How many images the model was trained on and measured on.
    classes : list of int
        The labels, sorted.
    class_names : list of str
        In the order of ``classes``.
    per_class : list of dict
        For each class: ``class``, ``name``, ``precision``, ``recall``, ``f1`` and ``support``.
    confusion_matrix : list of list of int
        One row for each true class and one column for each predicted class, in the order of
        ``classes``.
    """

    accuracy: float
    parameters: dict
    n_train: int
    n_test: int
    classes: list[int]
    class_names: list[str]
    per_class: list[dict]
    confusion_matrix: list[list[int]]

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        return cls(**with_parameters(content))

    def to_json(self) -> dict:
        """Return the content in the form in which it is stored."""
        return with_rate(asdict(self))

    def summary(self) -> dict[str, float]:
        """Return the numbers that the registry and the receipt show."""
        names = "accuracy", RATE, "n_train", "n_test"
        content = self.to_json()
        return {name: content[name] for name in names if name in content}


def value_text(value: object) -> str:
    """Return the value of a parameter as text.

    Examples
    --------
    >>> [value_text(value) for value in ("adam", True, None, [50, 50], 0.1)]
    ['adam', 'true', 'null', '[50, 50]', '0.1']
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def short_name(estimator: str) -> str:
    """Return the name of an estimator without the module of a class.

    Examples
    --------
    >>> short_name("sklearn.svm.SVC"), short_name("my_model.py:build")
    ('SVC', 'my_model.py:build')
    """
    return estimator if ":" in estimator else estimator.rpartition(".")[2]


def point_text(parameters: dict) -> str:
    """Return parameters as text.

    Examples
    --------
    >>> point_text({"regularization_rate": 0.5}), point_text({"alpha": 0.1, "solver": "adam"})
    ('rate 0.5', 'alpha=0.1, solver=adam')
    """
    if is_rate(parameters):
        return f"rate {parameters[RATE]:g}"
    return ", ".join(f"{name}={value_text(value)}" for name, value in parameters.items())


def is_rate(parameters: dict) -> bool:
    """Return whether the only parameter is a regularization rate."""
    return parameters.keys() == {RATE} and isinstance(parameters[RATE], int | float)


def with_rate(content: dict) -> dict:
    """Return JSON with ``regularization_rate`` in place of the section ``parameters``.

    The files of the estimator logistic_regression have had this form from the beginning. Other
    estimators keep the section.

    Examples
    --------
    >>> with_rate({"parameters": {"regularization_rate": 0.5}, "n_train": 9})
    {'regularization_rate': 0.5, 'n_train': 9}
    >>> with_rate({"parameters": {"alpha": 0.5}, "n_train": 9})
    {'parameters': {'alpha': 0.5}, 'n_train': 9}
    """
    if not is_rate(content["parameters"]):
        return content
    return {
        (RATE if key == "parameters" else key): (value[RATE] if key == "parameters" else value)
        for key, value in content.items()
    }


def with_parameters(content: dict) -> dict:
    """Return JSON with the section ``parameters``, the opposite of :func:`with_rate`."""
    if RATE not in content:
        return content
    others = {key: value for key, value in content.items() if key != RATE}
    return dict(parameters={RATE: content[RATE]}, **others)  # A TypeError if it has both.


@dataclass(frozen=True, kw_only=True)
class Training(Result):
    """training.json: where, why and with which versions the model was trained.

    Attributes
    ----------
    backend : {"local", "azureml"}
    backend_reason : str
        Why this backend was chosen.
    run_id, portal_url, experiment : str or None
        The run in Azure ML, its web page and its experiment; None for training on this machine.
    workspace : dict or None
        ``name``, ``resource_group``, ``subscription_id`` and ``location``; None for training on
        this machine.
    cluster : dict or None
        The ``name`` of the cluster that ran the training, and whether this workflow ``created`` it;
        None for training on this machine.
    metrics : dict or None
        The metrics that the run in Azure ML logged.
    model_sha256 : str
    machine : dict or None
        See :func:`image_workflow.lineage.machine.machine`; None if a run did not report it.
    deterministic : bool or None
        Whether two trainings on the same machine give the same model; None if it is not known.
    fingerprint : str or None
        The digest of everything that decides the model; None for training on this machine.
    arguments : list of str
        The arguments that decide the model, as fit.py takes them.
    environment : dict of str
        The versions of Python and of the pinned packages.
    """

    backend: str
    backend_reason: str
    run_id: str | None = None
    portal_url: str | None = None
    experiment: str | None = None
    workspace: dict | None = None
    cluster: dict | None = None
    metrics: dict | None = None
    model_sha256: str
    machine: dict | None
    deterministic: bool | None
    fingerprint: str | None = None
    arguments: list[str]
    environment: dict[str, str]


@dataclass(frozen=True)
class RunReport(Result):
    """outputs/metrics.json of a run in Azure ML: what the run says of its model.

    Attributes
    ----------
    metrics : dict of float
        The tutorial's metrics: the accuracy on the test set, and the regularization rate.
    model_sha256, sweep_sha256 : str
        The checksums of the model and of sweep.json.
    machine : dict
        See :func:`image_workflow.lineage.machine.machine`.
    deterministic : bool or None
        As in training.json.
    """

    metrics: dict[str, float]
    model_sha256: str
    sweep_sha256: str
    machine: dict
    deterministic: bool | None


@dataclass(frozen=True)
class Promotion:
    """Whether a version became the champion of its registered model.

    Attributes
    ----------
    promoted : bool
        Whether the version is the champion.
    replaced_version : int or None
        The champion before; None if there was none, or if the version was not promoted.
    reason : str
        Why it was promoted, or why not and what to do.
    """

    promoted: bool
    replaced_version: int | None
    reason: str


@dataclass(frozen=True)
class Version:
    """A registered model version, the part of the receipt that the registry supplies.

    Attributes
    ----------
    name : str
    version : int
    id : str or None
        The registry's own identifier; MLflow has none.
    registry : {"local", "azureml"}
    registry_uri : str
    run_id : str
        The run that the model belongs to.
    artifact_sha256 : str
        MLflow: the digest of all files of the logged model, see
        :func:`image_workflow.backends.mlflow.stored.files_sha256`. Azure ML: the checksum of the
        registered file.
    promotion : Promotion or None
        None unless the configuration says ``promote: true``.
    """

    name: str
    version: int
    id: str | None
    registry: str
    registry_uri: str
    run_id: str
    artifact_sha256: str
    promotion: Promotion | None


@dataclass(frozen=True)
class Receipt(Result):
    """registered.json: the model version, and everything that it was made from."""

    schema_version: int
    name: str
    version: int
    id: str | None
    registry: str
    registry_uri: str
    backend: str
    backend_reason: str
    workspace: dict | None
    cluster: dict | None
    run_id: str
    artifact_sha256: str
    portal_url: str | None
    metrics: dict
    sweep: Sweep | None
    parameters: dict[str, str]
    classes: list[ImageClass]
    sha256: dict[str, str]
    idx_sha256: dict[str, str]
    environment: dict[str, str]
    machine: dict | None
    deterministic: bool | None
    git: dict
    configuration: dict
    promotion: dict | None = None  # Older receipts have no such key.

    @classmethod
    def of(
        cls,
        version: Version,
        training: Training,
        metrics: Metrics,
        sweep: Sweep,
        data_set: DataSet,
        parameters: dict[str, str],
        sha256: dict[str, str],
        git: dict,
        configuration: dict,
    ) -> Self:
        """Combine the results into a receipt.

        Parameters
        ----------
        parameters : dict of str
            The settings of the training, as text.
        sha256 : dict of str
            The checksums of ``model``, ``data`` and ``code``, and of the user's file with the
            estimator, ``estimator``, if there is one.
        git : dict
            See :func:`image_workflow.lineage.git.git_state`.
        configuration : dict
            Everything in the configuration that decides the results.
        """
        return cls(
            schema_version=RECEIPT_SCHEMA,
            **asdict(version),
            backend=training.backend,
            backend_reason=training.backend_reason,
            workspace=training.workspace,
            cluster=training.cluster,
            portal_url=training.portal_url,
            metrics=metrics.summary(),
            sweep=sweep if sweep.candidates else None,
            parameters=parameters,
            classes=data_set.classes,
            sha256=sha256,
            idx_sha256=data_set.idx_sha256,
            environment=training.environment,
            machine=training.machine,
            deterministic=training.deterministic,
            git=git,
            configuration=configuration,
        )

    @classmethod
    def from_json(cls, content: dict) -> Self:
        """Return an object with the values of parsed JSON."""
        sweep = content["sweep"] and Sweep.from_json(content["sweep"])
        return cls(**content | {"sweep": sweep})

    def to_json(self) -> dict:
        """Return the content in the form in which it is stored."""
        return asdict(self) | {"sweep": self.sweep and self.sweep.to_json()}
