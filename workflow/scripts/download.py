"""Download a data set's IDX files, each from the first source that has the right content.

A file from the network is also kept in the cache, by its checksum, and is not downloaded again.
"""

import image_workflow.start  # noqa: F401

import argparse
import errno
import gzip
import json
import shutil
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from image_workflow.command import log, run
from image_workflow.data import idx
from image_workflow.data.sources import LOCAL_SOURCES, SOURCES, SourceError
from image_workflow.errors import UserError
from image_workflow.files import replacing
from image_workflow.lineage.job_records import add_record_option, write_record

#: What to do about an IDX file with other content.
REPLACE = "Replace the wrong file, or correct the data set's entry."

#: Errors of this machine's disk: it is full, a quota is used up, or it is read-only.
DISK_ERRORS = errno.ENOSPC, errno.EDQUOT, errno.EROFS


class WrongContentError(SourceError):
    """A source has another file. ``remedy`` says what to do about it."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


# ---- Sources -------------------------------------------------------------------------------


def fetch(name: str, files: dict[str, str], sources: list[dict], target: Path) -> dict:
    """Write an IDX file, gzipped, from the first source that has the right content.

    Parameters
    ----------
    name : str
        The file's name without .gz, such as ``train-images-idx3-ubyte``.
    files : dict of str
        The checksums of all uncompressed IDX files of the data set, by name.
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
    failures, remedies = [], []
    for source in sources:
        ((kind, place),) = source.items()
        try:
            SOURCES[kind](place, name, target)
            make_gzip(target)
            check_content(target, name, files)
        except (UserError, OSError) as error:
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise  # The source is not to blame.
            reason = getattr(error, "strerror", None) or error
            log.info("%s: not from %s %s: %s", name, kind, place, reason)
            failures.append(f"\n  {kind} {place}: {reason}")
            if isinstance(error, (WrongContentError, idx.IdxError)):
                remedies.append(error.remedy)
        else:
            log.info("%s: from %s %s, sha256 verified", name, kind, place)
            return source
    raise UserError(
        f"no source gave {name} with the right content.{''.join(failures)}\n"
        f"{advice(sources, remedies)}"
    )


def make_gzip(path: Path) -> None:
    """Compress a raw file in place. Without a time stamp, equal content gives equal bytes."""
    with open(path, "rb") as file:
        if file.read(2) == idx.GZIP_MAGIC:
            return
        file.seek(0)
        with (
            replacing(path) as (part,),
            open(part, "wb") as out,
            gzip.GzipFile("", "wb", fileobj=out, mtime=0) as stream,
        ):
            shutil.copyfileobj(file, stream, idx.CHUNK)


def check_content(path: Path, name: str, files: dict[str, str]) -> None:
    """Check the uncompressed content of the file ``name``, see :func:`fetch`.

    Raises
    ------
    WrongContentError
        If it has another checksum. The message says what it is.
    IdxError
        If the gzip stream is damaged.
    """
    found = idx.file_payload_sha256(path)
    if found == files[name]:
        return
    for other, sha256 in files.items():
        if found == sha256:
            raise WrongContentError(
                f"found the data set's {other}", f"Give each file its own name: this is {other}."
            )
    kind = idx.described(idx.beginning(path))
    raise WrongContentError(
        f"found {kind.name}, with sha256 {found} instead of {files[name]}", kind.remedy or REPLACE
    )


def advice(sources: list[dict], remedies: list[str]) -> str:
    """Return what a user can do after all sources failed, some perhaps with wrong content."""
    kinds = {kind: place for source in sources for kind, place in source.items()}
    if "folder" in kinds:
        put = f"put the data set's four files into the folder {kinds['folder']}"
    else:
        put = (
            "put the data set's four files into a folder and name it among the sources in the "
            "data set's entry, as in `- folder: data/mine`"
        )
    sentences = list(dict.fromkeys(remedies))
    if kinds.keys() - LOCAL_SOURCES:
        sentences.append(
            f"To go on without a network, {put}; or run with `--config dataset=digits`, which "
            "needs no network."
        )
    elif not remedies:
        sentences.append(f"Please {put}.")
    return " ".join(sentences)


# ---- The cache -----------------------------------------------------------------------------


def copy_from_cache(cache: Path, name: str, sha256: str, target: Path) -> bool:
    """Copy a file that was downloaded before. Return whether it was there and undamaged."""
    kept = cache / f"{sha256}.gz"
    if not kept.exists():
        return False
    # A copy, because an edit of a link in results/raw would damage the cache.
    shutil.copyfile(kept, target)
    try:
        make_gzip(target)
        check_content(target, name, {name: sha256})
    except UserError as error:
        log.info("%s: deleting %s, which is damaged: %s", name, kept, error)
        kept.unlink()
        return False
    log.info("%s: from %s, sha256 verified", name, kept)
    return True


def keep(cache: Path, sha256: str, file: Path) -> None:
    """Copy a verified file to the cache."""
    with replacing(cache / f"{sha256}.gz") as (part,):
        shutil.copyfile(file, part)


# ---- The program ---------------------------------------------------------------------------


def main(options: argparse.Namespace) -> None:
    entry = json.loads(options.entry)
    sources = entry["sources"]
    downloaded = False
    with replacing(*options.files) as parts, logging_redirect_tqdm([log]):
        for target, part in zip(options.files, parts, strict=True):
            name = target.name.removesuffix(".gz")
            sha256 = entry["files"][name]
            if copy_from_cache(options.cache, name, sha256, part):
                continue
            source = fetch(name, entry["files"], sources, part)
            if source.keys().isdisjoint(LOCAL_SOURCES):
                try:
                    keep(options.cache, sha256, part)
                    downloaded = True
                except OSError as error:
                    log.info("%s is not kept in %s: %s", name, options.cache, error.strerror)
            # Try the source of this file first for the next one; do not wait again for a dead one.
            sources = [source, *(other for other in sources if other != source)]
    if downloaded:
        size = sum(file.stat().st_size for file in options.cache.glob("*.gz")) / 1e6
        log.info(
            "kept in %s/ (%.1f MB) and not downloaded again; delete that folder to free the space",
            *(options.cache, size),
        )
    write_record(options.record, outputs=options.files)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="download.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--entry", required=True, help="the data set's entry in config/datasets.yaml, as JSON"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("downloads"),
        metavar="FOLDER",
        help="keeps the files from the network, by their checksums (default: %(default)s)",
    )
    add_record_option(parser)
    parser.add_argument("files", type=Path, nargs="+", help="the .gz files to write")
    run(parser, main)
