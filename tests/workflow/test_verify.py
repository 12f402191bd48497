"""snakemake verify, on the results of whole runs."""

from pathlib import Path

import pytest

import kernels
from checkout import Checkout

PROCESSORS = kernels.environments()


def failing(said: str) -> list[str]:
    """Return the rows of the table that do not hold."""
    return [line for line in said.splitlines() if line.endswith("  NO")]


def test_an_honest_run_is_verified_without_repeating_anything(finished: Checkout):
    # Whatever the configuration says now: the receipt says what it is of.
    ended = finished.finish("verify")
    said = ended.stdout + ended.stderr
    assert "hold." in said and failing(said) == []
    assert "Out of date" not in said
    assert (finished.path / "results/logs/verify.log").exists()
    assert finished.planned("all", dataset="digits") == {}


def test_a_run_in_a_moved_folder_is_verified(finished: Checkout, tmp_path: Path):
    moved = Checkout(finished.path.rename(tmp_path / "another place"))
    moved.finish("verify", "--quiet", "all")


@pytest.mark.skipif(not PROCESSORS, reason="the BLAS library has the same kernels everywhere")
@pytest.mark.parametrize("processor", list(PROCESSORS)[:1] + list(PROCESSORS)[-1:])
def test_an_honest_run_is_verified_on_another_processor(finished: Checkout, processor: str):
    finished.environment = PROCESSORS[processor]
    finished.finish("verify", "--quiet", "all")


def test_a_difference_ends_with_exit_code_1_and_the_step_to_repeat(finished: Checkout):
    picture = finished.path / "results/class_balance.png"
    picture.write_bytes(picture.read_bytes() + b"\0")
    ended = finished.snakemake("verify", "--quiet", "all")
    assert ended.returncode == 1
    assert [line.split()[0] for line in failing(ended.stderr)] == ["results/class_balance.png"]
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.endswith("results/registered.json --forcerun draw_class_balance")
    command = last.partition("snakemake ")[2].split()
    finished.finish(*command, dataset="digits")
    finished.finish("verify", "--quiet", "all")


def test_without_a_receipt_there_is_one_sentence(checkout: Checkout):
    ended = checkout.snakemake("verify", "--quiet", "all")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "verify.py: results/registered.json does not exist. Register a model first: snakemake "
        "--cores 1 results/registered.json"
    )
    assert failing(ended.stderr) == []
