"""Faults of the network during a download, in real runs of the workflow.

Each run fails in a bounded time with one reason, and leaves no file. The next plain run, with a
source that works, ends with the right files.
"""

import gzip
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

import mirror
from azureml_emulator.certificates import Authority
from checkout import Checkout
from samples import gzipped, labelled_images, write_data_set

TRAIN = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
RAW = [f"results/raw/{name}.gz" for name in TRAIN]
PATH = f"/{TRAIN[0]}.gz"
HTML = b"<!DOCTYPE html><html>Please sign in to this network</html>"
LIMIT_SECONDS = 60  # of a failing run, on a busy machine


class Network(NamedTuple):
    """What a fault needs: a mirror, another one with https, and what to change for the run."""

    server: mirror.Mirror
    encrypted: mirror.Mirror
    environment: dict[str, str]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, dict, Path]:
    """Return a checkout, the checksums of a tiny data set, and the folder with its files."""
    folder = tmp_path_factory.mktemp("network")
    sets = labelled_images(60, 5, 4, [0, 1]), labelled_images(30, 5, 4, [0, 1])
    files = write_data_set(folder / "files", *sets)
    return Checkout.fresh(folder / "checkout"), files, folder / "files"


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    authority = Authority(tmp_path / "authority")
    environment = {
        # No address but loopback is contacted.
        "NO_PROXY": "*",
        "REQUESTS_CA_BUNDLE": str(authority.path),
        "npm_config_cache": str(tmp_path / "npm"),
    }
    with mirror.serving() as server, mirror.serving(authority.context("localhost")) as encrypted:
        yield Network(server, encrypted, environment)


# ---- Faults ----------------------------------------------------------------------------------


def answered(*answers: mirror.Answer) -> Callable:
    """Let the mirror give these answers."""

    @contextmanager
    def fault(network: Network) -> Iterator[list[dict]]:
        network.server.answers[PATH] = list(answers)
        yield [{"https": network.server.url}]

    return fault


def port(open_port: Callable) -> Callable:
    """Name a mirror at a port that does something else than to answer."""

    @contextmanager
    def fault(network: Network) -> Iterator[list[dict]]:
        with open_port() as number:
            yield [{"https": f"http://127.0.0.1:{number}"}]

    return fault


def behind_proxy(answer: mirror.Answer) -> Callable:
    """Put a proxy into the way, which answers to all requests."""

    @contextmanager
    def fault(network: Network) -> Iterator[list[dict]]:
        url = "http://mirror.invalid"
        proxy = network.server.url.replace("//", "//me:password@")
        network.environment.update(http_proxy=proxy, HTTP_PROXY=proxy, NO_PROXY="")
        network.server.answers[url + PATH] = [answer]
        yield [{"https": url}]

    return fault


@contextmanager
def unknown_host(network: Network) -> Iterator[list[dict]]:
    yield [{"https": "http://mirror.invalid"}]


@contextmanager
def downgrade(network: Network) -> Iterator[list[dict]]:
    network.encrypted.answers[PATH] = [mirror.redirect(f"{network.server.url}{PATH}")]
    yield [{"https": network.encrypted.url}]


@contextmanager
def unknown_certificate(network: Network) -> Iterator[list[dict]]:
    network.environment["REQUESTS_CA_BUNDLE"] = ""
    yield [{"https": network.encrypted.url}]


@contextmanager
def without_npm(network: Network) -> Iterator[list[dict]]:
    programs = Path(network.environment["npm_config_cache"]).with_name("programs")
    programs.mkdir()
    (programs / "bash").symlink_to(shutil.which("bash"))
    network.environment["PATH"] = str(programs)
    yield [{"npm": "images@1.0.0"}]


@contextmanager
def npm_registry(network: Network, port: Callable) -> Iterator[list[dict]]:
    """Let npm ask a port of this machine, which is closed or silent."""
    network.environment["PATH"] = os.environ["PATH"]
    with port() as number:
        network.environment["npm_config_registry"] = f"http://127.0.0.1:{number}"
        yield [{"npm": "images@1.0.0"}]


@contextmanager
def all_down(network: Network) -> Iterator[list[dict]]:
    network.server.answers[PATH] = [mirror.status(503)]
    with without_npm(network) as npm, mirror.closed_port() as number:
        yield [
            {"folder": "data/nothing"},
            {"https": network.server.url},
            {"https": f"http://127.0.0.1:{number}"},
            *npm,
            {"opendatasets": "MNIST"},
        ]


