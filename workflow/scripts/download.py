"""Download a data set's IDX files, each from the first source that gives the right content."""

import argparse
import gzip
import hashlib
import shutil
import zlib
from pathlib import Path

import yaml
from tqdm.contrib.logging import logging_redirect_tqdm

from lib.command import UserError, log, run
from lib.files import replacing
from lib.record import add_record_option, write_record
from lib.sources import SOURCES, SourceError

CHUNK = 1 << 20


def fetch(name: str, sha256: str, sources: list[dict], target: Path) -> dict:
    """Write an IDX file, gzipped, from the first source that gives the right content.

    Parameters
    ----------
    name : str
        The file's name without .gz, such as ``train-images-idx3-ubyte``.
    sha256 : str
        The checksum of the IDX payload (the content inside the gzip).
    sources : list of dict
        What to try, in this order: each with one key, a name in ``lib.sources.SOURCES``.
    target : pathlib.Path
        The .gz file to write.

    Returns
    -------
    dict
        The source that gave it.

    Raises
    ------
    UserError
        If no source gives it; the message has each source's reason.
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
        except SourceError as error:
            log.info("%s: not from %s %s: %s", name, kind, place, error)
            failures.append(f"\n  {kind} {place}: {error}")
        else:
            log.info("%s: from %s %s, sha256 verified", name, kind, place)
            return source
    raise UserError(
        f"no source gave {name} with the right content.{''.join(failures)}\n"
        "To go on without a network, put the data set's four files into a folder and name it "
        "among the sources in config/datasets.yaml, as in `- folder: data/mnist`."
    )


def make_gzip(path: Path) -> None:
    """Compress a raw file in place, without a time stamp: the same content, the same bytes."""
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
    """Return the sha256 of what is inside a .gz file; raise SourceError if it is damaged."""
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"its gzip stream is damaged ({error})") from error
    return digest.hexdigest()


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
            # What gave one file will give the next; what failed is not waited for again.
            sources = [source, *(other for other in sources if other != source)]
    write_record(options.record, outputs=options.files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="download.py", description=__doc__)
    parser.add_argument("--datasets", type=Path, required=True, help="the registry of data sets")
    parser.add_argument("--dataset", required=True, help="the data set's name in the registry")
    add_record_option(parser)
    parser.add_argument("files", type=Path, nargs="+", help="the .gz files to write")
    run(parser, main)
