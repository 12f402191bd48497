"""Field cases: other ways to call Snakemake, and results that are left, deleted or altered."""

import shutil
from pathlib import Path

import pytest

from checkout import Checkout

DIGITS = {"dataset": "digits"}


# ---- Fixed paths in commands ---------------------------------------------------------------


def importing(checkout: Checkout, folder: Path, options: str = "") -> Checkout:
    """Return a project whose Snakefile imports the checkout's workflow as a module."""
    folder.mkdir()
    shutil.copytree(checkout.path / "config", folder / "config")
    (folder / "Snakefile").write_text(
        f"""
configfile: "config/config.yaml"


module images:
    snakefile:
        "{checkout.path}/Snakefile"
    config:
        config
{options}

use rule * from images
"""
    )
    return Checkout(folder)


@pytest.mark.parametrize("option", ['prefix: "mine"', 'replace_prefix: {"results/": "mine/"}'])
def test_field_case_a_module_with_a_prefix(checkout: Checkout, tmp_path: Path, option: str):
    """dna-seq-varlociraptor 70; a further example: replace_prefix."""
    project = importing(checkout, tmp_path / "project", options=f"    {option}\n")
    ended = project.snakemake("-n", **DIGITS)
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "this workflow cannot be imported with prefix: or replace_prefix:" in said
    assert "Traceback" not in said


def test_field_case_a_module_without_a_prefix(checkout: Checkout, tmp_path: Path):
    """A further example, which works."""
    project = importing(checkout, tmp_path / "project")
    project.finish("--cores", "1", "results/preview.png", **DIGITS)
    assert (project.path / "results/preview.png").exists()


def test_field_case_another_working_directory(checkout: Checkout, tmp_path: Path):
    """A further example: the results of a call with --directory are there, and only there."""
    project = tmp_path / "project"
    shutil.copytree(checkout.path / "config", project / "config")
    checkout.finish("--directory", str(project), "results/records/download_train.json", **DIGITS)
    assert (project / "results/raw/train-images-idx3-ubyte.gz").exists()
    assert not (checkout.path / "results").exists()


# ---- snakemake --report --------------------------------------------------------------------


def test_field_case_snakemake_report(finished: Checkout):
    finished.finish("--report", "report.html", **DIGITS)
    assert (finished.path / "report.html").stat().st_size > 100_000


# ---- Outputs that a change of configuration orphans ----------------------------------------


@pytest.mark.parametrize(
    ("config", "orphans"),
    [
        ({"regularization": 0.5}, ["sweep.png"]),
        ({"estimator": "sklearn.naive_bayes.BernoulliNB"}, ["sweep.png", "weights.png"]),
    ],
    ids=["one-rate", "not-linear"],
)
def test_field_case_a_single_rate_after_a_list(finished: Checkout, config: dict, orphans: list):
    """A further example: an estimator that has no weights to draw."""
    pictures = [finished.path / "results" / name for name in orphans]
    assert all(picture.exists() for picture in pictures)
    finished.finish("results/model.pkl", **DIGITS | config)
    assert not any(picture.exists() for picture in pictures)
    # The same for a picture that is put back.
    pictures[0].touch()
    finished.finish("results/model.pkl", **DIGITS | config)
    assert not pictures[0].exists()


# ---- Only the last file is a target --------------------------------------------------------


def test_field_case_results_are_deleted_and_the_receipt_is_kept(finished: Checkout):
    """Further examples are in test_reruns_results.py: each result, deleted, cut off or edited."""
    names = "preview.png", "metrics.json", "model.pkl", "training.json"
    before = {name: (finished.path / "results" / name).read_bytes() for name in names}
    for name in names:
        (finished.path / "results" / name).unlink()
    finished.finish(**DIGITS)
    assert {name: (finished.path / "results" / name).read_bytes() for name in names} == before
    assert finished.receipt()["version"] == 1
