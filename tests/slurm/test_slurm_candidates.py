"""Candidates run side by side, and so do several runs from one checkout."""

import json
import shutil

from checkout import Checkout
from slurm_client import Client, needs_cluster, write_estimator

MODEL = "results/model.pkl"


@needs_cluster
def test_eight_candidates_run_side_by_side_on_two_nodes(digits: Checkout):
    # No fit ends before eight have begun.
    estimator = write_estimator(
        digits,
        """Path("started").mkdir(exist_ok=True)
Path(f"started/{self.alpha}").touch()
end = time.monotonic() + 90
while len(os.listdir("started")) < 8 and time.monotonic() < end:
    time.sleep(0.1)""",
    )
    values = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    settings = {"estimator": estimator, "parameters": f"{{alpha: {values}}}"}
    one_thread = ["--set-threads", "score_candidate=1"]
    client = Client(digits, MODEL, *one_thread, dataset="digits", **settings)
    client.succeed()
    jobs = client.jobs("score_candidate")
    assert len(jobs) == 8 and {job["node"] for job in jobs} == {"n1", "n2"}
    assert max(job["start"] for job in jobs) < min(job["end"] for job in jobs)
    spread = (digits.path / "results/sweep.json").read_bytes()
    found = [candidate["parameters"] for candidate in json.loads(spread)["candidates"]]
    assert found == [{"alpha": value} for value in values]
    # One process for all of them gives the same scores to the last digit, and the same model.
    model = (digits.path / MODEL).read_bytes()
    shutil.rmtree(digits.path / "results/candidates")
    digits.finish(MODEL, "--cores", "2", "--forcerun", "train", dataset="digits", **settings)
    assert (digits.path / "results/sweep.json").read_bytes() == spread
    assert (digits.path / MODEL).read_bytes() == model


@needs_cluster
def test_all_candidates_can_share_a_job(digits: Checkout):
    group = ["--groups", "score_candidate=candidates", "--group-components", "candidates=4"]
    client = Client(digits, MODEL, *group, dataset="digits")
    client.succeed()
    assert len(client.jobs()) == 2  # the candidates, and train
    assert len(list((digits.path / "results/candidates").iterdir())) == 4


@needs_cluster
def test_three_folders_run_at_once_from_one_checkout(digits: Checkout):
    rates = {"one": 0.1, "two": 0.5, "three": 2}
    clients = []
    for name, rate in rates.items():
        folder = Checkout(digits.path / "runs" / name)
        shutil.copytree(digits.path / "results", folder.path / "results")
        options = [MODEL, "--directory", f"runs/{name}"]
        clients.append(
            Client(folder, *options, cwd=digits.path, dataset="digits", regularization=rate)
        )
    for client, rate in zip(clients, rates.values(), strict=True):
        client.succeed()
        assert len(client.jobs()) == 1
        sweep = json.loads((client.path / "results/sweep.json").read_text())
        assert sweep["regularization_rate"] == rate
    assert len({(client.path / MODEL).read_bytes() for client in clients}) == 3
    assert not (digits.path / MODEL).exists()
