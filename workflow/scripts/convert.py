"""Convert your own images into the four IDX files of a data set."""

import image_workflow.start  # noqa: F401

import argparse
import json
import os
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from image_workflow.command import log, run
from image_workflow.conversion.converting import convert
from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.job_records import add_record_option, write_record
from image_workflow.models.memory import limited_memory


def main(options: argparse.Namespace) -> None:
    entry = json.loads(options.entry)
    try:
        with logging_redirect_tqdm([log]), limited_memory():
            arrays, conversion = convert(entry, options.threads)
    except MemoryError as error:
        raise UserError(
            f"the images in {entry['images']} need more memory than this machine has available. "
            "Use a machine with more memory, or fewer or smaller images."
        ) from error
    targets = [options.output_folder / f"{name}.gz" for name in IDX_FILES.values()]
    with replacing(*targets) as parts:
        for part, name in zip(parts, IDX_FILES, strict=True):
            idx.write(part, arrays[name])
    conversion.write(options.conversion)
    write_record(options.record, outputs=[*targets, options.conversion])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="convert.py", description=__doc__)
    parser.add_argument(
        "--entry", required=True, help="the data set's entry in config/my_datasets.yaml, as JSON"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for reading pictures")
    parser.add_argument(
        "--output-folder", type=Path, required=True, help="the folder of the IDX files"
    )
    parser.add_argument("--conversion", type=Path, required=True, help="conversion.json")
    add_record_option(parser)
    run(parser, main)
