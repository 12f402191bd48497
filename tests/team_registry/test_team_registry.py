"""A registry that a team shares: a real MLflow server with users, TLS and PostgreSQL."""

import json
import os
import re
import shutil
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest

from checkout import Checkout
from child import Ended
from image_workflow.backends.mlflow.registry import MlflowRegistry
from image_workflow.backends.settings import BackendSettings
from image_workflow.lineage.results import Receipt, Sweep
from register_program import run_in_child
from registration import write_results
from simultaneous import copied, register_at_once
from team_server import TeamServer, Way

ROUNDS = 4
NAMES = "model_name", "experiment_name"
#: What a registration must not leave behind.
HALF_MADE = """
SELECT 'run ' || r.status FROM runs r JOIN experiments e USING (experiment_id)
WHERE e.name = '{0}' AND r.status != 'FINISHED' AND r.lifecycle_stage = 'active'
UNION ALL
SELECT 'logged model ' || m.status FROM logged_models m JOIN experiments e USING (experiment_id)
WHERE e.name = '{0}' AND m.status != 2 AND m.lifecycle_stage = 'active'
UNION ALL
SELECT 'tag of a run' FROM tags t JOIN runs r USING (run_uuid) JOIN experiments e
USING (experiment_id)
WHERE e.name = '{0}' AND t.key = 'registration' AND r.lifecycle_stage = 'active'
UNION ALL
SELECT 'tag of a version' FROM model_version_tags t JOIN model_versions v USING (name, version)
WHERE v.name = '{0}' AND t.key = 'registration' AND t.value != ''
AND v.current_stage != 'Deleted_Internal'
"""
VERSIONS = """
SELECT version FROM model_versions WHERE name = '{0}' AND current_stage != 'Deleted_Internal'
ORDER BY version
"""


def versions(team: TeamServer, options: Namespace) -> list[int]:
    """Return the numbers of the model's versions, after checking that nothing is half-made."""
    assert team.query(HALF_MADE.format(options.model_name)) == []
    return [int(row) for row in team.query(VERSIONS.format(options.model_name))]


def assert_refused(ended: Ended, options: Namespace, text: str) -> None:
    """Check that a registration failed with one or two sentences that say what to do."""
    assert ended.exit_code == 1, ended.terminal
    (said,) = [line for line in ended.terminal.splitlines() if not line.startswith("waiting")]
    assert re.search(f"^register.py: .*{text}", said), said
    assert said.removeprefix("register.py: ") in options.receipt.with_suffix(".log").read_text()
    assert not options.receipt.exists()


def assert_registers(team: TeamServer, options: Namespace, expected: list[int]) -> None:
    """Register, and check that these are the versions, and that nothing is half-made."""
    ended = run_in_child(options)
    assert ended.exit_code == 0, ended.terminal
    assert f"{options.model_name} version {expected[-1]}\n" in ended.terminal
    assert versions(team, options) == expected
    assert json.loads(options.receipt.read_text())["version"] == expected[-1]


# ---- The workflow ------------------------------------------------------------------------------


def test_two_members_of_a_team_run_the_workflow(
    team: TeamServer, sign_in: Callable, digits_run: Checkout, tmp_path: Path
):
    receipts = []
    for user in ("anna", "bert"):
        password = sign_in(user)
        checkout = digits_run.copied(tmp_path / user)
        names = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "REQUESTS_CA_BUNDLE"
        checkout.environment = {name: os.environ[name] for name in names}
        config = {"dataset": "digits", "registry_uri": team.uri, "promote": "true"}
        assert checkout.planned(**config) == {"register": 1}
        checkout.finish("results/registered.json", **config)
        checkout.finish("verify", **config)
        assert checkout.planned(**config) == {}
        written = [path for path in checkout.path.rglob("*") if path.is_file()]
        assert [path for path in written if password.encode() in path.read_bytes()] == []
        receipts.append(checkout.receipt())
    promotions = [receipt.pop("promotion") for receipt in receipts]
    assert receipts[0] == receipts[1]
    assert (receipts[0]["registry_uri"], receipts[0]["version"]) == (team.uri, 1)
    assert promotions == [
        {"promoted": True, "replaced_version": None, "reason": reason}
        for reason in ("there was no champion", "it was the champion already")
    ]
    client = mlflow.MlflowClient(team.uri)
    assert client.get_model_version_by_alias("sklearn_digits", "champion").version == "1"


# ---- At the same time --------------------------------------------------------------------------


