"""A dataset of many paths over few objects, and what ten changes cost in it: ``python grow.py PATHS``.

Works in the project of this folder; prints one JSON object. Each time is the median of five.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from headwater.lake import Entry, Version, commit, diff, list_files
from headwater.lake.streaming import commit_stream
from headwater.project import open_project

paths = int(sys.argv[1])
project = open_project(".")
contents = [f"content {number}".encode() for number in range(16)]
with project.objects.batch() as batch:
    digests = [batch.put(each) for each in contents]


def entries() -> Iterator[Entry]:
    """Yield the files in the order of their paths."""
    for number in range(paths):
        digest, size = digests[number % 16], len(contents[number % 16])
        yield Entry(path=f"part-{number // 1000:05d}/image-{number % 1000:03d}.png", digest=digest, size=size)


def timed(act: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[float, float, Any]:
    """Return the wall and CPU seconds of an act, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = act(*arguments, **named)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def changes(turn: int) -> list[Entry]:
    """Return ten changed files, spread over the dataset."""
    numbers = [(turn * 7919 + each * (paths // 10)) % paths for each in range(10)]
    data = digests[(turn + 3) % 16]
    return [
        Entry(path=f"part-{n // 1000:05d}/image-{n % 1000:03d}.png", digest=data, size=9, media=f"turn/{turn}")
        for n in numbers
    ]


built, _, head = timed(commit_stream, project, "many", entries())
assert head.files == paths
taken: dict[str, list[tuple[float, float]]] = {"commit": [], "diff": [], "page": []}
written: list[tuple[int, int]] = []
for turn in range(5):
    before: Version = head
    wall, cpu, head = timed(commit, project, "many", put=changes(turn), base=before.id)
    taken["commit"].append((wall, cpu))
    record = project.objects.wanted()[-1]
    written.append((record.entries - 1, record.size))  # the version's record lies in the same pack
    wall, cpu, found = timed(diff, project, before.id, head.id)
    taken["diff"].append((wall, cpu))
    assert len(found.changed) == 10, found
    middle = f"part-{paths // 2000:05d}/"
    wall, cpu, page = timed(list_files, project, head.id, middle)
    taken["page"].append((wall, cpu))
    assert len(page.files) == min(1000, paths)
answer: dict[str, float] = {
    "built_s": built,
    "ranges": written[2][0],
    "bytes": statistics.median(b for _, b in written),
}
for name, samples in taken.items():
    answer[f"{name}_s"] = statistics.median(wall for wall, _ in samples)
    answer[f"{name}_cpu_s"] = statistics.median(cpu for _, cpu in samples)
answer["peak_mib"] = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps(answer))
