"""Train the model: the tutorial's logistic regression, or an estimator of your own.

This is the training script that the backend azureml sends to the cloud. If a parameter has several
values, such as several regularization rates, each candidate is fitted on a part of the training
set, and the one with the best accuracy on the rest is refitted on the whole set. sweep.json, beside
the model, has the comparison.
"""

import image_workflow.start  # noqa: F401

import argparse
import os
from pathlib import Path

from image_workflow.backends.azureml.reporting import report
from image_workflow.command import run
from image_workflow.models.settings import TrainingSettings, add_training_options
from image_workflow.models.training import train


def main(options: argparse.Namespace) -> None:
    settings = TrainingSettings.from_options(options)
    deterministic = train(
        options.data_folder,
        settings,
        options.threads,
        options.output,
        options.candidates,
        program=Path(__file__),
    )
    if options.metrics:
        report(options.output, options.data_folder, deterministic, options.metrics)


if __name__ == "__main__":
    # A run in the cloud has its parameters in a file.
    parser = argparse.ArgumentParser(prog="fit.py", description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has train-{images,labels}.npy"
    )
    add_training_options(parser)
    parser.add_argument(
        "--candidates", type=Path, help="folder that keeps the score of each candidate"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="the model does not depend on it"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("outputs/sklearn_mnist_model.pkl"), help="the model"
    )
    parser.add_argument(
        "--metrics", type=Path, help="measure the model on the test set, and write this file"
    )
    run(parser, main)
