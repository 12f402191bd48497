"""Deploy versions to an online endpoint with the real SDK v2, in the emulated workspace.

The emulator runs the scoring script of each deployment. Most tests call the programs as the rules
do, without the seconds that Snakemake takes to start. Each has an endpoint of its own.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
import yaml

from azureml_client import CLIENT, JOB, RECEIPT, SDK, Cloud, needs_sdk, put_compute, wait_until
from azureml_emulator import Emulator
from checkout import Checkout
from program_server import Program, ProgramServer

pytestmark = [needs_sdk, pytest.mark.skipif(SDK == "v1", reason="SDK v1 has no such endpoints")]

LEDGER = "registry/azureml.json"
DATA_SET = "results/dataset.json"
SCORE = "workflow/scripts/score.py"
#: The options of each program beside the section azureml, as the rules give them.
NAME = {"model-name": "sklearn_digits"}
OPTIONS = {
    "deploy": NAME
    | {
        "receipt": RECEIPT,
        "model": "results/model.pkl",
        "dataset-file": DATA_SET,
        "test-images": "results/arrays/test-images.npy",
        "scoring-program": SCORE,
        "environment": "workflow/envs/serve.yaml",
    },
    "undeploy": NAME | {"confirm": "yes"},
    "status": NAME | {"experiment-name": "Tutorial-sklearn-digits"},
    "cleanup": {"confirm": "yes"},
}


class Deployment:
    """Two checkouts with a receipt of version 1 and 2, and the workspace that has both versions."""

    def __init__(self, server: ProgramServer, first: Cloud, second: Cloud):
        self.server, self.first, self.second = server, first, second
        self.emulator = first.emulator

    def start(self, cloud: Cloud, name: str, program: str, **changes) -> Program:
        """Start a program for the endpoint of this name, and write its output to output.txt."""
        azureml = yaml.safe_load((cloud.path / "config/config.yaml").read_text())["azureml"]
        azureml["endpoint"]["name"] = name
        options = OPTIONS[program] | {"azureml": json.dumps(azureml | changes)}
        options["log"] = f"results/logs/azureml_{program}.log"
        (cloud.path / "output.txt").write_text("")
        return self.server.start(
            f"workflow/scripts/azureml_{program}.py",
            [word for key, value in options.items() for word in (f"--{key}", value)],
            cloud.path,
            os.environ | self.emulator.environment(cloud.home),
            cloud.path / "output.txt",
        )

    def run(
        self, cloud: Cloud, name: str, program: str = "deploy", code: int = 0, **changes
    ) -> str:
        """Run a program to its end, and return its output."""
        process = self.start(cloud, name, program, **changes)
        try:
            assert process.wait(90) == code, cloud.said()
        finally:
            process.kill()
        assert "\nTraceback" not in cloud.said()
        return cloud.said()

    def endpoint(self, name: str) -> dict | None:
        """Return the traffic, the tags and the deployments of an endpoint, or None."""
        return self.emulator.state()["endpoints"].get(name)

    def versions(self, name: str) -> dict[str, tuple[str, int]]:
        """Return the version and the traffic of each deployment of an endpoint."""
        endpoint = self.endpoint(name)
        return {
            one: (found["tags"]["model"], endpoint["traffic"].get(one, 0))
            for one, found in endpoint["deployments"].items()
        }

    def created(self, name: str) -> int:
        """Return how many deployments of an endpoint the service has begun to create."""
        lines = self.emulator.requests()
        mine = [line for line in lines if f"/{name}/" in line["path"]]
        return sum(
            one["step"] == "put_deployment" and one["status"] in (201, "lost") for one in mine
        )

    def ask(self, name: str) -> list[str]:
        """Return the labels that an endpoint gives for all test images, as any client would."""
        images = np.load(self.first.path / "results/arrays/test-images.npy")
        key = self.emulator.online_endpoints.endpoints[name]["keys"]["primaryKey"]
        answer = requests.post(
            f"https://{name}.westeurope.inference.ml.azure.com/score",
            json={"data": images.tolist()},
            headers={"Authorization": f"Bearer {key}"},
            proxies={"https": self.emulator.url},
            verify=str(self.emulator.ca_path),
            timeout=30,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()["labels"]


@pytest.fixture(scope="module")
def deployment(parsed: Checkout, tmp_path_factory) -> Iterator[Deployment]:
    """Register a version, and make a second one of it whose only difference is a class's name."""
    folder = tmp_path_factory.mktemp("deployed")
    with Emulator(folder / "emulator", python=JOB) as emulator, ProgramServer(CLIENT) as server:
        put_compute(emulator, "cpu-cluster")
        first = Cloud(parsed.copied(folder / "first"), emulator)
        first.home = folder / "home"
        first.succeed(RECEIPT, backend="azureml")
        (registered,) = emulator.models.models.values()
        keys = "name", "url", "modelUri", "modelType", "runId", "kvTags", "properties"
        emulator.models.add(2, {key: registered[key] for key in keys})
        second = first.copied(folder / "second")
        for name, changes in ((RECEIPT, {"version": 2, "id": "sklearn_digits:2"}), (DATA_SET, {})):
            content = second.json(name) | changes
            content["classes"][0]["name"] = "nüll"
            (second.path / name).write_text(json.dumps(content))
        yield Deployment(server, first, second)


