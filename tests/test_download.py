"""The download: the first source with the right content, and nothing but the right content."""

import gzip
import hashlib
import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import yaml

import download
import mirror
from lib import idx
from lib.command import UserError
from lib.sources import SourceError

NAME = "t10k-labels-idx1-ubyte"
OTHER = "t10k-images-idx3-ubyte"
PAYLOAD = idx.header((3,)) + bytes([1, 0, 2])
OTHER_PAYLOAD = idx.header((3, 2, 2)) + bytes(range(12))
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
WRONG = idx.header((3,)) + bytes([1, 0, 3])


@pytest.fixture(autouse=True)
def all_messages(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "workflow")


def folder(path: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Write the files of a local folder and return it as a source."""
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return {"folder": str(path)}


def downloaded(path: Path, sources: list[dict], names: tuple[str, ...] = (NAME,)) -> list[bytes]:
    """Download files as the rule does, and return their bytes."""
    sums = {NAME: SHA256, OTHER: hashlib.sha256(OTHER_PAYLOAD).hexdigest()}
    registry = path / "datasets.yaml"
    registry.write_text(yaml.safe_dump({"mine": {"files": sums, "sources": sources}}))
    files = [path / "raw" / f"{name}.gz" for name in names]
    download.main(Namespace(datasets=registry, dataset="mine", files=files, record=None))
    assert sorted(files) == sorted((path / "raw").iterdir())
    return [file.read_bytes() for file in files]


def test_a_gzipped_file_is_taken_as_it_is(tmp_path: Path):
    compressed = gzip.compress(PAYLOAD, 1, mtime=1)
    source = folder(tmp_path / "mine", {f"{NAME}.gz": compressed})
    assert downloaded(tmp_path, [source]) == [compressed]


def test_a_raw_file_is_compressed_always_to_the_same_bytes(tmp_path: Path):
    source = folder(tmp_path / "mine", {NAME: PAYLOAD})
    (first,) = downloaded(tmp_path, [source])
    (second,) = downloaded(tmp_path, [source])
    assert gzip.decompress(first) == PAYLOAD
    assert first == second
    assert first[4:8] == b"\0\0\0\0"  # the time stamp of a gzip header
    assert first[3] == 0  # no file name in it


def test_any_compression_of_the_right_content_passes(tmp_path: Path):
    members = gzip.compress(PAYLOAD[:5]) + gzip.compress(PAYLOAD[5:], 9)
    source = folder(tmp_path / "mine", {f"{NAME}.gz": members})
    assert downloaded(tmp_path, [source]) == [members]


NOT_THE_CONTENT = {
    "another content": (
        gzip.compress(WRONG),
        f"expected a payload with sha256 {SHA256}, found {hashlib.sha256(WRONG).hexdigest()}",
    ),
    "truncated": (gzip.compress(PAYLOAD)[:-1], "its gzip stream is damaged"),
    "trailing bytes": (gzip.compress(PAYLOAD) + b"junk", "its gzip stream is damaged"),
    "a web page": (b"<html>Not Found</html>", "expected a payload with sha256"),
    "empty": (b"", "expected a payload with sha256"),
}


@pytest.mark.parametrize(("content", "reason"), NOT_THE_CONTENT.values(), ids=NOT_THE_CONTENT)
def test_wrong_content_leads_to_the_next_source(tmp_path: Path, caplog, content, reason):
    wrong = folder(tmp_path / "wrong", {f"{NAME}.gz": content})
    right = folder(tmp_path / "right", {NAME: PAYLOAD})
    (file,) = downloaded(tmp_path, [wrong, right])
    assert gzip.decompress(file) == PAYLOAD
    first, second = caplog.messages
    assert first.startswith(f"{NAME}: not from folder {tmp_path / 'wrong'}: {reason}")
    assert second == f"{NAME}: from folder {tmp_path / 'right'}, sha256 verified"


def test_a_mirror_with_wrong_content_leads_to_the_next(server: mirror.Mirror, tmp_path: Path):
    server.answers[f"/wrong/{NAME}.gz"] = [mirror.content(gzip.compress(WRONG))]
    server.answers[f"/right/{NAME}.gz"] = [mirror.content(gzip.compress(PAYLOAD))]
    sources = [{"https": f"{server.url}/{path}"} for path in ("missing", "wrong", "right")]
    (file,) = downloaded(tmp_path, sources)
    assert gzip.decompress(file) == PAYLOAD
    assert [path.split("/")[1] for path in server.requests] == ["missing", "wrong", "right"]


def test_a_source_that_failed_is_not_asked_for_the_next_file(server: mirror.Mirror, tmp_path: Path):
    mine = folder(tmp_path / "mine", {NAME: PAYLOAD, OTHER: OTHER_PAYLOAD})
    downloaded(tmp_path, [{"https": server.url}, mine], (NAME, OTHER))
    assert server.requests == [f"/{NAME}.gz"]


def test_a_source_that_lacks_one_file_gives_the_others(tmp_path: Path):
    lacking = folder(tmp_path / "lacking", {NAME: PAYLOAD})
    whole = folder(tmp_path / "whole", {OTHER: OTHER_PAYLOAD})
    files = downloaded(tmp_path, [lacking, whole], (NAME, OTHER))
    assert [gzip.decompress(file) for file in files] == [PAYLOAD, OTHER_PAYLOAD]


def test_when_all_sources_fail_one_message_has_every_reason(server: mirror.Mirror, tmp_path: Path):
    wrong = folder(tmp_path / "wrong", {NAME: WRONG, OTHER: OTHER_PAYLOAD})
    sources = [{"folder": str(tmp_path / "empty")}, {"https": server.url}, wrong]
    with pytest.raises(UserError) as refused:
        downloaded(tmp_path, sources, (OTHER, NAME))
    assert str(refused.value).splitlines() == [
        f"no source gave {NAME} with the right content.",
        f"  folder {wrong['folder']}: expected a payload with sha256 {SHA256}, "
        f"found {hashlib.sha256(WRONG).hexdigest()}",
        f"  folder {tmp_path / 'empty'}: no {NAME}.gz or {NAME} in {tmp_path / 'empty'}",
        f"  https {server.url}: the server answered 404 Not Found",
        "To go on without a network, put the data set's four files into a folder and name it "
        "among the sources in config/datasets.yaml, as in `- folder: data/mnist`.",
    ]
    assert list((tmp_path / "raw").iterdir()) == []


def test_an_unknown_data_set_is_named(tmp_path: Path):
    registry = tmp_path / "datasets.yaml"
    registry.write_text(yaml.safe_dump({"mine": {}, "digits": {}}))
    with pytest.raises(UserError) as refused:
        download.main(Namespace(datasets=registry, dataset="digit", files=[tmp_path / "raw/a.gz"]))
    assert str(refused.value) == f"digit is not a data set of {registry}, which has digits, mine."
    assert not (tmp_path / "raw").exists()


def test_the_sha256_is_that_of_the_payload(tmp_path: Path):
    idx.write(tmp_path / "labels.gz", np.array([1, 0, 2], np.uint8))
    assert download.gzip_payload_sha256(tmp_path / "labels.gz") == SHA256


def test_a_damaged_gzip_has_no_sha256(tmp_path: Path):
    whole = gzip.compress(PAYLOAD)
    for damaged in (whole[:-4], whole[:-5] + b"\0" + whole[-4:], b"\x1f\x8b" + bytes(20)):
        (tmp_path / "damaged.gz").write_bytes(damaged)
        with pytest.raises(SourceError, match="its gzip stream is damaged"):
            download.gzip_payload_sha256(tmp_path / "damaged.gz")
