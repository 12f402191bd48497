"""Fit one candidate of a comparison, and keep its score, so that train.py does not fit it.

The workflow calls it only on a cluster, where each candidate is a job of its own.
"""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

from image_workflow.backends.local import installed_versions
from image_workflow.command import run
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.models.settings import TrainingSettings, add_training_options
from image_workflow.models.training import score


def main(options: argparse.Namespace) -> None:
    arrays = [options.data_folder / f"train-{kind}.npy" for kind in ("images", "labels")]
    inputs = checked_inputs(options.record, arrays)
    settings = TrainingSettings.from_options(options)
    score(
        options.data_folder,
        settings,
        options.threads,
        options.candidates,
        program=Path(__file__).with_name("fit.py"),
        versions=installed_versions(options.environment) if settings.is_own else None,
    )
    outputs = [options.candidates / name for name in settings.candidates()]
    write_record(options.record, outputs, inputs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="score_candidate.py", description=__doc__)
    add_training_options(parser)
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the pinned packages"
    )
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    parser.add_argument(
        "--threads", type=int, required=True, help="the score does not depend on it"
    )
    parser.add_argument(
        "--candidates", type=Path, required=True, help="folder that keeps the score"
    )
    add_record_option(parser)
    run(parser, main)
