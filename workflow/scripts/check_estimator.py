"""Check the estimator and its parameters, and write what the workflow must know of it."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

from image_workflow.command import run
from image_workflow.files import write_json
from image_workflow.models.own_estimator import MissingPackageError, check
from image_workflow.models.settings import TrainingSettings, add_training_options


def main(options: argparse.Namespace) -> None:
    try:
        facts = check(TrainingSettings.from_options(options))
    except MissingPackageError:
        if not options.may_miss_packages:
            raise
        # The training checks the estimator again, in an environment that has all packages.
        facts = {"is_linear": False}
    write_json(options.output, facts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="check_estimator.py", description=__doc__)
    add_training_options(parser)
    parser.add_argument(
        "--may-miss-packages", action="store_true", help="the jobs have environments of their own"
    )
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    run(parser, main)