def test_two_clients_at_the_same_time_get_one_version(
    team: TeamServer, project: Namespace, sign_in: Callable, tmp_path: Path
):
    for number in range(ROUNDS):
        name = f"round-{number}"
        names = {"model_name": name, "experiment_name": name}
        if number:  # In the first round, both create the experiment and the registered model.
            sign_in("anna")
            mlflow.MlflowClient(team.uri).create_experiment(name)
            mlflow.MlflowClient(team.uri).create_registered_model(name)
            sign_in("bert")
        both = [copied(project, tmp_path / f"{name}-{client}", **names) for client in "ab"]
        register_at_once(*both, delay=number % 4 * 0.2)
        assert both[0].receipt.read_bytes() == both[1].receipt.read_bytes()
        assert len(versions(team, both[0])) == 1


def test_of_two_clients_at_the_same_time_the_better_version_is_the_champion(
    team: TeamServer, project: Namespace, tmp_path: Path
):
    trained = [scored(project, tmp_path / f"{score}", score) for score in (0.8, 0.9)]
    client = mlflow.MlflowClient(team.uri)
    for number in range(ROUNDS):
        name = f"champion-{number}"
        both = [
            copied(options, tmp_path / f"{name}-{at}", model_name=name, experiment_name=name)
            for at, options in enumerate(trained)
        ]
        register_at_once(*both, delay=number % 4 * 0.2)
        better = json.loads(both[1].receipt.read_text())
        assert better["promotion"]["promoted"]
        champion = client.get_model_version_by_alias(name, "champion")
        assert int(champion.version) == better["version"]
        assert versions(team, both[0]) == [1, 2]


def scored(project: Namespace, folder: Path, score: float) -> Namespace:
    """Train a model whose validation accuracy is the score."""
    (folder / ".snakemake").mkdir(parents=True)
    options = write_results(folder, project.registry_uri, regularization=[score, 2 * score])
    sweep = Sweep.read(options.sweep)
    candidates = [replace(one, validation_accuracy=score) for one in sweep.candidates]
    replace(sweep, candidates=candidates).write(options.sweep)
    return Namespace(**vars(options) | {"promote": True})


# ---- Something stops in between ------------------------------------------------------------------

CREATE_VERSION = "/mlflow/model-versions/create"


def test_the_server_is_killed_between_logging_and_registering(
    team: TeamServer, way: Way, project: Namespace
):
    project.registry_uri = way.uri
    way.before[CREATE_VERSION] = team.kill_server
    assert_refused(run_in_child(project), project, "did not answer .* run again")
    team.start_server()
    assert_registers(team, project, [1])


@pytest.mark.parametrize("moment", ["/mlflow/runs/log-inputs", CREATE_VERSION])
def test_the_database_stops_while_a_model_is_registered(
    team: TeamServer, way: Way, project: Namespace, moment: str
):
    name = f"database-{Path(moment).name}"
    project = Namespace(**vars(project) | {"model_name": name, "experiment_name": name})
    project.registry_uri = way.uri
    way.before[moment] = team.kill_database
    assert_refused(run_in_child(project), project, "is in trouble itself .*Run again later")
    team.start_database()
    assert_registers(team, project, [1])


def test_the_database_is_restarted_while_a_model_is_registered(
    team: TeamServer, way: Way, project: Namespace
):
    def restart() -> None:
        team.kill_database()
        team.start_database()

    project.registry_uri = way.uri
    way.before[CREATE_VERSION] = restart
    assert_registers(team, project, [1])


@pytest.mark.parametrize(
    "lost", ["runs/create", "logged-models", "registered-models/create", "model-versions/create"]
)
def test_an_answer_gets_lost(team: TeamServer, way: Way, project: Namespace, lost: str):
    name = f"lost-{lost.replace('/', '-')}"
    project = Namespace(**vars(project) | {"model_name": name, "experiment_name": name})
    project.registry_uri = way.uri
    way.lost.add(f"/mlflow/{lost}")
    assert_registers(team, project, [1])
    assert way.lost == set()


def test_a_slow_server(team: TeamServer, way: Way, project: Namespace):
    project.registry_uri, way.delay = way.uri, 0.2
    way.before["/mlflow/experiments/search"] = lambda: time.sleep(4)
    ended = run_in_child(project)
    assert ended.exit_code == 0, ended.terminal
    assert ended.terminal.startswith(f"waiting for an answer of {way.uri}\n")
    assert versions(team, project) == [1]


# ---- Users and rights ----------------------------------------------------------------------------


def test_who_does_not_sign_in_is_refused(
    team: TeamServer, project: Namespace, sign_in: Callable, monkeypatch
):
    advice = "does not know you .*Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another-password")
    ended = run_in_child(project)
    assert_refused(ended, project, advice)
    assert "another-password" not in ended.terminal
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    assert_refused(run_in_child(project), project, advice)
    assert versions(team, project) == []
    sign_in("anna")
    assert_registers(team, project, [1])


