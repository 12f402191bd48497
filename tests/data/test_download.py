"""Test the download: it takes the first source that has the right content, and nothing else."""

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
from image_workflow.data import idx
from image_workflow.data.sources import SourceError
from image_workflow.errors import UserError

NAME = "t10k-labels-idx1-ubyte"
OTHER = "t10k-images-idx3-ubyte"
PAYLOAD = idx.header((3,)) + bytes([1, 0, 2])
OTHER_PAYLOAD = idx.header((3, 2, 2)) + bytes(range(12))
SHA256 = hashlib.sha256(PAYLOAD).hexdigest()
WRONG = idx.header((3,)) + bytes([1, 0, 3])


@pytest.fixture(autouse=True)
def capture_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "image_workflow")


def folder_source(path: Path, files: dict[str, bytes]) -> dict[str, str]:
    """Write files into a new folder, and return it as a source."""
    path.mkdir()
    for name, content in files.items():
        (path / name).write_bytes(content)
    return {"folder": str(path)}


def run_download(path: Path, sources: list[dict], names: tuple[str, ...] = (NAME,)) -> list[bytes]:
    """Download files as the rule does, and return their bytes."""
    checksums = {NAME: SHA256, OTHER: hashlib.sha256(OTHER_PAYLOAD).hexdigest()}
    registry = path / "datasets.yaml"
    registry.write_text(yaml.safe_dump({"mine": {"files": checksums, "sources": sources}}))
    files = [path / "raw" / f"{name}.gz" for name in names]
    download.main(Namespace(datasets=registry, dataset="mine", files=files, record=None))
    assert sorted(files) == sorted((path / "raw").iterdir())
    return [file.read_bytes() for file in files]


# ---- One source ----------------------------------------------------------------------------


def test_gzipped_file_is_copied_unchanged(tmp_path: Path):
    compressed = gzip.compress(PAYLOAD, 1, mtime=1)
    source = folder_source(tmp_path / "mine", {f"{NAME}.gz": compressed})
    assert run_download(tmp_path, [source]) == [compressed]


def test_raw_file_is_always_compressed_to_the_same_bytes(tmp_path: Path):
    source = folder_source(tmp_path / "mine", {NAME: PAYLOAD})
    (first,) = run_download(tmp_path, [source])
    (second,) = run_download(tmp_path, [source])
    assert gzip.decompress(first) == PAYLOAD
    assert first == second
    # The gzip header has neither a time stamp nor a file name.
    assert first[4:8] == b"\0\0\0\0"
    assert first[3] == 0


def test_any_compression_of_the_right_content_is_accepted(tmp_path: Path):
    members = gzip.compress(PAYLOAD[:5]) + gzip.compress(PAYLOAD[5:], 9)
    source = folder_source(tmp_path / "mine", {f"{NAME}.gz": members})
    assert run_download(tmp_path, [source]) == [members]


def test_error_names_an_unknown_data_set(tmp_path: Path):
    registry = tmp_path / "datasets.yaml"
    registry.write_text(yaml.safe_dump({"mine": {}, "digits": {}}))
    with pytest.raises(UserError) as raised:
        download.main(Namespace(datasets=registry, dataset="digit", files=[tmp_path / "raw/a.gz"]))
    assert str(raised.value) == f"digit is not a data set of {registry}, which has digits, mine."
    assert not (tmp_path / "raw").exists()


def test_a_source_that_the_operating_system_refuses_is_skipped(tmp_path: Path, caplog):
    too_long = {"folder": "a" * 300}
    source = folder_source(tmp_path / "mine", {NAME: PAYLOAD})
    (written,) = run_download(tmp_path, [too_long, source])
    assert gzip.decompress(written) == PAYLOAD
    assert f"{NAME}: not from folder {'a' * 300}: File name too long" in caplog.messages


# ---- Several sources -----------------------------------------------------------------------


