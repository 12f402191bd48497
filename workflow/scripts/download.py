"""Download a data set's IDX files, each from the first source that has the right content."""

import argparse
import gzip
import shutil
import zlib
from pathlib import Path

import yaml
from tqdm.contrib.logging import logging_redirect_tqdm

from image_workflow.command import log, run
from image_workflow.data.sources import SOURCES, SourceError
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.checksums import sha256_of_chunks
from image_workflow.lineage.job_records import add_record_option, write_record

CHUNK = 1 << 20


def fetch(name: str, sha256: str, sources: list[dict], target: Path) -> dict:
    """Write an IDX file, gzipped, from the first source that has the right content.

    Parameters
    ----------
    name : str
        The file's name without .gz, such as ``train-images-idx3-ubyte``.
    sha256 : str
        The checksum of the uncompressed IDX file.
    sources : list of dict
        The sources to try in this order. The key of each is a name in
        ``image_workflow.data.sources.SOURCES``.
    target : pathlib.Path
        The .gz file to write.

    Returns
    -------
    dict
        The source that was used.

    Raises
    ------
    UserError
        If no source has the file. The message has the reason for each source.
    """
    failures = []
    for source in sources:
        ((kind, place),) = source.items()
        try:
            SOURCES[kind](place, name, target)
            make_gzip(target)
            found = gzip_payload_sha256(target)
            if found != sha256:
                raise SourceError(f"expected a payload with sha256 {sha256}, found {found}")
        except (SourceError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            log.info("%s: not from %s %s: %s", name, kind, place, reason)
            failures.append(f"\n  {kind} {place}: {reason}")
        else:
            log.info("%s: from %s %s, sha256 verified", name, kind, place)
            return source
    raise UserError(
        f"no source gave {name} with the right content.{''.join(failures)}\n"
        "To go on without a network, put the data set's four files into a folder and name it "
        "among the sources in config/datasets.yaml, as in `- folder: data/mnist`."
    )


def make_gzip(path: Path) -> None:
    """Compress a raw file in place. Without a time stamp, equal content gives equal bytes."""
    with open(path, "rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return
        file.seek(0)
        with (
            replacing(path) as (part,),
            open(part, "wb") as out,
            gzip.GzipFile("", "wb", fileobj=out, mtime=0) as stream,
        ):
            shutil.copyfileobj(file, stream, CHUNK)


def gzip_payload_sha256(path: Path) -> str:
    """Return the sha256 of a .gz file's uncompressed content.

    Raises
    ------
    SourceError
        If the file is damaged.
    """
    try:
        with gzip.open(path) as stream:
            return sha256_of_chunks(iter(lambda: stream.read(CHUNK), b""))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"its gzip stream is damaged ({error})") from error


def main(options: argparse.Namespace) -> None:
    datasets = yaml.safe_load(options.datasets.read_text(encoding="utf-8"))
    if options.dataset not in datasets:
        raise UserError(
            f"{options.dataset} is not a data set of {options.datasets}, "
            f"which has {', '.join(datasets)}."
        )
    dataset = datasets[options.dataset]
    sources = dataset["sources"]
    with replacing(*options.files) as parts, logging_redirect_tqdm([log]):
        for target, part in zip(options.files, parts, strict=True):
            name = target.name.removesuffix(".gz")
            source = fetch(name, dataset["files"][name], sources, part)
            # Try the source of this file first for the next one; do not wait again for a dead one.
            sources = [source, *(other for other in sources if other != source)]
    write_record(options.record, outputs=options.files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="download.py", description=__doc__)
    parser.add_argument("--datasets", type=Path, required=True, help="config/datasets.yaml")
    parser.add_argument("--dataset", required=True, help="the data set's name in that file")
    add_record_option(parser)
    parser.add_argument("files", type=Path, nargs="+", help="the .gz files to write")
    run(parser, main)
