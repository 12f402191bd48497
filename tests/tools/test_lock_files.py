"""Lock files and the rules' environments pin the same versions, with hashes."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from checkout import TOP
from image_workflow.lineage.pins import pinned_packages
from lock import locked_versions

LOCKS = ["local.txt", "dev.txt", "azureml.txt", "serve.txt", "registry.txt", "slurm.txt"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
ENVIRONMENTS = sorted((TOP / "workflow/envs").glob("*.yaml"))


def text_of(lock: str) -> str:
    return (TOP / "requirements" / lock).read_text(encoding="utf-8")


def pins(lock: str, python: str = "3.11") -> list[tuple[str, str]]:
    """Return the packages and versions that a lock file gives Linux with this Python."""
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    lines = re.findall(r"^([a-zA-Z0-9].*?)\s*\\?$", text_of(lock), re.M)
    requirements = [Requirement(line) for line in lines]
    here = [one for one in requirements if one.marker is None or one.marker.evaluate(machine)]
    return [(one.name, str(one.specifier).removeprefix("==")) for one in here]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCKS)
def test_each_package_has_one_version(lock: str, python: str):
    names = [name for name, _ in pins(lock, python)]
    assert len(names) == len(set(names)) > 50


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_hashes(lock: str):
    packages = re.split(r"^(?=[a-zA-Z0-9])", text_of(lock), flags=re.M)[1:]
    assert [package for package in packages if "--hash=sha256:" not in package] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index(lock: str):
    assert "://" not in text_of(lock)
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|^-[if] ", text_of(lock))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["dev.txt", "azureml.txt"])
def test_every_environment_has_the_workflows_versions(lock: str, python: str):
    assert set(pins("local.txt", python)) <= set(pins(lock, python))


@pytest.mark.parametrize("python", PYTHONS)
def test_the_tests_run_the_server_of_a_team(python: str):
    assert set(pins("registry.txt", python)) <= set(pins("dev.txt", python))
    assert {"mlflow", "flask-wtf", "psycopg2-binary"} <= dict(pins("registry.txt", python)).keys()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_environment_of_slurm_has_the_workflows_versions_but_for_pandas(python: str):
    here, there = set(pins("local.txt", python)), set(pins("slurm.txt", python))
    assert {name for name, _ in here - there} <= {"pandas"}
    assert "snakemake-executor-plugin-slurm" in dict(there)
    # It would delay each start beside the configuration of a cluster.
    assert "snakemake-executor-plugin-slurm" not in dict(here)


@pytest.mark.parametrize("python", PYTHONS)
def test_the_workflow_alone_needs_no_azure_package(python: str):
    names = [name for name, _ in pins("local.txt", python)]
    assert [name for name in names if name.startswith(("azure", "msal", "msrest"))] == []


@pytest.mark.parametrize("python", PYTHONS)
def test_sdk_v2_is_a_release_that_can_be_imported(python: str):
    locked = dict(pins("azureml.txt", python))
    assert Version(locked["azure-ai-ml"]) >= Version("1.35")
    assert Version(locked["marshmallow"]) < Version("4")
    assert {"azure-identity", "azure-storage-blob"} <= locked.keys()


def test_make_lock_cannot_choose_a_release_of_sdk_v2_that_fails_at_import():
    lines = re.findall(r"^[a-z].*", (TOP / "requirements/azureml.in").read_text("utf-8"), re.M)
    allowed = {one.name: one.specifier for one in map(Requirement, lines)}["azure-ai-ml"]
    # Without a lower bound, uv chose 1.23.1 with marshmallow 4.
    assert "1.35.2" in allowed and "1.23.1" not in allowed


@pytest.mark.parametrize("python", PYTHONS)
def test_numpy_is_one_that_the_cloud_can_have(python: str):
    numpy = Version(dict(pins("local.txt", python))["numpy"])
    assert Version("2") <= numpy < Version("2.3.3")


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.name)
def test_a_rules_environment_has_the_locked_versions(path: Path):
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    assert "python=3.11" in dependencies
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    # Of Azure ML's own packages the job's lock has the versions; the others' are the same in both.
    locked = dict(pins("azureml-v1-job.txt")) | dict(pins("serve.txt")) | dict(pins("local.txt"))
    required = [Requirement(pin) for pin in pip]
    assert [str(one.specifier) for one in required] == [f"=={locked[one.name]}" for one in required]


def test_there_are_environments():
    assert ENVIRONMENTS


@pytest.mark.parametrize("older_first", [True, False])
def test_of_several_versions_that_for_python_3_11_is_pinned(tmp_path: Path, older_first: bool):
    numpy = [
        "numpy==2.3.2 ; python_full_version < '3.12' \\\n    --hash=sha256:0a",
        "numpy==2.4.0 ; python_full_version >= '3.12' \\\n    --hash=sha256:0b",
    ]
    lines = [
        *(numpy if older_first else reversed(numpy)),
        "uvloop==0.21.0 ; python_version > '3.11'",
    ]
    (tmp_path / "a.txt").write_text(
        "\n".join([*lines, "    # via numpy", "tqdm==4.70.1 \\", "    --x"])
    )
    assert locked_versions(tmp_path / "a.txt") == {"numpy": "2.3.2", "tqdm": "4.70.1"}


@pytest.mark.parametrize("lock", [*LOCKS, "azureml-v1-job.txt"])
def test_make_lock_reads_the_versions_of_python_3_11(lock: str):
    found = locked_versions(TOP / "requirements" / lock)
    expected = dict(pins(lock))
    assert {name: found[name] for name in expected} == expected


# ---- Agreement between this machine and the cloud -------------------------------------------


def test_the_cloud_trains_with_the_local_versions():
    here, there = (pinned_packages(TOP / f"workflow/envs/{n}.yaml") for n in ("train", "azureml"))
    assert here.keys() >= {"numpy", "scipy", "scikit-learn", "joblib"}
    assert here.items() <= there.items()
    for name, packages in (("local", here), ("azureml-v1-job", here | there)):
        locked = dict(re.findall(r"^([a-z0-9.\[\]-]+)==(\S+)", text_of(f"{name}.txt"), re.M))
        for package, version in packages.items():
            assert locked[package.partition("[")[0]] == version, (name, package)


@pytest.mark.parametrize("name", ["azureml-v1", "azureml-v1-job"])
def test_the_requirements_of_sdk_v1_have_hashes_and_no_index(name):
    text = text_of(f"{name}.txt")
    assert "://" not in text and "index-url" not in text
    assert text.count("==") <= text.count("--hash=sha256:")
