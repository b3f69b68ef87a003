"""How much memory this machine has and has left, as far as this process may use it: control groups are heeded."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1 << 20
UNKNOWN_BYTES = 1 << 62


def memory_bytes() -> int:
    """Return what there is; 0 where the machine does not tell."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
    return min([total, *(limit for limit, _ in _group_memory())])


def available_bytes() -> int:
    """Return how much can still be taken before the kernel ends somebody; ``UNKNOWN_BYTES`` where it does not tell."""
    found = [limit - used for limit, used in _group_memory()]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) << 10)
    except OSError:
        return UNKNOWN_BYTES
    return min(found, default=UNKNOWN_BYTES)


def _group_memory() -> list[tuple[int, int]]:
    """Return limit and use, in bytes, of each control group that this process is in and that has a limit."""
    found = []
    for folder, most, used, cache in _groups():
        try:
            limit = folder.joinpath(most).read_text().strip()
            if limit == "max" or int(limit) >= 1 << 60:
                continue
            told = dict(line.split() for line in folder.joinpath("memory.stat").read_text().splitlines())
            # What the kernel keeps of files counts as used and is given up first.
            found.append((int(limit), int(folder.joinpath(used).read_text()) - int(told.get(cache, 0))))
        except (OSError, ValueError):
            continue
    return found


def _groups() -> list[tuple[Path, str, str, str]]:
    """Return the folders of this process's control groups and the names of their files, versions 2 and 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top = Path("/sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inner = Path(path.lstrip("/"))
        found += [(top / each, *names) for each in (inner, *inner.parents)]
    return found
