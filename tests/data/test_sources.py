"""Test the sources of the IDX files with real folders, servers and packages: data/sources.py."""

import gzip
import hashlib
import logging
import socket
import time
from pathlib import Path

import numpy as np
import pytest

import mirror
from azureml_emulator.certificates import Authority
from checkout import TOP
from image_workflow.configuration import load
from image_workflow.data import sources
from image_workflow.data.sources import SourceError, from_bundled, from_folder, from_https

NAME = "t10k-labels-idx1-ubyte"
PATH = f"/mnist/{NAME}.gz"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gz"


# ---- A folder ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_folder_supplies_a_raw_or_gzipped_file(tmp_path: Path, target: Path, name: str):
    (tmp_path / name).write_bytes(b"content")
    from_folder(str(tmp_path), NAME, target)
    assert target.read_bytes() == b"content"


def test_error_says_what_the_folder_has(tmp_path: Path, target: Path):
    (tmp_path / f"{NAME}.gz").mkdir()
    with pytest.raises(SourceError) as raised:
        from_folder(str(tmp_path), NAME, target)
    assert str(raised.value) == f"no {NAME}.gz or {NAME} in {tmp_path}, which has no files"
    for name in ("d.csv", "a.csv", ".hidden", "c.csv", "b.csv", f"{NAME}.gz/e.csv"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"which has a\.csv, b\.csv, c\.csv, 2 more$"):
        from_folder(str(tmp_path), NAME, target)


def test_missing_folder_is_a_source_error(tmp_path: Path, target: Path):
    with pytest.raises(SourceError) as raised:
        from_folder(str(tmp_path / "missing"), NAME, target)
    assert str(raised.value) == f"there is no folder {tmp_path / 'missing'}"


@pytest.mark.parametrize("folder", ["~/mine", "$IMAGES/mine", "${IMAGES}/mine"])
def test_home_and_variables_are_expanded(tmp_path: Path, target: Path, monkeypatch, folder: str):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGES", str(tmp_path))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / NAME).write_bytes(b"content")
    from_folder(folder, NAME, target)
    assert target.read_bytes() == b"content"


def test_folder_supplies_a_file_under_another_name(tmp_path: Path, target: Path):
    (tmp_path / "gzip").mkdir()
    for part in ("train", "test"):
        (tmp_path / f"gzip/emnist-letters-{part}-labels-idx1-ubyte.gz").write_text(part)
    from_folder(str(tmp_path), NAME, target)
    assert target.read_text() == "test"


def test_exact_name_comes_before_other_names(tmp_path: Path, target: Path):
    (tmp_path / "other-t10k-labels-idx1-ubyte").write_bytes(b"other")
    (tmp_path / NAME).write_bytes(b"exact")
    from_folder(str(tmp_path), NAME, target)
    assert target.read_bytes() == b"exact"


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
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.3)
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
        (mirror.silence, 1, "the server sent nothing for 0.3 s"),
        (mirror.stall(b"first bytes"), 1, "the server sent nothing for 0.3 s"),
        (mirror.drip, 1, "the server sends less than 1,000 bytes a second"),
    ],
    ids=["404", "403", "500", "truncated", "silent", "stalled", "slow"],
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


@pytest.mark.timeout(15)
def test_a_file_may_take_a_limited_time(server: mirror.Mirror, target: Path, monkeypatch):
    monkeypatch.setattr(sources, "FILE_SECONDS", 0.6)
    server.answers[PATH] = [mirror.drip]
    with pytest.raises(SourceError, match=r"the file took more than 0\.6 s"):
        from_https(f"{server.url}/mnist", NAME, target)


@pytest.mark.timeout(15)
@pytest.mark.parametrize("promised", [10_000_000_000, None], ids=["promised", "not promised"])
def test_a_file_is_given_up_when_it_is_too_large(
    server: mirror.Mirror, target: Path, monkeypatch, promised: int | None
):
    monkeypatch.setattr(sources, "MOST_BYTES", 3_000_000)
    server.answers[PATH] = [mirror.endless(promised)]
    with pytest.raises(SourceError, match=r"^the file has more than 0\.003 GB$"):
        from_https(f"{server.url}/mnist", NAME, target)
    # A size that is known is refused before a byte is written.
    size = target.stat().st_size if target.exists() else 0
    assert size == 0 if promised else 3_000_000 < size < 3_100_000


def test_a_bomb_that_the_server_compressed_once_more_is_given_up(
    server: mirror.Mirror, target: Path, monkeypatch
):
    monkeypatch.setattr(sources, "MOST_BYTES", 3_000_000)
    body = gzip.compress(bytes(30_000_000))
    server.answers[PATH] = [mirror.content(body, headers={"Content-Encoding": "gzip"})]
    with pytest.raises(SourceError, match="the file has more than"):
        from_https(f"{server.url}/mnist", NAME, target)
    assert target.stat().st_size < 6_000_000


# ---- Redirects and proxies -------------------------------------------------------------------


