"""Limit a process to the memory that there is, so that too large a model fails with a sentence."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")
#: The limits of a container.
CGROUP = Path("/sys/fs/cgroup")
#: Of cgroup versions 2 and 1: the files of the limit and of what is used, and the key of the cache.
CGROUP_FILES = [
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
]
#: The share of the available memory to use. The rest is for page tables and other processes.
SHARE = 0.9


def available_memory(proc: Path = PROC, cgroup: Path = CGROUP) -> int | None:
    """Return the bytes that this process can still use on the machine and in its container.

    None if the system does not tell, as macOS.
    """
    with suppress(OSError, KeyError):
        found = [_numbers(proc / "meminfo")["MemAvailable:"] * 1024]
        for limit, used, cached in CGROUP_FILES:
            with suppress(OSError, KeyError, ValueError):
                free = int((cgroup / limit).read_text()) - int((cgroup / used).read_text())
                # The kernel drops cached files when memory is needed.
                free += _numbers((cgroup / limit).with_name("memory.stat"))[cached]
                found.append(max(free, 0))
        return min(found)
    return None


@contextmanager
def limited_memory() -> Iterator[None]:
    """Raise MemoryError in the block when the memory is used up.

    Otherwise Linux promises memory that it does not have, and later kills the process without a
    message. Other systems are left as they are.
    """
    available = available_memory()
    if available is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = _numbers(PROC / "self/status")["VmData:"] * 1024 + int(SHARE * available)
    known = [limit for limit in before if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *known]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _numbers(file: Path) -> dict[str, int]:
    """Return the whole numbers in a file of lines such as ``MemAvailable: 123 kB``."""
    rows = (line.split() for line in file.read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}
