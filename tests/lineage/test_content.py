"""Changes of the user's own files are noticed by content."""

import os
from pathlib import Path

import pytest

from image_workflow.lineage import content
from image_workflow.lineage.content import content_digest
from image_workflow.paths import visible_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three files in two subfolders."""
    for name in ("a/1", "a/2", "b/3"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "photos"


def digest(folder: Path, index: str = "index.json") -> str:
    return content_digest({"images": folder}, folder.parent / index)


def test_the_same_files_have_the_same_digest(folder: Path):
    assert digest(folder) == digest(folder) == digest(folder, "another.json")


@pytest.mark.parametrize("change", ["add", "remove", "edit", "rename", "swap"])
def test_a_change_is_noticed_and_so_is_its_undoing(folder: Path, change: str):
    before = digest(folder)
    one, two, new = folder / "a/1", folder / "a/2", folder / "b/new"
    if change == "add":
        new.write_text("new")
    elif change == "remove":
        one.unlink()
    elif change == "edit":
        one.write_text("a/!")  # as many bytes as before
    elif change == "rename":
        one.rename(new)
    else:
        one.write_text("a/2")
        two.write_text("a/1")
    assert digest(folder) != before
    new.unlink(missing_ok=True)
    one.write_text("a/1")
    two.write_text("a/2")
    assert digest(folder) == before


def test_time_stamps_and_the_folders_name_do_not_count(folder: Path):
    before = digest(folder)
    os.utime(folder / "a/1", (1, 1))
    assert digest(folder) == before
    moved = folder.rename(folder.with_name("moved"))
    assert digest(moved) == before


def test_hidden_and_system_files_do_not_count(folder: Path):
    before = digest(folder)
    for name in (".DS_Store", "a/.1.swp", "a/Thumbs.db"):
        (folder / name).write_text("x")
    assert digest(folder) == before
    assert [path.name for path in visible_files(folder)] == ["1", "2", "3"]


def test_only_changed_files_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    digest(folder)
    read = []
    monkeypatch.setattr(content, "sha256_of_file", lambda path: read.append(Path(path).name) or "0")
    digest(folder)
    assert read == []
    (folder / "b/3").write_text("other")
    digest(folder)
    assert read == ["3"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_damaged_index_is_made_again(folder: Path, text: str):
    before = digest(folder)
    (folder.parent / "index.json").write_text(text)
    assert digest(folder) == before


def test_a_file_is_not_a_folder_with_that_file(tmp_path: Path):
    (tmp_path / "images.npy").write_text("x")
    (tmp_path / "labels.npy").write_text("y")
    paths = {"images": tmp_path / "images.npy", "labels": tmp_path / "labels.npy"}
    before = content_digest(paths, tmp_path / "index.json")
    swapped = {"images": paths["labels"], "labels": paths["images"]}
    assert content_digest(swapped, tmp_path / "index.json") != before


def test_a_missing_folder_is_an_error_and_a_broken_link_is_not(folder: Path):
    (folder / "a/link").symlink_to("nowhere")
    digest(folder)
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        digest(folder.with_name("elsewhere"))


def test_an_edit_that_keeps_size_and_modification_time_is_noticed(folder: Path):
    before, one = digest(folder), folder / "a/1"
    found = one.stat()
    one.write_text("a/!")
    os.utime(one, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert digest(folder) != before


def test_other_files_of_the_same_names_sizes_and_times_are_noticed(tmp_path: Path):
    for name, text in (("one", "a"), ("two", "b")):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (1, 1))
    index = tmp_path / "index.json"
    one, two = (content_digest({"images": tmp_path / name}, index) for name in ("one", "two"))
    assert one != two


def test_a_named_pipe_does_not_block(folder: Path):
    os.mkfifo(folder / "a/pipe")
    assert digest(folder) == digest(folder)


def test_a_file_that_could_not_be_read_is_read_again(folder: Path):
    (folder / "a/link").symlink_to(folder / "a/later")
    before = digest(folder)
    (folder / "a/later").write_text("later")
    assert digest(folder) != before


def test_a_folder_that_cannot_be_written_to_is_no_error(folder: Path):
    (folder.parent / "file").write_text("not a folder")
    assert content_digest({"images": folder}, folder.parent / "file/index.json") == digest(folder)


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_use_the_index(folder: Path, umask: int, mode: int):
    earlier = os.umask(umask)
    try:
        digest(folder)
    finally:
        os.umask(earlier)
    assert (folder.parent / "index.json").stat().st_mode & 0o777 == mode