@pytest.mark.parametrize("missing", ["experiment", "registered_model"])
def test_who_may_only_read_is_refused(
    team: TeamServer, project: Namespace, sign_in: Callable, administer: Callable, missing: str
):
    user, names = f"no_{missing}", dict.fromkeys(NAMES, f"no-{missing}")
    project = Namespace(**vars(project) | names)
    assert_registers(team, project, [1])
    rights = team.names["rights"]  # of a member
    administer(role(user, {kind: rights[kind] for kind in rights if kind != missing}))
    sign_in(user)
    other = Namespace(**vars(scored(project, project.model.parent / "other", 0.7)) | names)
    os.chdir(other.model.parent)
    assert_refused(run_in_child(other), other, "does not allow it .*Ask its administrator")
    assert team.query(VERSIONS.format(project.model_name)) == ["1"]
    receipt = Receipt.read(project.receipt)
    checks = MlflowRegistry(BackendSettings.from_options(project)).check(receipt)
    assert [check for check in checks if not check.holds] == []
    administer(f"users.add_role_permission({user}.id, {missing!r}, '*', 'EDIT')")
    assert_registers(team, other, [1, 2])


#: The rights of somebody who may not delete.
EDITOR = {"workspace": "USE", "experiment": "EDIT", "registered_model": "EDIT"}


def role(user: str, rights: dict[str, str]) -> str:
    """Return the lines that create a user with these rights."""
    return f"""
users.create_user({user!r}, 'the-password-of-{user}')
{user} = users.create_role('default', {user!r})
users.assign_role({user!r}, {user}.id)
for kind, right in {rights}.items():
    users.add_role_permission({user}.id, kind, '*', right)
"""


def test_who_may_not_delete_registers_and_promotes(
    team: TeamServer, project: Namespace, sign_in: Callable, administer: Callable
):
    names = {name: vars(project)[name] for name in NAMES}
    anna = scored(project, project.model.parent / "anna", 0.8)
    assert_registers(team, Namespace(**vars(anna) | names), [1])
    administer(role("dora", EDITOR))
    sign_in("dora")
    dora = Namespace(**vars(scored(project, project.model.parent / "dora", 0.9)) | names)
    os.chdir(dora.model.parent)
    assert_registers(team, dora, [1, 2])
    log = dora.receipt.with_suffix(".log").read_text()
    reason = "its validation accuracy is 0.9, that of version 1 is 0.8"
    assert f"{project.model_name} version 2 is the champion: {reason}.\n" in log
    promotion = json.loads(dora.receipt.read_text())["promotion"]
    assert (promotion["promoted"], promotion["replaced_version"]) == (True, 1)
    # Somebody else's registration of the same model was killed.
    client = mlflow.MlflowClient(team.uri)
    second = client.get_model_version(project.model_name, "2")
    tags = second.tags | {"registration": "0" * 32}
    given = {"tags": tags, "model_id": second.source.rpartition("/")[2]}
    client.create_model_version(project.model_name, second.source, second.run_id, **given)
    ended = run_in_child(dora)
    assert ended.exit_code == 0, ended.terminal
    assert "version 3 should be deleted, because version 2 replaces it" in ended.terminal
    sign_in("anna")
    assert_registers(team, dora, [1, 2])


# ---- TLS -----------------------------------------------------------------------------------------


def test_an_unknown_certificate_is_refused_until_its_authority_is_named(
    team: TeamServer, project: Namespace, sign_in: Callable, monkeypatch
):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert_refused(run_in_child(project), project, "set REQUESTS_CA_BUNDLE to the file with its")
    sign_in("anna")
    assert_registers(team, project, [1])


# ---- Backup --------------------------------------------------------------------------------------


def test_a_backup_restores_database_and_files(team: TeamServer, way: Way, project: Namespace):
    assert_registers(team, project, [1])
    dump = team.run("pg_dump", "--format=custom", "mlflow")
    artifacts, backup = team.folder / "artifacts", team.folder / "backup"
    shutil.copytree(artifacts, backup)
    mlflow.MlflowClient(team.uri).delete_registered_model(project.model_name)
    shutil.rmtree(artifacts)
    team.kill_server()
    team.run("pg_restore", "--clean", "--if-exists", "--dbname=mlflow", stdin=dump)
    backup.rename(artifacts)
    team.start_server()
    assert "this model is registered already" in run_in_child(project).terminal
    assert versions(team, project) == [1]