WRONG_CONTENTS = {
    "another content": (
        gzip.compress(WRONG),
        f"expected a payload with sha256 {SHA256}, found {hashlib.sha256(WRONG).hexdigest()}",
    ),
    "truncated": (gzip.compress(PAYLOAD)[:-1], "its gzip stream is damaged"),
    "trailing bytes": (gzip.compress(PAYLOAD) + b"junk", "its gzip stream is damaged"),
    "a web page": (b"<html>Not Found</html>", "expected a payload with sha256"),
    "empty": (b"", "expected a payload with sha256"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG_CONTENTS.values(), ids=WRONG_CONTENTS)
def test_next_source_is_tried_after_wrong_content(tmp_path: Path, caplog, content, reason):
    wrong = folder_source(tmp_path / "wrong", {f"{NAME}.gz": content})
    right = folder_source(tmp_path / "right", {NAME: PAYLOAD})
    (file,) = run_download(tmp_path, [wrong, right])
    assert gzip.decompress(file) == PAYLOAD
    first, second = caplog.messages
    assert first.startswith(f"{NAME}: not from folder {tmp_path / 'wrong'}: {reason}")
    assert second == f"{NAME}: from folder {tmp_path / 'right'}, sha256 verified"


def test_next_mirror_is_tried_after_a_missing_file_and_wrong_content(
    server: mirror.Mirror, tmp_path: Path
):
    server.answers[f"/wrong/{NAME}.gz"] = [mirror.content(gzip.compress(WRONG))]
    server.answers[f"/right/{NAME}.gz"] = [mirror.content(gzip.compress(PAYLOAD))]
    sources = [{"https": f"{server.url}/{path}"} for path in ("missing", "wrong", "right")]
    (file,) = run_download(tmp_path, sources)
    assert gzip.decompress(file) == PAYLOAD
    assert [path.split("/")[1] for path in server.requests] == ["missing", "wrong", "right"]


def test_next_file_is_not_requested_from_a_source_that_failed(
    server: mirror.Mirror, tmp_path: Path
):
    mine = folder_source(tmp_path / "mine", {NAME: PAYLOAD, OTHER: OTHER_PAYLOAD})
    run_download(tmp_path, [{"https": server.url}, mine], (NAME, OTHER))
    assert server.requests == [f"/{NAME}.gz"]


def test_source_that_lacks_one_file_supplies_the_others(tmp_path: Path):
    incomplete = folder_source(tmp_path / "incomplete", {NAME: PAYLOAD})
    other = folder_source(tmp_path / "other", {OTHER: OTHER_PAYLOAD})
    files = run_download(tmp_path, [incomplete, other], (NAME, OTHER))
    assert [gzip.decompress(file) for file in files] == [PAYLOAD, OTHER_PAYLOAD]


def test_error_lists_the_reason_of_each_source(server: mirror.Mirror, tmp_path: Path):
    wrong = folder_source(tmp_path / "wrong", {NAME: WRONG, OTHER: OTHER_PAYLOAD})
    sources = [{"folder": str(tmp_path / "empty")}, {"https": server.url}, wrong]
    with pytest.raises(UserError) as raised:
        run_download(tmp_path, sources, (OTHER, NAME))
    assert str(raised.value).splitlines() == [
        f"no source gave {NAME} with the right content.",
        f"  folder {wrong['folder']}: expected a payload with sha256 {SHA256}, "
        f"found {hashlib.sha256(WRONG).hexdigest()}",
        f"  folder {tmp_path / 'empty'}: no {NAME}.gz or {NAME} in {tmp_path / 'empty'}",
        f"  https {server.url}: the server answered 404 Not Found",
        "To go on without a network, put the data set's four files into a folder and name it "
        "among the sources in config/datasets.yaml, as in `- folder: data/mnist`.",
    ]
    assert list((tmp_path / "raw").iterdir()) == []


# ---- Checksums -----------------------------------------------------------------------------


def test_checksum_of_a_gzip_is_that_of_its_payload(tmp_path: Path):
    idx.write(tmp_path / "labels.gz", np.array([1, 0, 2], np.uint8))
    assert download.gzip_payload_sha256(tmp_path / "labels.gz") == SHA256


def test_checksum_of_a_damaged_gzip_is_refused(tmp_path: Path):
    whole = gzip.compress(PAYLOAD)
    for damaged in (whole[:-4], whole[:-5] + b"\0" + whole[-4:], b"\x1f\x8b" + bytes(20)):
        (tmp_path / "damaged.gz").write_bytes(damaged)
        with pytest.raises(SourceError, match="its gzip stream is damaged"):
            download.gzip_payload_sha256(tmp_path / "damaged.gz")