@pytest.fixture(autouse=True)
def no_fault_is_left(deployment: Deployment):
    deployment.emulator.faults.clear()


@pytest.fixture
def changed(deployment: Deployment, tmp_path: Path) -> Cloud:
    """Return a copy of the second checkout, for tests that edit its files."""
    return deployment.second.copied(tmp_path)


@pytest.fixture
def serving(deployment: Deployment) -> str:
    """Return the name of an endpoint that answers with version 1, shared by several tests."""
    if not deployment.endpoint("serving"):
        deployment.run(deployment.first, "serving")
    return "serving"


# ---- The whole path ------------------------------------------------------------------------------


def test_a_version_is_deployed_replaced_and_taken_down(deployment):
    first, second, emulator = deployment.first, deployment.second, deployment.emulator
    output = first.succeed("azureml_deploy", backend="azureml")
    (name,) = [one for one in emulator.state()["endpoints"] if one.startswith("sklearn-digits-")]
    assert deployment.versions(name) == {"blue": ("sklearn_digits:1", 100)}
    assert "deployment blue: testing it with 20 images" in output
    assert (
        f"sklearn_digits:1 answers at https://{name}.westeurope.inference.ml.azure.com/score"
        in output
    )
    assert "azureml_undeploy" in output and "curl https://" in output
    # The endpoint's answers have the accuracy that the receipt has.
    truth = np.load(first.path / "results/arrays/test-labels.npy").astype(str)
    accuracy = np.mean(np.array(deployment.ask(name)) == truth)
    assert accuracy == first.json("results/metrics.json")["accuracy"]
    # No file, log or output has a key.
    keys = emulator.online_endpoints.endpoints[name]["keys"].values()
    texts = [path.read_bytes() for path in first.path.rglob("*") if path.is_file()]
    assert not [key for key in keys for text in texts if key.encode() in text]
    assert not [key for key in keys if key in output]
    assert name in json.loads((first.path / LEDGER).read_text()).popitem()[1]["endpoints"]

    assert "is deployed already, nothing to do" in deployment.run(first, "")
    assert deployment.created(name) == 1
    status = deployment.run(first, "", "status")
    assert f"endpoint {name}: Succeeded; blue Succeeded, sklearn_digits:1, 100 %" in status

    deployment.run(second, "")
    assert deployment.versions(name) == {"green": ("sklearn_digits:2", 100)}
    assert "nüll" in deployment.ask(name)

    servers = [one.process for one in emulator.online_endpoints.deployments[name].values()]
    assert f"deleted: endpoint {name}" in first.succeed("azureml_undeploy", confirm="yes")
    assert deployment.endpoint(name) is None
    assert [server.poll() is None for server in servers] == [False]
    assert "nothing to do" in deployment.run(first, "", "undeploy")
    assert name not in (first.path / LEDGER).read_text()