def test_a_redirect_to_another_host_is_followed(server: mirror.Mirror, target: Path):
    with mirror.serving() as other:
        other.answers["/there"] = [mirror.content(b"whole")]
        server.answers[PATH] = [mirror.redirect(f"{other.url}/there")]
        from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/", "the server answered 404 Not Found"),
        (PATH, "Exceeded 30 redirects."),
        ("file:///etc/passwd", "a redirect to http or https, found 'file:///etc/passwd'"),
        ("http://[", "Invalid IPv6 URL"),
    ],
)
def test_a_redirect_to_nowhere_is_a_source_error(
    server: mirror.Mirror, target: Path, location: str, message: str
):
    server.answers[PATH] = [mirror.redirect(location)]
    with pytest.raises(SourceError) as raised:
        from_https(f"{server.url}/mnist", NAME, target)
    assert message in str(raised.value)


def test_a_redirect_from_https_to_http_is_refused_before_it_is_followed(
    server: mirror.Mirror, target: Path, tmp_path: Path, monkeypatch
):
    authority = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with mirror.serving(authority.context("localhost")) as encrypted:
        encrypted.answers[PATH] = [mirror.redirect(f"{server.url}/there")]
        with pytest.raises(SourceError, match="a redirect to https, found 'http:"):
            from_https(f"{encrypted.url}/mnist", NAME, target)
        encrypted.answers[PATH] = [mirror.redirect("/there")]
        encrypted.answers["/there"] = [mirror.content(b"whole")]
        from_https(f"{encrypted.url}/mnist", NAME, target)
    assert server.requests == []
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize(
    "proxy",
    ["http://me:secret@127.0.0.1:port", "http://me:secret@[", "http://me:sec#ret@127.0.0.1"],
)
def test_a_wrong_proxy_is_a_source_error_without_its_password(
    target: Path, monkeypatch, proxy: str
):
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(SourceError) as raised:
        from_https("http://mirror.invalid", NAME, target)
    text = str(raised.value)
    assert "sec" not in text and "\n" not in text


def test_pauses_between_tries_grow(server: mirror.Mirror, target: Path, pauses: list[float]):
    server.answers[PATH] = [mirror.status(503)]
    with pytest.raises(SourceError):
        from_https(f"{server.url}/mnist", NAME, target)
    assert pauses == [0.5, 1]


def test_server_that_sends_its_headers_slowly_is_given_up(
    server: mirror.Mirror, target: Path, monkeypatch
):
    def drip_headers(handler):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        while not handler.server.closing.wait(0.1):
            handler.wfile.write(b"x")

    monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(sources, "STALL_SECONDS", 0.3)
    server.answers[PATH] = [drip_headers]
    with pytest.raises(SourceError, match=r"the server sent no answer within 0\.6 s"):
        from_https(f"{server.url}/mnist", NAME, target)


def test_content_that_the_server_compressed_once_more_is_decoded(
    server: mirror.Mirror, target: Path
):
    compressed = gzip.compress(b"whole")
    server.answers[PATH] = [mirror.content(compressed, headers={"Content-Encoding": "gzip"})]
    from_https(f"{server.url}/mnist", NAME, target)
    assert target.read_bytes() == b"whole"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.usefixtures("no_proxy")
def test_refused_connection_is_reported_without_another_try(target: Path, pauses: list[float]):
    with mirror.closed_port() as port, pytest.raises(SourceError) as raised:
        from_https(f"http://127.0.0.1:{port}", NAME, target)
    assert str(raised.value) == "no connection to 127.0.0.1: Connection refused"
    assert pauses == []


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("hangs", ["connection", "lookup"])
def test_host_that_cannot_be_reached_is_given_up(
    target: Path, monkeypatch, caplog: pytest.LogCaptureFixture, hangs: str
):
    caplog.set_level(logging.INFO, "image_workflow")
    monkeypatch.setattr(sources, "CONNECT_SECONDS", 0.3)
    with mirror.dropping_port() as port:

        def lookup(*_, **__):
            if hangs == "lookup":
                time.sleep(5)
            # A host with several addresses takes no longer.
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))] * 8

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        start = time.monotonic()
        with pytest.raises(SourceError) as raised:
            from_https("http://mirror.invalid", NAME, target)
        assert time.monotonic() - start < 1
    assert str(raised.value) == "no connection to mirror.invalid within 0.3 s"
    assert caplog.messages == [
        f"waiting for http://mirror.invalid/{NAME}.gz (at most 0.3 s for a connection)"
    ]


def test_host_behind_a_proxy_is_not_looked_up(server: mirror.Mirror, target: Path, monkeypatch):
    url = "http://mirror.invalid"
    server.answers[f"{url}/{NAME}.gz"] = [mirror.content(b"whole")]
    monkeypatch.setenv("http_proxy", server.url)
    from_https(url, NAME, target)
    assert target.read_bytes() == b"whole"


@pytest.mark.parametrize("url", ["https://", "http://[", "https://example.org:port/"])
def test_invalid_url_is_a_source_error(target: Path, url: str):
    with pytest.raises(SourceError):
        from_https(url, NAME, target)