#: What is injected, how, and the reason that the user reads.
FAULTS = {
    "connection refused": (port(mirror.closed_port), "no connection to 127.0.0.1: Connection ref"),
    "connection dropped": (port(mirror.dropping_port), "no connection to 127.0.0.1 within 4 s"),
    "no such host": (unknown_host, "no connection to mirror.invalid: "),
    "no answer": (answered(mirror.silence), "the server sent nothing for 15 s"),
    "404": (answered(mirror.status(404)), "the server answered 404 Not Found"),
    "500 three times": (answered(mirror.status(500)), "the server answered 500"),
    "redirect loop": (answered(mirror.redirect(PATH)), "Exceeded 30 redirects."),
    "redirect to a file": (
        answered(mirror.redirect("file:///etc/passwd")),
        "expected a redirect to http or https, found 'file:///etc/passwd'",
    ),
    "redirect from https to http": (downgrade, "expected a redirect to https, found 'http:"),
    "unknown certificate": (unknown_certificate, "certificate verify failed"),
    "truncated body": (answered(mirror.content(b"x", promised=9)), "IncompleteRead(1 bytes read"),
    "body that stops": (answered(mirror.stall(b"x")), "the server sent nothing for 15 s"),
    "slow drip": (answered(mirror.drip), "the server sends less than 1,000 bytes a second"),
    "10 GB body": (answered(mirror.endless(10_000_000_000)), "the file has more than 2 GB"),
    "wrong bytes": (answered(mirror.content(b"wrong")), "found a text that begins with 'wrong'"),
    "empty body": (answered(mirror.content(b"")), "found an empty file, with sha256"),
    "HTML with 200": (answered(mirror.content(HTML)), "found an HTML page, with sha256"),
    "bomb of 300 MB": (answered(mirror.content(gzipped(bytes(300_000_000)))), "with sha256"),
    "sign-in page of a proxy": (behind_proxy(mirror.content(HTML)), "found an HTML page, with"),
    "407 of a proxy": (behind_proxy(mirror.status(407)), "the server answered 407 Proxy Authent"),
    "npm absent": (without_npm, "npm is not installed"),
    "npm's registry refuses": (partial(npm_registry, port=mirror.closed_port), "ECONNREFUSED"),
    "npm's registry silent": (partial(npm_registry, port=mirror.silent_port), "npm view: "),
    "all mirrors down": (all_down, "there is no folder"),
}


@pytest.mark.parametrize("injected", FAULTS)
def test_a_download_that_fails_says_why_and_the_next_one_succeeds(
    data: tuple, network: Network, tmp_path: Path, report_fault: Callable, injected: str
):
    fault, reason = FAULTS[injected]
    if injected.startswith("npm's") and shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    fresh, files, folder = data
    checkout = fresh.copied(tmp_path / "checkout")
    checkout.environment = network.environment
    start = time.monotonic()
    with fault(network) as sources:
        choose(checkout, files, sources)
        ended = checkout.snakemake(*RAW, dataset="mine")
    assert time.monotonic() - start < LIMIT_SECONDS
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "Traceback" not in said and "password" not in said
    assert f"download.py: no source gave {TRAIN[0]} with the right content." in said
    reasons = [line for line in said.splitlines() if line.startswith("  ") and ": " in line]
    found = [line for line in reasons if line.split()[0] in ("https", "npm", "folder")]
    assert len(found) >= min(len(sources), 4)
    assert reason in found[0]
    assert left(checkout) == []

    choose(checkout, files, [{"folder": str(folder)}])
    checkout.finish(*RAW, dataset="mine")
    assert left(checkout) == sorted(RAW)
    for name in TRAIN:
        payload = gzip.decompress((checkout.path / f"results/raw/{name}.gz").read_bytes())
        assert hashlib.sha256(payload).hexdigest() == files[name]
    shown = found[0].strip().partition(": ")[2]
    report_fault(injected, shown, ended.returncode, "the right files")


def choose(checkout: Checkout, files: dict[str, str], sources: list[dict]) -> None:
    """Write the data set's entry with these sources."""
    text = yaml.safe_dump({"mine": {"files": files, "sources": sources}})
    (checkout.path / "config/my_datasets.yaml").write_text(text)


def left(checkout: Checkout) -> list[str]:
    """Return all files of a download, temporary ones too."""
    folders = checkout.path / "results/raw", checkout.path / "downloads"
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(checkout.path)) for path in files)