def test_cleaning_up_deletes_the_endpoint(deployment, tmp_path):
    cloud = deployment.first.copied(tmp_path)
    (cloud.path / LEDGER).unlink()
    deployment.run(cloud, "cleaned")
    assert "deleted: endpoint cleaned" in deployment.run(cloud, "cleaned", "cleanup")
    assert deployment.endpoint("cleaned") is None


# ---- Failures before a deployment is begun -------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "step", "words"),
    [
        (
            "endpoint_name_taken",
            None,
            ["Endpoint name needs to be unique", "azureml.endpoint.name"],
        ),
        ("no_permission", "put_endpoint", ["AuthorizationFailed", "AzureML Data Scientist"]),
    ],
)
def test_an_endpoint_that_cannot_be_created_is_reported_and_forgotten(
    deployment, fault, step, words
):
    deployment.emulator.faults.set(fault, times=1, **({"step": step} if step else {}))
    message = deployment.run(deployment.first, "refused", code=1)
    assert "could not create the endpoint refused" in message
    assert [word for word in words if word not in message] == []
    assert deployment.endpoint("refused") is None
    assert "refused" not in (deployment.first.path / LEDGER).read_text()


def test_an_endpoint_of_others_is_not_touched(deployment):
    endpoints = deployment.emulator.online_endpoints
    body = {"properties": {"authMode": "Key"}, "tags": {"theirs": "yes"}}
    record = {"created": "2026-01-01T00:00:00Z", "keys": {}, "provisioningState": "Succeeded"}
    endpoints.endpoints["theirs"] = body | record
    endpoints.deployments["theirs"] = {}
    message = deployment.run(deployment.first, "theirs", "undeploy", code=1)
    assert "this workflow did not create" in message and "azureml.endpoint.name" in message
    del endpoints.endpoints["theirs"], endpoints.deployments["theirs"]


# ---- Deployments that fail are rolled back -------------------------------------------------------


def check_rolled_back(deployment: Deployment, name: str, message: str, *words: str) -> None:
    """Check that version 1 still answers alone, and what the message says."""
    assert "the deployment green of sklearn_digits:2 failed: " in message
    assert "The requests still go to blue (sklearn_digits:1)." in message
    assert [word for word in words if word not in message] == []
    assert deployment.versions(name) == {"blue": ("sklearn_digits:1", 100)}
    assert "0" in deployment.ask(name)


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("quota_exceeded", {}, ["Not enough quota", "azureml.endpoint.instance_type"]),
        ("image_build_failed", {}, ["ResolvePackageNotFound", "It was deleted"]),
        ("no_permission", {"step": "put_deployment"}, ["AuthorizationFailed", "Data Scientist"]),
    ],
)
def test_a_deployment_that_azure_refuses_is_rolled_back(deployment, serving, fault, options, words):
    deployment.emulator.faults.set(fault, times=1, **options)
    message = deployment.run(deployment.second, serving, code=1)
    check_rolled_back(deployment, serving, message, *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "    global classifier\n",
            "    raise SystemExit('the last words of init')\n",
            ["ResourceNotReady", "  | the last words of init"],
        ),
        (
            "    try:\n        return answer(raw)\n",
            "    raise ValueError('the last words of run')\n    try:\n        return answer(raw)\n",
            ["with status 500", "  | ValueError: the last words of run"],
        ),
        (
            "        return answer(raw)\n",
            "        return answer(raw) | {'labels': ['9'] * 20}\n",
            ["it answered '9' for test image", "the model on this machine answers"],
        ),
    ],
    ids=["init", "run", "labels"],
)
def test_a_scoring_script_that_fails_is_rolled_back(deployment, serving, changed, old, new, words):
    script = changed.path / SCORE
    text = script.read_text()
    assert text.count(old) == 1
    script.write_text(text.replace(old, new))
    message = deployment.run(changed, serving, code=1)
    check_rolled_back(deployment, serving, message, *words)


