"""Nodes and clients that go away, and come back."""

from checkout import Checkout
from slurm import wait_until
from slurm_client import CLUSTER, Client, needs_cluster, planned, write_estimator

MODEL = "results/model.pkl"
#: The first time, the fit lasts until the test is over.
WAIT_ONCE = """if not Path("started").exists():
    Path("started").touch()
    time.sleep(90)"""


@needs_cluster
def test_a_job_of_a_node_that_goes_down_runs_again(digits: Checkout):
    estimator = write_estimator(digits, WAIT_ONCE)
    nodes = ["--default-resources", "slurm_partition=unstable"]
    client = Client(digits, MODEL, *nodes, dataset="digits", estimator=estimator)
    client.wait_for("started")
    (job,) = client.jobs("train")
    CLUSTER.kill_node(job["node"])
    try:
        wait_until(lambda: client.jobs("train")[0]["state"] == "PENDING", "Slurm notices", 60)
    finally:
        CLUSTER.start_node(job["node"])
    client.succeed()
    (again,) = client.jobs("train")
    assert (again["id"], again["state"]) == (job["id"], "COMPLETED")
    wait_until(lambda: not any(state.startswith("down") for state in CLUSTER.states()), "it is up")


@needs_cluster
def test_the_call_after_a_killed_client_waits_for_its_job_and_takes_the_result(digits: Checkout):
    estimator = write_estimator(
        digits,
        """Path(f"started {os.getpid()}").touch()
while not Path("go").exists():
    time.sleep(0.1)""",
    )
    first = Client(digits, MODEL, dataset="digits", estimator=estimator)
    wait_until(lambda: list(digits.path.glob("started *")), "the job has started", 90)
    first.kill()
    second = Client(digits, MODEL, dataset="digits", estimator=estimator)
    wait_until(lambda: "Waiting for a job of an earlier run" in second.said(), "it waits")
    # No second job writes the same files meanwhile.
    assert len(second.jobs()) == 1
    (digits.path / "go").touch()
    second.succeed()
    # What the job has made is right, and is not made again.
    assert [job["state"] for job in second.jobs()] == ["COMPLETED"]
    assert len(list(digits.path.glob("started *"))) == 1
    assert planned(digits, MODEL, dataset="digits", estimator=estimator) == {}


@needs_cluster
def test_a_job_that_starts_after_its_run_has_ended_touches_nothing(digits: Checkout):
    later = ["--set-resources", "train:slurm_extra='--begin=now+20'"]
    client = Client(digits, MODEL, *later, dataset="digits", regularization=0.5)
    wait_until(lambda: client.jobs("train"), "the job is in the queue", 60)
    client.kill()
    digits.finish("--cores", "1", MODEL, dataset="digits", regularization=0.5)
    model = (digits.path / MODEL).stat()
    wait_until(lambda: client.jobs("train")[0]["state"] == "FAILED", "the late job ends", 90)
    assert (digits.path / MODEL).stat() == model
    (log,) = (digits.path / ".snakemake/slurm_logs").rglob("*.log")
    assert "the run that started this job has ended." in log.read_text()
