"""The settings of a training, as a program's options and as a type."""

import argparse
import itertools
import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from image_workflow.errors import UserError
from image_workflow.imports import add_estimator_folder_option
from image_workflow.lineage.checksums import sha256_of_json
from image_workflow.lineage.code import code_digests
from image_workflow.lineage.results import RATE, is_rate
from image_workflow.paths import expanded

#: The default estimator. Any other estimator is named by its import path, or as FILE.py:FUNCTION.
LOGISTIC_REGRESSION = "logistic_regression"
#: The names in models.solvers.SOLVERS, which takes longer to import.
SOLVER_NAMES = "newton", "liblinear"
#: Linux allows 131,072 bytes for one argument of a command.
MAX_JSON = 100_000


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the model, apart from images, code and package versions.

    Attributes
    ----------
    estimator : str
        ``logistic_regression``, the import path of a class, or ``FILE.py:FUNCTION``.
    grid : dict of list
        The values to try of each parameter. The only parameter of ``logistic_regression`` is
        ``regularization_rate``, whose values are sorted.
    validation_fraction : float
        The share of each class to hold out when several candidates are compared.
    solver : str
        One of ``SOLVER_NAMES``. Only ``logistic_regression`` uses it.
    seed : int
        Decides which images are held out, and is the estimator's random state.
    estimator_folder : pathlib.Path
        The folder of the user's file. It does not decide the model.
    """

    estimator: str
    grid: dict[str, list]
    validation_fraction: float
    solver: str
    seed: int
    estimator_folder: Path = field(default=Path(), compare=False)

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Self:
        """Return the settings in a program's options, see :func:`add_training_options`.

        Raises
        ------
        UserError
            If a parameter, a rate or the fraction is wrong.
        """
        if options.estimator == LOGISTIC_REGRESSION:
            grid = {RATE: rates(options.regularization)}
        else:
            grid = values_to_try(options.parameters)
        settings = cls(
            options.estimator,
            grid,
            options.validation_fraction,
            options.solver,
            options.seed,
            options.estimator_folder or Path(),
        )
        if settings.is_sweep and not 0 < options.validation_fraction < 1:
            raise UserError(
                "--validation-fraction must be between 0 and 1, "
                f"found {options.validation_fraction}."
            )
        return settings

    @classmethod
    def from_config(cls, config: dict) -> Self:
        """Return the settings in the configuration, whose values have been checked.

        Raises
        ------
        UserError
            If parameters are set that the estimator does not take.
        """
        file, colon, function = config["estimator"].rpartition(":")
        if config["estimator"] != LOGISTIC_REGRESSION:
            grid = values_to_try(config["parameters"])
        elif config["parameters"]:
            raise UserError(
                f"parameters cannot be set for {LOGISTIC_REGRESSION}, which has regularization and "
                "solver; set those, or choose another estimator."
            )
        else:
            values = config["regularization"]
            grid = {RATE: rates([*map(float, values if isinstance(values, list) else [values])])}
        return cls(
            f"{expanded(file).name}{colon}{function}",
            grid,
            config["validation_fraction"],
            config["solver"],
            config["seed"],
            expanded(file).parent,
        )

    @property
    def is_own(self) -> bool:
        """Whether the user has chosen another estimator than logistic_regression."""
        return self.estimator != LOGISTIC_REGRESSION

    @property
    def file(self) -> Path | None:
        """The user's file with the estimator, if there is one."""
        name, colon, _ = self.estimator.rpartition(":")
        return self.estimator_folder / name if colon else None

    def estimator_digests(self) -> dict[str, str]:
        """Return the sha256 of the user's file and of the modules it imports, by their names.

        Raises
        ------
        UserError
            If a file does not exist, or is no Python.
        """
        if not self.file:
            return {}
        with_suffix = self.file.with_name(f"{self.file.name}.py")
        if with_suffix.is_file():
            raise UserError(
                f"the estimator's file {self.file} does not exist; did you mean {with_suffix}?"
            )
        if not self.file.stem.isidentifier() or self.file.suffix != ".py":
            raise UserError(
                f"the estimator's file {self.file} cannot be imported: expected a name of letters, "
                "digits and _ that ends with .py. Rename it."
            )
        if not self.file.is_file():
            raise UserError(f"the estimator's file {self.file} does not exist. Correct its path.")
        try:
            return code_digests(self.file)
        except SyntaxError as error:
            line = f", line {error.lineno}" if error.lineno else ""
            raise UserError(
                f"{error.filename or self.file}{line} is not valid Python: {error.msg}."
            ) from error

    @property
    def is_sweep(self) -> bool:
        """Whether there are several candidates to compare."""
        return bool(self.varied())

    def points(self) -> list[dict]:
        """Return each combination of the parameters' values, in the order of ParameterGrid.

        scikit-learn's ParameterGrid itself would take long to import.
        """
        names = sorted(self.grid)
        combinations = itertools.product(*(self.grid[name] for name in names))
        return [dict(zip(names, values, strict=True)) for values in combinations]

    def candidates(self) -> dict[str, Self]:
        """Return the settings of each point alone, by the name of the file that keeps its score."""
        return {
            file_name(point, self.estimator): replace(
                self, grid={name: [value] for name, value in point.items()}
            )
            for point in self.points()
        }

    def varied(self) -> list[str]:
        """Return the parameters that have several values to try."""
        return [name for name, values in self.grid.items() if len(values) > 1]

    def to_config(self) -> dict:
        """Return the keys of the configuration that decide the model.

        :meth:`from_config` makes the same settings of them.
        """
        if self.is_own:
            model = {"estimator": self.estimator, "parameters": self.grid}
        else:
            model = {
                "estimator": self.estimator,
                "regularization": self.grid[RATE],
                "solver": self.solver,
            }
        several = {"validation_fraction": self.validation_fraction} if self.is_sweep else {}
        return model | several | {"seed": self.seed}

    def arguments(self) -> list[str]:
        """Return the settings as arguments of fit.py."""
        if self.is_own:
            model = ["--estimator", self.estimator, "--parameters", json.dumps(self.grid)]
            solver = []
        else:
            model = ["--regularization", *map(str, self.grid[RATE])]
            solver = ["--solver", self.solver]
        several = ["--validation-fraction", str(self.validation_fraction)] * self.is_sweep
        return [*model, *several, *solver, "--seed", str(self.seed)]


