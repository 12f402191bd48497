"""The git state of the workflow's code."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from image_workflow.lineage.git import git_state

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    """Run git as a test user, and return its output."""
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git checkout with one commit and no changes."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "scripts").mkdir()
    for name in ("fit.py", "scripts/fit.py"):
        (tmp_path / name).write_text("one")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=first")
    return tmp_path


@needs_git
def test_a_checkout_has_its_commit(repository: Path):
    commit = git(repository, "rev-parse", "HEAD").strip()
    (repository / "untracked").touch()
    assert git_state(repository) == {"commit": commit, "dirty": False}
    assert git_state(repository / "scripts") == {"commit": commit, "dirty": False}


@needs_git
def test_a_changed_tracked_file_makes_the_checkout_dirty(repository: Path):
    (repository / "fit.py").write_text("two")
    assert git_state(repository)["dirty"] is True


@needs_git
def test_a_folder_outside_a_checkout_has_no_commit(tmp_path: Path):
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


@needs_git
def test_a_checkout_that_does_not_track_the_folder_has_not_its_commit(repository: Path):
    (repository / "copied workflow").mkdir()
    (repository / "copied workflow/fit.py").touch()
    assert git_state(repository / "copied workflow") == {"commit": None, "dirty": None}


@needs_git
@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "{other}/.git"},  # field case Vundle 807
        {"GIT_DIR": "{other}/.git", "GIT_WORK_TREE": "{other}"},
        {"GIT_INDEX_FILE": "{other}/.git/index"},
        {"GIT_OBJECT_DIRECTORY": "{other}/.git/objects"},
        {"GIT_COMMON_DIR": "{other}/.git"},
        {"GIT_NAMESPACE": "other"},
        {"GIT_CEILING_DIRECTORIES": "{here}"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": "/"},
        {"GIT_CONFIG_PARAMETERS": "'core.worktree'='/'"},
        {"GIT_CONFIG_GLOBAL": "{other}/config"},
        {"GIT_TRACE": "1"},
    ],
    ids=lambda variables: " ".join(variables),
)
def test_variables_of_a_hook_lead_to_no_other_checkout(
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
):
    commit = git(repository, "rev-parse", "HEAD").strip()
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    (other / "config").write_text("[core]\n\tbare = true\n\tworktree = /\n")
    (other / "other.py").touch()
    git(other, "add", "other.py")
    git(other, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=other")
    for key, text in variables.items():
        monkeypatch.setenv(key, text.format(other=other, here=repository))
    assert git_state(repository / "scripts") == {"commit": commit, "dirty": False}


@needs_git
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_checkout_of_another_user_has_its_commit(repository: Path):
    commit = git(repository, "rev-parse", "HEAD").strip()
    for path in [repository, *repository.rglob("*")]:
        os.chown(path, 12345, 12345)
    with pytest.raises(subprocess.CalledProcessError):  # git itself refuses
        git(repository, "status")
    assert git_state(repository) == {"commit": commit, "dirty": False}


@needs_git
def test_the_state_is_read_without_writing_to_the_checkout(repository: Path):
    index = repository / ".git/index"
    before = index.read_bytes()
    os.utime(repository / "fit.py", (1, 1))  # git status would note the new time stamp
    assert git_state(repository)["dirty"] is False
    assert index.read_bytes() == before


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}
