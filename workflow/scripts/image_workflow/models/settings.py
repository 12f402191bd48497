"""The settings of a training, as a program's options and as a type."""

import argparse
from dataclasses import dataclass
from typing import Self

from image_workflow.errors import UserError

#: The names in models.solvers.SOLVERS, which takes longer to import.
SOLVER_NAMES = "newton", "liblinear"


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the model, apart from images, code and package versions.

    Attributes
    ----------
    rates : list of float
        The regularization rates to compare, sorted; or a single rate.
    validation_fraction : float
        The share of each class to hold out when several rates are compared.
    solver : str
        One of ``SOLVER_NAMES``.
    seed : int
        Decides which images are held out, and is the solver's random state.
    """

    rates: list[float]
    validation_fraction: float
    solver: str
    seed: int

    @classmethod
    def from_options(cls, options: argparse.Namespace) -> Self:
        """Return the settings in a program's options, see :func:`add_training_options`.

        Raises
        ------
        UserError
            If a rate or the fraction is out of range.
        """
        rates = sorted(set(options.regularization))
        for rate in rates:
            if not 0 < rate < float("inf"):
                raise UserError(f"--regularization must be above 0, found {rate}.")
        if len(rates) > 1 and not 0 < options.validation_fraction < 1:
            raise UserError(
                "--validation-fraction must be between 0 and 1, "
                f"found {options.validation_fraction}."
            )
        return cls(rates, options.validation_fraction, options.solver, options.seed)

    def arguments(self) -> list[str]:
        """Return the settings as arguments of fit.py."""
        several = ["--validation-fraction", str(self.validation_fraction)]
        return [
            *("--regularization", *map(str, self.rates)),
            *(several if len(self.rates) > 1 else []),
            *("--solver", self.solver, "--seed", str(self.seed)),
        ]


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that :meth:`TrainingSettings.from_options` reads."""
    parser.add_argument(
        "--regularization",
        type=float,
        nargs="+",
        required=True,
        metavar="RATE",
        help="the regularization rate, 1 / C, or several rates to compare",
    )
    parser.add_argument(
        "--validation-fraction",
        type=float,
        default=1 / 6,
        metavar="FRACTION",
        help="the share of each class to hold out when several rates are compared",
    )
    parser.add_argument(
        "--solver", choices=SOLVER_NAMES, default="newton", help="how to fit the model"
    )
    parser.add_argument(
        "--seed", type=int, default=42, help="decides what is held out; the solver's random state"
    )
