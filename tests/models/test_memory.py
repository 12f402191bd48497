"""Test the limit of memory, which makes too large a model fail with a sentence: memory.py."""

import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from image_workflow.models import memory
from image_workflow.models.memory import available_memory, limited_memory

GIB = 2**30
UNLIMITED = "9223372036854771712"  # what version 1 says without a limit


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """The machine has 8 GiB available."""
    meminfo = f"MemTotal: {16 * 2**20} kB\nMemAvailable:    {8 * 2**20} kB"
    return write(tmp_path / "proc", {"meminfo": meminfo})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * GIB),
        ({"memory.max": "max", "memory.current": "5", "memory.stat": "inactive_file 1"}, 8 * GIB),
        (
            {
                "memory.max": f"{4 * GIB}",
                "memory.current": f"{3 * GIB}",
                "memory.stat": f"anon 7\ninactive_file {GIB}",
            },
            2 * GIB,
        ),
        ({"memory.max": "9", "memory.current": "20", "memory.stat": "inactive_file 1"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": f"{4 * GIB}",
                "memory/memory.usage_in_bytes": f"{GIB}",
                "memory/memory.stat": "total_inactive_file 0",
            },
            3 * GIB,
        ),
        (
            {
                "memory/memory.limit_in_bytes": UNLIMITED,
                "memory/memory.usage_in_bytes": f"{GIB}",
                "memory/memory.stat": "total_inactive_file 0",
            },
            8 * GIB,
        ),
    ],
)
def test_less_of_machine_and_container_is_available(
    tmp_path: Path, proc: Path, files: dict, expected: int
):
    assert available_memory(proc, write(tmp_path / "cgroup", files)) == expected


def test_system_that_does_not_tell_sets_no_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert available_memory(tmp_path / "none", tmp_path) is None
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with limited_memory():
        assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_more_than_the_available_memory_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2**28)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with pytest.raises(MemoryError), limited_memory():
        kept = [np.ones(2**20) for _ in range(8)]  # 64 MiB fit
        kept += [np.ones(2**20) for _ in range(64)]
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    np.ones(2**26)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_lower_limit_of_the_system_stays(monkeypatch: pytest.MonkeyPatch):
    before = resource.getrlimit(resource.RLIMIT_DATA)
    lower = 2**36
    resource.setrlimit(resource.RLIMIT_DATA, (lower, before[1]))
    try:
        monkeypatch.setattr(memory, "available_memory", lambda: 2**50)
        with limited_memory():
            assert resource.getrlimit(resource.RLIMIT_DATA)[0] == lower
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