def file_name(point: dict, estimator: str) -> str:
    """Return the name of the file that keeps a point's score, the same for 2 and 2.0.

    It is the rate, or a digest of the estimator and its parameters.
    """
    if is_rate(point):
        return str(float(point[RATE])).removesuffix(".0") + ".json"
    return sha256_of_json([estimator, point])[:16] + ".json"


def rates(values: list[float] | None) -> list[float]:
    """Return regularization rates, sorted and each once, or raise UserError if one is wrong."""
    if not values:
        raise UserError(f"the estimator {LOGISTIC_REGRESSION} needs --regularization.")
    for rate in values:
        if not 0 < rate < float("inf"):
            raise UserError(f"--regularization must be above 0, found {rate}.")
    return sorted(set(values))


def values_to_try(parameters: dict) -> dict[str, list]:
    """Return the values to try of each parameter, sorted by name.

    Parameters
    ----------
    parameters : dict
        For each parameter a value, or a list of values.

    Raises
    ------
    UserError
        If a list is empty, or if there are too many values for a command.

    Examples
    --------
    >>> values_to_try({"hidden_layer_sizes": [[100], [50, 50]], "alpha": 0.1})
    {'alpha': [0.1], 'hidden_layer_sizes': [[100], [50, 50]]}
    """
    found = {}
    for name, value in sorted(parameters.items(), key=lambda item: str(item[0])):
        values = value if isinstance(value, list) else [value]
        if not values:
            raise UserError(f"parameters.{name} is an empty list; give a value, or values to try.")
        try:
            # As JSON, 1, 1.0 and True are different values, as they are for scikit-learn.
            found[name] = list({json.dumps(one): one for one in values}.values())
        except TypeError as error:  # such as YAML's dates and sets
            raise UserError(
                f"parameters.{name} cannot be {value!r}; use numbers, texts, true, false, null, "
                "lists and mappings."
            ) from error
    if (length := len(json.dumps(found))) > MAX_JSON:
        raise UserError(
            f"parameters must fit into a command, with at most {MAX_JSON:,} characters, found "
            f"{length:,}. Give fewer values."
        )
    return found


def parsed_parameters(text: str) -> dict:
    """Return parameters from JSON. Names that are whole numbers are labels of classes.

    Examples
    --------
    >>> parsed_parameters('{"class_weight": {"0": 1, "7": 5}}')
    {'class_weight': {0: 1, 7: 5}}
    """

    def with_labels(found: dict) -> dict:
        return {int(key) if key.isdecimal() else key: value for key, value in found.items()}

    found = None
    with suppress(ValueError):
        found = json.loads(text, object_hook=with_labels)
    if not isinstance(found, dict):
        example = '{"max_depth": [5, 10], "bootstrap": true}'
        raise argparse.ArgumentTypeError(f"expected JSON such as {example}, found {text}")
    return found


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :meth:`TrainingSettings.from_options` reads."""
    parser.add_argument(
        "--estimator",
        default=LOGISTIC_REGRESSION,
        metavar="NAME",
        help=f"{LOGISTIC_REGRESSION}, the import path of a classifier, or FILE.py:FUNCTION",
    )
    parser.add_argument(
        "--parameters",
        type=parsed_parameters,
        default={},
        metavar="JSON",
        help="for each parameter of another estimator a value, or a list of values to compare",
    )
    add_estimator_folder_option(parser)
    parser.add_argument(
        "--regularization",
        type=float,
        nargs="+",
        metavar="RATE",
        help=f"the regularization rate of {LOGISTIC_REGRESSION}, 1 / C, or several to compare",
    )
    parser.add_argument(
        "--validation-fraction",
        type=float,
        default=1 / 6,
        metavar="FRACTION",
        help="the share of each class to hold out when several candidates are compared",
    )
    parser.add_argument(
        "--solver",
        choices=SOLVER_NAMES,
        default="newton",
        help=f"how to fit {LOGISTIC_REGRESSION}",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=42,
        help="decides what is held out; the random state of the estimator",
    )
