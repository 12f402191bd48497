"""Parse a set's gzipped IDX files into .npy arrays, as a stream with constant memory."""

import image_workflow.start  # noqa: F401

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from image_workflow.command import log, run
from image_workflow.data import idx
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_chunks
from image_workflow.lineage.custody import checked_inputs
from image_workflow.lineage.job_records import add_record_option, write_record

# A file that was altered after the download is repaired at the start of the next run.
RUN_AGAIN = "Run again to make it anew."
# A file with the right checksum comes out the same again.
CORRECT_ENTRY = "Correct its checksum and its sources in the data set's entry."


def parse_idx(
    source: Path, target: Path, dimensions: int, sha256: str | None = None
) -> tuple[int, ...]:
    """Write the content of a gzipped IDX file as a .npy array.

    Parameters
    ----------
    source : pathlib.Path
        A gzipped IDX file of unsigned bytes.
    target : pathlib.Path
        The .npy file to write.
    dimensions : {1, 3}
        1 for labels, 3 for images.
    sha256 : str, optional
        The expected checksum of the uncompressed IDX data.

    Returns
    -------
    tuple of int
        The array's shape: ``(n,)`` or ``(n, rows, columns)``.

    Raises
    ------
    UserError
        If the file is damaged or is not the expected file. ``target`` is not usable then.
    """
    try:
        with idx.opened(source) as stream, open(target, "wb") as array:
            shape = idx.read_header(stream, dimensions)
            np.lib.format.write_array_header_1_0(
                array, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            found = sha256_of_chunks(copied(stream, array, shape))
    except idx.IdxError as error:
        text = f"{source} cannot be parsed: {error} {advice(source, error, sha256)}"
        raise UserError(text.rstrip()) from None
    if sha256 is not None and found != sha256:
        raise UserError(
            f"{source} is not the file of this data set: expected a payload with sha256 {sha256}, "
            f"found {found}. {RUN_AGAIN}"
        )
    return shape


def copied(stream: BinaryIO, array: BinaryIO, shape: tuple[int, ...]) -> Iterator[bytes]:
    """Copy IDX data after its header, and yield its parts, beginning with the header.

    Parameters
    ----------
    stream : binary file
        Positioned after the IDX header.
    array : binary file
        The .npy file, positioned after its header.
    shape : tuple of int
        The shape in the IDX header.

    Raises
    ------
    IdxError
        If the data is shorter or longer than its header says.
    """
    yield idx.header(shape)
    for chunk in idx.elements(stream, shape):
        array.write(chunk)
        yield chunk


def parse_set(
    images: Path,
    labels: Path,
    images_out: Path,
    labels_out: Path,
    sha256: Sequence[str | None] = (None, None),
) -> tuple[int, ...]:
    """Parse a set's images and labels, see :func:`parse_idx`.

    Returns
    -------
    tuple of int
        The shape of the images, ``(n, rows, columns)``.

    Raises
    ------
    UserError
        If either file cannot be parsed, or if they do not have the same number of items.
    """
    images_shape = parse_idx(images, images_out, 3, sha256[0])
    (n_labels,) = parse_idx(labels, labels_out, 1, sha256[1])
    if images_shape[0] != n_labels:
        raise UserError(
            f"expected a label for each image, found {images_shape[0]} images in {images} and "
            f"{n_labels} labels in {labels}. Correct the data set's entry, or the files it names."
        )
    return images_shape


def advice(source: Path, error: idx.IdxError, sha256: str | None) -> str:
    """Return what to do about a file that cannot be parsed, see :func:`parse_idx`."""
    if sha256 is None:
        return error.remedy
    try:
        altered = idx.file_payload_sha256(source) != sha256
    except idx.IdxError:
        altered = True
    if altered:
        return RUN_AGAIN
    return error.remedy if isinstance(error, idx.OtherKindError) else CORRECT_ENTRY


def main(options: argparse.Namespace) -> None:
    inputs = checked_inputs(options.record, [options.images, options.labels])
    with replacing(options.images_out, options.labels_out) as parts:
        shape = parse_set(options.images, options.labels, *parts, options.sha256 or (None, None))
    outputs = [options.images_out, options.labels_out]
    write_record(options.record, outputs, inputs)
    log.info("%s: %d images of %d x %d", options.images_out, *shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="parse.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="gzipped IDX images")
    parser.add_argument("--labels", type=Path, required=True, help="gzipped IDX labels")
    parser.add_argument("--images-out", type=Path, required=True, help="the .npy of the images")
    parser.add_argument("--labels-out", type=Path, required=True, help="the .npy of the labels")
    parser.add_argument(
        "--sha256",
        nargs="*",
        metavar="SHA256",
        help="the expected checksums of the uncompressed images and labels, if they are known",
    )
    add_record_option(parser)
    run(parser, main)
