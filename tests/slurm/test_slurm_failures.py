"""Jobs that fail: what the user reads, and what the next call does."""

import json

from checkout import Checkout
from slurm import run, wait_until
from slurm_client import Client, needs_cluster, unfinished_files, write_estimator

MODEL = "results/model.pkl"


@needs_cluster
def test_the_log_of_a_job_that_fails_is_shown(digits: Checkout):
    estimator = write_estimator(digits, 'raise ValueError("alpha is too hot")')
    client = Client(digits, MODEL, dataset="digits", estimator=estimator)
    said = client.fail()
    sentence = "train.py: mine.py:make could not be fitted to 1,437 images of 64 pixels: "
    assert f"{sentence}ValueError: alpha is too hot, in mine.py line 11." in said
    assert "log: results/logs/train.log" in said
    assert client.jobs("train")[0]["state"] == "FAILED"
    assert not (digits.path / MODEL).exists() and not unfinished_files(digits.path)


@needs_cluster
def test_a_cancelled_job_ends_the_run_and_the_next_call_repeats_it(digits: Checkout):
    estimator = write_estimator(digits, 'Path("started").touch()\ntime.sleep(90)')
    client = Client(digits, MODEL, dataset="digits", estimator=estimator)
    client.wait_for("started")
    run("scancel", client.jobs("train")[0]["id"])
    said = client.fail()
    assert "SLURM status is: 'CANCELLED'" in said
    assert "train.py: interrupted; no file is half-written." in said
    assert not (digits.path / MODEL).exists() and not unfinished_files(digits.path)
    write_estimator(digits, "pass")
    Client(digits, MODEL, dataset="digits", estimator=estimator).succeed()


@needs_cluster
def test_a_job_that_needs_more_memory_than_it_states_is_killed(digits: Checkout):
    estimator = write_estimator(
        digits,
        """import numpy
Path("started").touch()
kept = numpy.ones(300_000_000)
time.sleep(90)""",
    )
    client = Client(digits, MODEL, dataset="digits", estimator=estimator)
    said = client.fail()
    assert (digits.path / "started").exists()
    # With control groups, Slurm says OUT_OF_MEMORY instead.
    assert "exceeded memory limit" in said
    # The job gets more, as the user is told to.
    more = ["--set-resources", "train:mem_mb=4000"]
    write_estimator(digits, "import numpy\nkept = numpy.ones(300_000_000)\ntime.sleep(3)")
    client = Client(digits, MODEL, *more, dataset="digits", estimator=estimator)
    client.succeed()
    assert client.jobs("train")[-1]["memory"] == "4000M"


@needs_cluster
def test_ctrl_c_cancels_the_jobs(digits: Checkout):
    estimator = write_estimator(digits, 'Path("started").touch()\ntime.sleep(90)')
    client = Client(digits, MODEL, dataset="digits", estimator=estimator)
    client.wait_for("started")
    client.process.send_signal(2)
    assert client.wait(60) != 0
    wait_until(lambda: client.jobs("train")[0]["state"] == "CANCELLED", "the job is cancelled")
    assert not (digits.path / MODEL).exists()


@needs_cluster
def test_the_rule_that_waits_for_the_cloud_stays_on_the_submit_host(digits: Checkout):
    client = Client(digits, MODEL, dataset="digits", backend="azureml")
    said = client.fail()
    assert "train.py: " in said and "config.json" in said
    assert client.jobs() == []
    assert json.loads((digits.path / "results/dataset.json").read_text())
