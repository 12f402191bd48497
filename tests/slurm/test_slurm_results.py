"""A run on a cluster makes the bytes of a local run. Neither repeats what the other has made."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from checkout import TOP, Checkout
from slurm_client import ARRAYS, PYTHON, Client, needs_client, needs_cluster, planned

DOCUMENTED = re.findall(
    r"\.venv-slurm/bin/snakemake ([^`#\n]+)", (TOP / "docs/slurm.md").read_text(encoding="utf-8")
)
SAME = ["results/model.pkl", "results/sweep.json", "results/metrics.json"]
ONE_MORE, TWO_MORE = "[0.1,0.5,2,10,30]", "[0.1,0.5,2,10,30,50]"


def assert_same_results(one: Checkout, other: Checkout) -> None:
    for name in SAME:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes(), name


@needs_cluster
def test_every_rule_of_the_digits_is_a_job(digits_run: Checkout, tmp_path: Path):
    checkout = Checkout.fresh(tmp_path / "checkout")
    client = Client(checkout, dataset="digits")
    client.succeed()
    assert_same_results(checkout, digits_run)
    jobs = client.jobs()
    assert {job["state"] for job in jobs} == {"COMPLETED"}
    assert {job["node"] for job in jobs} == {"n1", "n2"}
    rules = [re.match(r"rule_(\w+?)(_wildcards_.*)?$", job["rule"])[1] for job in jobs]
    drawn = ["class_balance", "confusion", "mistakes", "sweep", "weights"]
    expected = ["describe", "evaluate", "preview", "register", "train"]
    expected += ["download"] * 2 + ["parse"] * 2 + ["score_candidate"] * 4
    assert sorted(rules) == sorted([*expected, *(f"draw_{name}" for name in drawn)])
    # Each rule states its memory and its time.
    assert all(int(job["memory"].removesuffix("M")) >= 500 for job in jobs)
    assert all(job["limit"] not in ("UNLIMITED", "INVALID") for job in jobs)
    assert planned(checkout, dataset="digits") == {}
    assert checkout.planned(dataset="digits") == {}
    # Locally all candidates are one job, whatever was spread before.
    rules = {"train", "evaluate", "draw_confusion", "draw_mistakes", "draw_sweep", "draw_weights"}
    more = {"dataset": "digits", "regularization": ONE_MORE}
    assert checkout.planned(**more).keys() == rules | {"register"}
    assert planned(checkout, **more) == dict.fromkeys(rules | {"register", "score_candidate"}, 1)
    # The record of a candidate's job is no reason to train: its score has done its work.
    (checkout.path / "results/candidates/2.json").unlink()
    assert checkout.planned(dataset="digits") == planned(checkout, dataset="digits") == {}
    # The next training needs it.
    assert planned(checkout, **more)["score_candidate"] == 2


@needs_client
def test_a_local_run_leaves_nothing_to_do_for_a_cluster(digits: Checkout):
    model = {"dataset": "digits"}
    digits.finish("--cores", "2", SAME[0], **model)
    assert planned(digits, SAME[0], **model) == {}
    # A rate that was added locally in between
    digits.finish("--cores", "2", SAME[0], regularization=ONE_MORE, **model)
    assert planned(digits, SAME[0], regularization=ONE_MORE, **model) == {}
    # Candidates are spread if the model has to be trained, for whatever reason.
    spread = {"score_candidate": 6, "train": 1}
    assert planned(digits, SAME[0], regularization=TWO_MORE, **model) == spread
    assert planned(digits, SAME[0], seed=1, **model) == {"score_candidate": 4, "train": 1}
    assert planned(digits, SAME[0], regularization=3, **model) == {"train": 1}
    digits.path.joinpath(SAME[0]).unlink()
    spread = {"score_candidate": 5, "train": 1}
    assert planned(digits, SAME[0], regularization=ONE_MORE, **model) == spread


@needs_cluster
@pytest.mark.skipif(not (TOP / "downloads").exists(), reason="MNIST is not in downloads (make run)")
def test_mnist_has_the_bytes_of_a_local_run(tmp_path: Path):
    local = Checkout.fresh(tmp_path / "local")
    (local.path / "downloads").symlink_to(TOP / "downloads")
    local.finish("--cores", "1", *ARRAYS)
    checkout = local.copied(tmp_path / "cluster")
    client = Client(checkout, SAME[2])
    local.finish("--cores", "1", SAME[2])
    client.succeed()
    assert_same_results(checkout, local)
    assert len(client.jobs("score_candidate")) == 4
    # A fit maps the arrays, 52 MB, more than once.
    (train,), (describe,) = client.jobs("train"), client.jobs("describe")
    assert int(train["memory"].removesuffix("M")) > int(describe["memory"].removesuffix("M")) > 640


@needs_client
@pytest.mark.parametrize("arguments", sorted(set(DOCUMENTED)))
def test_a_documented_command_can_be_planned(checkout: Checkout, arguments: str):
    command = [PYTHON, "-m", "snakemake", *shlex.split(arguments), "-n"]
    ended = subprocess.run(command, cwd=checkout.path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
