"""Train the model on the configured backend, and write training.json."""

import image_workflow.start  # noqa: F401

import argparse
from pathlib import Path

from image_workflow.backends.azureml.session import run_with_sdk
from image_workflow.backends.choice import train
from image_workflow.backends.interface import Job
from image_workflow.backends.settings import BackendSettings, add_backend_options
from image_workflow.data.arrays import IDX_FILES, check_sets
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.models.settings import TrainingSettings, add_training_options


def main(options: argparse.Namespace) -> None:
    arrays = [options.data_folder / f"{name}.npy" for name in IDX_FILES]
    inputs = checked_inputs(options.record, arrays)
    # describe does the same, but the model does not depend on the description.
    check_sets(options.data_folder)
    for path in options.remove:
        path.unlink(missing_ok=True)
    job = Job(
        program=Path(__file__).with_name("fit.py"),
        settings=TrainingSettings.from_options(options),
        data_folder=options.data_folder,
        environment=options.environment,
        model=options.output,
        candidates=options.candidates,
        threads=options.threads,
    )
    training = train(job, options.backend, BackendSettings.from_options(options))
    training.write(options.training)
    write_record(
        options.record,
        outputs=[options.output, options.training, options.output.with_name("sweep.json")],
        inputs=inputs,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="train.py", description=__doc__)
    parser.add_argument(
        "--backend", required=True, choices=["auto", "local", "azureml"], help="where to train"
    )
    add_backend_options(parser)
    add_training_options(parser)
    parser.add_argument(
        "--environment", type=Path, required=True, help="conda file with the pinned packages"
    )
    parser.add_argument(
        "--data-folder", type=Path, required=True, help="has {train,test}-{images,labels}.npy"
    )
    parser.add_argument("--threads", type=int, required=True, help="for training on this machine")
    parser.add_argument(
        "--candidates", type=Path, required=True, help="keeps the scores, see fit.py"
    )
    parser.add_argument("--output", type=Path, required=True, help="model.pkl")
    parser.add_argument("--training", type=Path, required=True, help="training.json")
    parser.add_argument(
        "--remove",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="files of an earlier configuration that this configuration does not have",
    )
    add_record_option(parser)
    run_with_sdk(parser, main)
