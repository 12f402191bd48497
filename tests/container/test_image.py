"""The image of the workflow: any user, no network, the same results as without it."""

import hashlib
import os
import shutil
import sys
from pathlib import Path

import pytest

import containers
from checkout import TOP, Checkout
from containers import STRANGER, podman, run

# The first test builds the image, which can take longer than a test may otherwise.
pytestmark = pytest.mark.timeout(1800)
# The model and the comparison of the default run, wherever it runs.
MNIST = {
    "model.pkl": "06d5be828d9bfc1d8f46b4daf05b15b55fed876d96a1786eba1eb6e821890275",
    "sweep.json": "2552498b2a1557f76cee2adc8e1d5cfb7a34c5355bd27c288c0b7f40a9c24172",
}
DIGITS = ["--config", "dataset=digits"]
# Results without time stamps and places.
SAME = ["arrays/train-images.npy", "dataset.json", "sweep.json", "model.pkl", "preview.png"]


def sha256(path: Path) -> str:
    """Return the checksum of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def folder_of_stranger(path: Path) -> Path:
    """Make a folder that belongs to a user whom this machine does not know."""
    path.mkdir()
    os.chown(path, STRANGER, STRANGER)
    return path


@pytest.fixture(scope="module")
def digits(image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all results of the digits, made in the image. Tests must not change it."""
    folder = folder_of_stranger(tmp_path_factory.mktemp("image") / "digits")
    ended = run(image, folder, *DIGITS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.mark.skipif(
    not (TOP / "downloads").is_dir(), reason="there are no downloads: run make run before"
)
def test_mnist_from_raw_files_to_the_receipt_as_any_user_without_a_network(
    image: str, tmp_path: Path
):
    folder = folder_of_stranger(tmp_path / "mnist")
    shutil.copytree(TOP / "downloads", folder / "downloads")
    ended = run(image, folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {name: sha256(folder / "results" / name) for name in MNIST} == MNIST
    receipt = Checkout(folder).receipt()
    assert (receipt["name"], receipt["version"]) == ("sklearn_mnist", 1)
    assert receipt["metrics"]["accuracy"] == 0.9193


def test_the_results_have_the_bytes_of_a_run_without_the_image(digits: Path, digits_run: Checkout):
    for name in SAME:
        expected = digits_run.path / "results" / name
        assert sha256(digits / "results" / name) == sha256(expected), name


def test_all_files_belong_to_the_caller(digits: Path):
    assert {path.name for path in digits.iterdir()} == {".snakemake", "registry", "results"}
    assert {path.lstat().st_uid for path in digits.rglob("*")} == {STRANGER}


def test_a_second_run_has_nothing_to_do(image: str, digits: Path):
    said = run(image, digits, "-n", *DIGITS)
    assert "Nothing to be done" in said.stdout + said.stderr


def test_the_receipt_can_be_verified(image: str, digits: Path):
    ended = run(image, digits, "verify", *DIGITS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "hold." in ended.stdout + ended.stderr


def test_arguments_are_those_of_snakemake(image: str, tmp_path: Path):
    folder = folder_of_stranger(tmp_path / "preview")
    ended = run(image, folder, "results/preview.png", *DIGITS)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (folder / "results/preview.png").exists()
    assert not (folder / "results/model.pkl").exists()


def test_the_configuration_in_the_folder_is_used(image: str, tmp_path: Path):
    folder = folder_of_stranger(tmp_path / "own")
    (folder / "config").mkdir()
    (folder / "config/config.yaml").write_text("dataset: no_such_data_set\n")
    ended = run(image, folder, "-n")
    assert ended.returncode == 1
    assert "dataset cannot be 'no_such_data_set'" in ended.stdout + ended.stderr


def test_a_folder_of_somebody_else_is_refused_in_a_sentence(image: str, tmp_path: Path):
    folder = tmp_path / "of root"
    folder.mkdir(mode=0o755)
    ended = run(image, folder, *DIGITS)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "Permission denied; run in a folder that can be written to." in said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []


def test_the_image_has_no_settings_of_pip(image: str):
    """They may contain a password. The build mounts them as a secret."""
    inside = podman("run", "--rm", "--entrypoint=/opt/venv/bin/python", image, "-c", LOOK)
    assert inside.returncode == 0, inside.stderr
    assert inside.stdout.split() == []


LOOK = """
from pathlib import Path
for path in [Path("/etc/pip.conf"), *Path("/run/secrets").glob("*"), *Path("/root").rglob("pip*")]:
    if path.exists() and (path.is_dir() or path.read_bytes()):
        print(path)
"""


def test_each_rule_runs_in_the_image_with_apptainer(
    image: str, checkout: Checkout, digits_run: Checkout, tmp_path: Path
):
    """Debian has no Apptainer. A stand-in gives the commands of Snakemake to podman."""
    (checkout.path / "container.sif").write_text(image)
    stand_in = tmp_path / "bin/apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{containers.__file__}" "$@"\n')
    stand_in.chmod(0o755)
    checkout.environment["PATH"] = f"{stand_in.parent}:{os.defpath}:/usr/bin"
    folder = checkout.path / "runs/inside"
    options = ["--directory", str(folder), "--sdm", "apptainer"]
    ended = checkout.finish("all", "results/report.html", *options, dataset="digits")
    said = ended.stdout + ended.stderr
    # The report's job starts another Snakemake, which the jobs have no need of in their image.
    jobs = {path.stem for path in (folder / "results/records").iterdir()} - {"report"}
    assert said.count("Activating singularity image ../../container.sif") == len(jobs)
    for name in SAME:
        expected = digits_run.path / "results" / name
        assert sha256(folder / "results" / name) == sha256(expected), name
