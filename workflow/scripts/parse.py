"""Parse a set's gzipped IDX files into .npy arrays, as a stream: memory does not grow with them."""

import argparse
import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib import idx
from lib.command import UserError, log, run
from lib.files import replacing
from lib.record import add_record_option, write_record

CHUNK = 1 << 20


def parse_idx(
    source: Path, target: Path, dimensions: int, sha256: str | None = None
) -> tuple[int, ...]:
    """Write the array of a gzipped IDX file as .npy.

    Parameters
    ----------
    source : pathlib.Path
        A gzipped IDX file of unsigned bytes.
    target : pathlib.Path
        The .npy file to write.
    dimensions : {1, 3}
        1 for labels, 3 for images.
    sha256 : str, optional
        The checksum that the file's payload must have.

    Returns
    -------
    tuple of int
        The array's shape: ``(n,)`` or ``(n, rows, cols)``.

    Raises
    ------
    UserError
        If the file is not whole, or not the expected one; do not use ``target`` then.
    """
    try:
        with gzip.open(source) as stream, open(target, "wb") as array:
            shape = idx.read_header(stream, dimensions)
            digest = hashlib.sha256(idx.header(shape))
            np.lib.format.write_array_header_1_0(
                array, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            promised = missing = math.prod(shape)
            while missing and (chunk := stream.read(min(CHUNK, missing))):
                array.write(chunk)
                digest.update(chunk)
                missing -= len(chunk)
            if missing:
                raise UserError(
                    f"the file is truncated: its header promises {promised} bytes, "
                    f"it has {promised - missing}."
                )
            if stream.read(1):
                raise UserError(f"it has more than the {promised} bytes that its header promises.")
    except EOFError:
        raise _unusable(source, "the file is truncated: its gzip stream has no end.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _unusable(source, f"it is not an undamaged gzip file ({error}).") from None
    except UserError as error:
        raise _unusable(source, str(error)) from None
    if sha256 is not None and digest.hexdigest() != sha256:
        raise UserError(
            f"{source} is not the file of this data set: config/datasets.yaml has sha256 {sha256} "
            f"for its payload, the file has {digest.hexdigest()}. Delete it and run again."
        )
    return shape


def parse_set(
    images: Path,
    labels: Path,
    images_out: Path,
    labels_out: Path,
    sha256: Sequence[str | None] = (None, None),
) -> tuple[int, ...]:
    """Parse a set's images and labels, and check their payloads; see :func:`parse_idx`.

    Returns
    -------
    tuple of int
        The shape of the images, ``(n, rows, cols)``.

    Raises
    ------
    UserError
        If either file cannot be parsed, is not the expected one, or they differ in number.
    """
    images_shape = parse_idx(images, images_out, 3, sha256[0])
    (n_labels,) = parse_idx(labels, labels_out, 1, sha256[1])
    if images_shape[0] != n_labels:
        raise UserError(
            f"expected a label for each image, found {images_shape[0]} images in {images} and "
            f"{n_labels} labels in {labels}. Take both files from the same data set."
        )
    return images_shape


def _unusable(source: Path, reason: str) -> UserError:
    return UserError(f"{source} cannot be parsed: {reason} Delete it and run again to renew it.")


def main(options: argparse.Namespace) -> None:
    with replacing(options.images_out, options.labels_out) as parts:
        shape = parse_set(options.images, options.labels, *parts, options.sha256)
    outputs = [options.images_out, options.labels_out]
    write_record(options.record, outputs, inputs=[options.images, options.labels])
    log.info("%s: %d images of %d x %d", options.images_out, *shape)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="parse.py", description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="gzipped IDX images")
    parser.add_argument("--labels", type=Path, required=True, help="gzipped IDX labels")
    parser.add_argument("--images-out", type=Path, required=True, help="the .npy of the images")
    parser.add_argument("--labels-out", type=Path, required=True, help="the .npy of the labels")
    parser.add_argument(
        "--sha256",
        nargs=2,
        default=(None, None),
        metavar=("IMAGES", "LABELS"),
        help="the checksums that the payloads of the two files must have",
    )
    add_record_option(parser)
    run(parser, main)
