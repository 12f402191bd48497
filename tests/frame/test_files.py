"""Test that files are written completely or not at all: files.py."""

import json
import os
from pathlib import Path

import pytest

from image_workflow.files import replacing, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_when_it_is_complete(tmp_path: Path):
    target = tmp_path / "new" / "folder" / "model.pkl"
    with replacing(target) as (part,):
        part.write_text("content")
        assert not target.exists()
    assert target.read_text() == "content"
    assert names(target.parent) == ["model.pkl"]


def test_exception_leaves_all_files_unchanged(tmp_path: Path):
    images, labels = tmp_path / "images.npy", tmp_path / "labels.npy"
    images.write_text("earlier")
    with pytest.raises(ZeroDivisionError), replacing(images, labels) as parts:
        for part in parts:
            part.write_text("later")
        raise ZeroDivisionError
    assert names(tmp_path) == ["images.npy"]
    assert images.read_text() == "earlier"


def test_open_reader_reads_the_earlier_file_to_its_end(tmp_path: Path):
    target = tmp_path / "model.pkl"
    target.write_text("earlier")
    with open(target) as reader:
        with replacing(target) as (part,):
            part.write_text("later")
        assert reader.read() == "earlier"


def test_temporary_file_of_a_killed_program_is_deleted(tmp_path: Path):
    for temporary in (".images.npy.k1ll3d.part", ".other.npy.alive.part"):
        (tmp_path / temporary).touch()
    with replacing(tmp_path / "images.npy"):
        pass
    assert names(tmp_path) == [".other.npy.alive.part", "images.npy"]


def test_writer_changes_nothing_after_its_temporary_file_was_deleted(tmp_path: Path):
    # A job may survive a killed Snakemake, and the next run writes the same file.
    target = tmp_path / "model.pkl"
    with pytest.raises(FileNotFoundError), replacing(target) as (orphaned,):
        orphaned.write_text("by the orphan")
        with replacing(target) as (part,):
            part.write_text("by the next run")
    assert target.read_text() == "by the next run"
    assert names(tmp_path) == ["model.pkl"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_umask_decides_the_permissions(tmp_path: Path, umask: int, mode: int):
    earlier = os.umask(umask)
    try:
        with replacing(tmp_path / "model.pkl"):
            pass
        assert (tmp_path / "model.pkl").stat().st_mode & 0o777 == mode
        assert os.umask(umask) == umask
    finally:
        os.umask(earlier)


def test_json_keeps_the_order_of_its_keys(tmp_path: Path):
    write_json(tmp_path / "metrics.json", {"zero": 0, "accuracy": 0.5, "name": "Ångström"})
    text = (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert text == '{\n  "zero": 0,\n  "accuracy": 0.5,\n  "name": "Ångström"\n}\n'


def test_a_matrix_has_one_line_for_each_row(tmp_path: Path):
    write_json(
        tmp_path / "metrics.json", {"classes": [7], "matrix": [[12, 0], [-1, 3]], "none": []}
    )
    assert (tmp_path / "metrics.json").read_text().splitlines() == [
        "{",
        '  "classes": [7],',
        '  "matrix": [',
        "    [12, 0],",
        "    [-1, 3]",
        "  ],",
        '  "none": []',
        "}",
    ]


def test_other_lists_have_one_line_for_each_item(tmp_path: Path):
    content = {"rates": [0.5, 2], "names": ["a", "b"], "rows": [{"n": 1}]}
    write_json(tmp_path / "sweep.json", content)
    text = (tmp_path / "sweep.json").read_text()
    assert text == json.dumps(content, indent=2) + "\n"


@pytest.mark.parametrize("name", ["[1, 2]", "[\n 1,\n 2\n]", "[ 7 ]", "\\[\n1\n]"])
def test_brackets_in_a_text_stay_as_they_are(tmp_path: Path, name: str):
    write_json(tmp_path / "dataset.json", {"name": name, name: [1, 2]})
    assert json.loads((tmp_path / "dataset.json").read_text()) == {"name": name, name: [1, 2]}
