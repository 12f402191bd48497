"""Test the download: it takes the first source that has the right content, and nothing else."""

import gzip
import hashlib
import json
import logging
import subprocess
import sys
import tracemalloc
from argparse import Namespace
from pathlib import Path

import pytest

import download
import mirror
from checkout import TOP
from image_workflow.configuration import load
from image_workflow.data import idx
from image_workflow.errors import UserError
from samples import gzipped

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
    entry = json.dumps({"files": checksums, "sources": sources})
    files = [path / "raw" / f"{name}.gz" for name in names]
    cache = path / "downloads"
    download.main(Namespace(entry=entry, cache=cache, files=files, record=None))
    assert sorted(files) == sorted((path / "raw").iterdir())
    return [file.read_bytes() for file in files]


# ---- One source ----------------------------------------------------------------------------


def test_gzipped_file_is_copied_unchanged(tmp_path: Path):
    compressed = gzipped(PAYLOAD, 1, mtime=1)
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
    members = gzipped(PAYLOAD[:5]) + gzipped(PAYLOAD[5:], 9)
    source = folder_source(tmp_path / "mine", {f"{NAME}.gz": members})
    assert run_download(tmp_path, [source]) == [members]


def test_a_source_that_the_operating_system_refuses_is_skipped(tmp_path: Path, caplog):
    too_long = {"folder": "a" * 300}
    source = folder_source(tmp_path / "mine", {NAME: PAYLOAD})
    (written,) = run_download(tmp_path, [too_long, source])
    assert gzip.decompress(written) == PAYLOAD
    assert f"{NAME}: not from folder {'a' * 300}: File name too long" in caplog.messages


def test_a_bomb_does_not_fill_the_memory(tmp_path: Path):
    source = folder_source(tmp_path / "mine", {f"{NAME}.gz": gzipped(bytes(200_000_000))})
    tracemalloc.start()
    try:
        with pytest.raises(
            UserError, match="found a file that begins with zero bytes, with sha256"
        ):
            run_download(tmp_path, [source])
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


# ---- Several sources -----------------------------------------------------------------------


WRONG_CONTENTS = {
    "other labels": (
        gzipped(WRONG),
        f"found 3 labels, with sha256 {hashlib.sha256(WRONG).hexdigest()} instead of {SHA256}",
    ),
    "images": (gzipped(OTHER_PAYLOAD), f"found the data set's {OTHER}"),
    "truncated": (gzipped(PAYLOAD)[:-1], "the file is truncated: its gzip stream has no end"),
    "trailing bytes": (gzipped(PAYLOAD) + b"junk", "its gzip stream is damaged"),
    "a web page": (b"<html>Not Found</html>", "found an HTML page, with sha256"),
    "a gzipped web page": (gzipped(b"<!DOCTYPE html>"), "found an HTML page, with sha256"),
    "empty": (b"", "found an empty file, with sha256"),
    "a zip archive": (b"PK\3\4" + bytes(40), "found a zip archive, with sha256"),
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
    server.answers[f"/wrong/{NAME}.gz"] = [mirror.content(gzipped(WRONG))]
    server.answers[f"/right/{NAME}.gz"] = [mirror.content(gzipped(PAYLOAD))]
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
        f"  folder {wrong['folder']}: found 3 labels, with sha256 "
        f"{hashlib.sha256(WRONG).hexdigest()} instead of {SHA256}",
        f"  folder {tmp_path / 'empty'}: there is no folder {tmp_path / 'empty'}",
        f"  https {server.url}: the server answered 404 Not Found",
        "Replace the wrong file, or correct the data set's entry. To go on without a network, put "
        f"the data set's four files into the folder {tmp_path / 'empty'}; or run with "
        "`--config dataset=digits`, which needs no network.",
    ]
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize(
    ("sources", "remedies", "expected"),
    [
        (
            [{"https": "https://a"}],
            [],
            "To go on without a network, put the data set's four files into a folder and name it "
            "among the sources in the data set's entry, as in `- folder: data/mine`; or run with "
            "`--config dataset=digits`, which needs no network.",
        ),
        (
            [{"folder": "data/x"}],
            [],
            "Please put the data set's four files into the folder data/x.",
        ),
        (
            [{"folder": "data/x"}, {"folder": "data/y"}],
            ["Unpack it.", "Unpack it."],
            "Unpack it.",
        ),
    ],
)
def test_advice_fits_the_sources(sources: list[dict], remedies: list[str], expected: str):
    assert download.advice(sources, remedies) == expected


# ---- The cache -----------------------------------------------------------------------------


