"""Only the configuration decides what is registered where: variables of the environment do not."""

import os
import pickle
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import mlflow
import pytest
from mlflow import environment_variables

from image_workflow.backends.mlflow import KEPT
from registration import registered, runs, versions, write_model, write_training
from training import training_settings

REGISTER = "import pickle, register, sys; register.main(pickle.load(open(sys.argv[1], 'rb')))"


def test_inherited_variables_have_no_effect(options: Namespace, tmp_path: Path):
    """mlflow 2227: with MLFLOW_RUN_ID, the run of another model was overwritten and failed."""
    first = registered(options)
    (before,) = runs(options)
    write_model(options.model, training_settings(regularization=[0.8]))
    write_training(options.model)
    files = {path.name for path in tmp_path.iterdir()} | {"options"}
    (tmp_path / "options").write_bytes(pickle.dumps(options))
    names = [name.lstrip("_") for name in dir(environment_variables) if "MLFLOW_" in name]
    misleading = dict.fromkeys(filter(is_removed, names), f"sqlite:///{tmp_path}/misleading.db")
    assert len(misleading) > 100
    misleading |= {
        "MLFLOW_RUN_ID": first["run_id"],
        "MLFLOW_EXPERIMENT_ID": "0",
        "MLFLOW_ACTIVE_MODEL_ID": before.outputs.model_outputs[0].model_id,
        "_MLFLOW_ACTIVE_MODEL_ID": before.outputs.model_outputs[0].model_id,
        "MLFLOW_RUN_CONTEXT": '{"mlflow.user": "another", "misleading": "yes"}',
        "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
        "KUBERNETES_SERVICE_HOST": "misleading",
    }
    environment = os.environ | misleading | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", REGISTER, "options"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert versions(options) == [("my_model", 1), ("my_model", 2)]
    client = mlflow.MlflowClient(options.registry_uri)
    assert client.get_run(first["run_id"]).to_dictionary() == before.to_dictionary()
    second = client.get_run(client.get_model_version("my_model", "2").run_id)
    assert second.info.experiment_id == before.info.experiment_id
    assert second.data.tags.keys() == before.data.tags.keys()
    assert second.data.metrics.keys() == before.data.metrics.keys()
    assert second.data.tags["mlflow.user"] == before.data.tags["mlflow.user"]
    assert {path.name for path in tmp_path.iterdir()} == files


def is_removed(name: str) -> bool:
    """Return whether the name is that of a variable that our processes do not pass on."""
    return name.startswith("MLFLOW_") and not KEPT.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    [
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "MLFLOW_TRACKING_INSECURE_TLS",
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
        "MLFLOW_TRACKING_CLIENT_CERT_PATH",
        "MLFLOW_TRACKING_AWS_SIGV4",
        "MLFLOW_TRACKING_AUTH",
        "MLFLOW_HTTP_REQUEST_TIMEOUT",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR",
        "MLFLOW_S3_ENDPOINT_URL",
        "MLFLOW_S3_IGNORE_TLS",
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT",
        "MLFLOW_MYSQL_SSL_CA",
        "MLFLOW_KERBEROS_TICKET_CACHE",
    ],
)
def test_variables_that_say_how_to_reach_a_server_are_kept(name: str):
    assert hasattr(environment_variables, name)
    assert KEPT.fullmatch(name)