def test_the_first_deployment_that_fails_leaves_nothing_that_runs(deployment):
    deployment.emulator.faults.set("image_build_failed", times=1)
    message = deployment.run(deployment.first, "empty", code=1)
    assert "It was deleted. Nothing is deployed." in message
    assert deployment.endpoint("empty")["deployments"] == {}
    deployment.run(deployment.first, "empty")
    assert deployment.versions("empty") == {"blue": ("sklearn_digits:1", 100)}


# ---- Interrupted, and continued ------------------------------------------------------------------


def test_a_deployment_that_was_killed_and_interrupted_is_continued(deployment):
    deployment.emulator.faults.set("slow_queue")
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        process = deployment.start(deployment.first, "interrupted", "deploy")
        try:
            wait_until(lambda: "blue Creating" in deployment.first.said())
            process.send_signal(number)
            assert process.wait(30) == code
        finally:
            process.kill()
    said = deployment.first.said()
    assert "it continues from here" in said and "`snakemake azureml_undeploy`" in said
    deployment.emulator.faults.clear()
    deployment.run(deployment.first, "interrupted")
    assert deployment.versions("interrupted") == {"blue": ("sklearn_digits:1", 100)}
    assert deployment.created("interrupted") == 1


def test_a_call_that_stopped_before_the_last_step_is_finished(deployment):
    deployment.run(deployment.first, "halfway")
    deployment.emulator.faults.set("no_permission", step="delete_deployment", times=1)
    message = deployment.run(deployment.second, "halfway", code=1)
    assert "could not delete the deployment blue" in message and "continues" in message
    both = {"blue": ("sklearn_digits:1", 0), "green": ("sklearn_digits:2", 100)}
    assert deployment.versions("halfway") == both
    assert "nothing to do" in deployment.run(deployment.second, "halfway")
    assert deployment.versions("halfway") == {"green": ("sklearn_digits:2", 100)}
    # The same before the requests are sent to the new one.
    deployment.emulator.faults.set("no_permission", step="put_endpoint", times=1)
    deployment.run(deployment.first, "halfway", code=1)
    assert deployment.versions("halfway").keys() == {"blue", "green"}
    deployment.run(deployment.first, "halfway")
    assert deployment.versions("halfway") == {"blue": ("sklearn_digits:1", 100)}
    assert deployment.created("halfway") == 3


def test_a_service_that_is_gone_for_long_is_reported_and_the_deployment_continued(deployment):
    deployment.emulator.faults.set("slow_queue")
    process = deployment.start(deployment.first, "gone", "deploy", patience_seconds=2)
    try:
        wait_until(lambda: "blue Creating" in deployment.first.said())
        deployment.emulator.faults.set("service_gone")
        assert process.wait(60) == 1
    finally:
        process.kill()
        deployment.emulator.faults.clear()
    assert "cannot be watched" in deployment.first.said()
    deployment.run(deployment.first, "gone")
    assert deployment.created("gone") == 1


def test_lost_answers_and_a_busy_service_are_not_noticed(deployment):
    deployment.emulator.faults.set("answer_lost", step="put_endpoint", times=1)
    # More often than the SDK itself tries again.
    deployment.emulator.faults.set("server_error", step="get_endpoint", status=429, times=4)
    deployment.run(deployment.first, "lost")
    deployment.emulator.faults.set("answer_lost", step="put_deployment", times=1)
    deployment.emulator.faults.set("server_error", step="score", status=429, times=1)
    deployment.run(deployment.second, "lost")
    assert deployment.versions("lost") == {"green": ("sklearn_digits:2", 100)}
    assert deployment.created("lost") == 2
    deployment.emulator.faults.set("answer_lost", step="delete_endpoint", times=1)
    deployment.run(deployment.first, "lost", "undeploy")
    assert deployment.endpoint("lost") is None