def publish(server: mirror.Mirror) -> list[dict]:
    """Serve the two files, and return the source."""
    for name, payload in ((NAME, PAYLOAD), (OTHER, OTHER_PAYLOAD)):
        server.answers[f"/{name}.gz"] = [mirror.content(gzipped(payload, 1, mtime=1))]
    return [{"https": server.url}]


def test_file_from_the_network_is_downloaded_once(
    server: mirror.Mirror, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    sources = publish(server)
    first = run_download(tmp_path, sources, (NAME, OTHER))
    assert caplog.messages[-1] == (
        f"kept in {tmp_path / 'downloads'}/ (0.0 MB) and not downloaded again; delete that folder "
        "to free the space"
    )
    server.requests.clear()
    caplog.clear()
    assert run_download(tmp_path, sources, (NAME, OTHER)) == first
    assert server.requests == []
    kept = tmp_path / "downloads" / f"{SHA256}.gz"
    assert caplog.messages[0] == f"{NAME}: from {kept}, sha256 verified"
    assert kept.read_bytes() == first[0]


def test_edited_result_does_not_change_the_cache(server: mirror.Mirror, tmp_path: Path):
    sources = publish(server)
    (first,) = run_download(tmp_path, sources)
    for _ in range(2):  # after a download, and after a copy from the cache
        with open(tmp_path / "raw" / f"{NAME}.gz", "r+b") as file:
            file.write(b"edited")
        assert run_download(tmp_path, sources) == [first]
    assert len(server.requests) == 1


@pytest.mark.parametrize("damage", [b"", b"<html>", gzipped(WRONG), gzipped(PAYLOAD)[:-9]])
def test_damaged_file_in_the_cache_is_downloaded_again(
    server: mirror.Mirror, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
):
    sources = publish(server)
    (first,) = run_download(tmp_path, sources)
    kept = tmp_path / "downloads" / f"{SHA256}.gz"
    kept.write_bytes(damage)
    caplog.clear()
    assert run_download(tmp_path, sources) == [first]
    assert kept.read_bytes() == first
    assert len(server.requests) == 2
    assert caplog.messages[0].startswith(f"{NAME}: deleting {kept}, which is damaged: ")


def test_file_of_this_machine_is_not_kept(tmp_path: Path):
    run_download(tmp_path, [folder_source(tmp_path / "mine", {NAME: PAYLOAD})])
    assert not (tmp_path / "downloads").exists()


def test_file_with_the_wrong_content_is_not_kept(server: mirror.Mirror, tmp_path: Path):
    server.answers[f"/{NAME}.gz"] = [mirror.content(gzipped(WRONG))]
    with pytest.raises(UserError):
        run_download(tmp_path, [{"https": server.url}])
    assert not (tmp_path / "downloads").exists()


def test_file_is_kept_although_the_next_one_fails(server: mirror.Mirror, tmp_path: Path):
    sources = publish(server)
    del server.answers[f"/{OTHER}.gz"]
    with pytest.raises(UserError):
        run_download(tmp_path, sources, (NAME, OTHER))
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [f"{SHA256}.gz"]


# ---- Switching data sets -------------------------------------------------------------------


def test_switching_data_sets_downloads_each_file_once(server: mirror.Mirror, tmp_path: Path):
    names = load(TOP / "config/datasets.yaml")["digits"]["files"]
    payloads = {name: idx.header((1,)) + name[:1].encode() + name[6:7].encode() for name in names}
    for name, payload in payloads.items():
        server.answers[f"/{name}.gz"] = [mirror.content(gzipped(payload))]
    web = {name: hashlib.sha256(payload).hexdigest() for name, payload in payloads.items()}
    entries = {
        "web": {"files": web, "sources": [{"https": server.url}]},
        "digits": {"files": dict(names), "sources": [{"bundled": "digits"}]},
    }
    files = [f"raw/{name}.gz" for name in names]

    def run(dataset: str) -> str:
        """Run the program as the rule does, and return its messages."""
        program = [sys.executable, TOP / "workflow/scripts/download.py"]
        options = ["--entry", json.dumps(entries[dataset]), *files]
        ended = subprocess.run([*program, *options], cwd=tmp_path, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stderr

    first = run("web")
    contents = [(tmp_path / file).read_bytes() for file in files]
    assert "kept in downloads/" in first
    assert len(server.requests) == 4
    run("digits")
    assert [(tmp_path / file).read_bytes() for file in files] != contents
    server.answers.clear()  # as without a network
    again = run("web")
    assert [(tmp_path / file).read_bytes() for file in files] == contents
    assert len(server.requests) == 4
    assert again.count("from downloads/") == 4
    assert len(list((tmp_path / "downloads").iterdir())) == 4
