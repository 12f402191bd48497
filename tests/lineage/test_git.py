"""The git state of the workflow's code."""

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
    (tmp_path / "fit.py").write_text("one")
    git(tmp_path, "add", "fit.py")
    git(tmp_path, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--message=first")
    return tmp_path


@needs_git
def test_a_checkout_has_its_commit(repository: Path):
    commit = git(repository, "rev-parse", "HEAD").strip()
    (repository / "untracked").touch()
    (repository / "scripts").mkdir()
    assert git_state(repository) == {"commit": commit, "dirty": False}
    assert git_state(repository / "scripts") == {"commit": commit, "dirty": False}


@needs_git
def test_a_changed_tracked_file_makes_the_checkout_dirty(repository: Path):
    (repository / "fit.py").write_text("two")
    assert git_state(repository)["dirty"] is True


@needs_git
def test_a_folder_outside_a_checkout_has_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}
