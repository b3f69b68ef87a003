"""Runs a flow of many trivial steps, or a fan-out that keeps CPUs busy, and prints what it took as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

FLOWS = """\
import headwater as hw


@hw.step
def add(number: int) -> int:
    return number + 1


@hw.step
def spin(seed: int, rounds: int) -> int:
    value = seed
    for _ in range(rounds):
        value = (value * 6364136223846793005 + 1442695040888963407) % 2**64
    return value


@hw.flow
def wide(count: int) -> int:
    return len(add.map(range(count)))


@hw.flow
def busy(count: int, rounds: int) -> int:
    return len(spin.map(range(count), rounds=rounds))
"""


def spin(seed: int, rounds: int) -> int:
    """Keep one CPU busy, as the step of the same name does."""
    value = seed
    for _ in range(rounds):
        value = (value * 6364136223846793005 + 1442695040888963407) % 2**64
    return value


def cpu() -> float:
    """Return the CPU seconds of this process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def run(flow: str, arguments: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Run a flow of the project here and return what it took."""
    from headwater.flow import execute_flow
    from headwater.project import open_project

    with open_project(".") as project:
        started, used = time.perf_counter(), cpu()
        outcome = execute_flow(project, flow, arguments, **options)
        took = time.perf_counter() - started
    assert outcome.status == "done", outcome.run.error
    steps = [task.started_at for task in outcome.tasks]
    return {
        "wall_s": took, "cpu_s": cpu() - used, "executed": outcome.executed, "remembered": outcome.remembered,
        "memory_mib": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024,
        # From the first step to the last end: without the start of workers, which a real flow pays once.
        "steps_s": (max(task.ended_at for task in outcome.tasks) - min(steps)) / 1e6,
    }  # fmt: skip


def plain(count: int, rounds: int, workers: int) -> dict[str, Any]:
    """Do the busy work with the standard library's pool."""
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(abs, range(workers)))  # started
        started = time.perf_counter()
        list(pool.map(spin, range(count), [rounds] * count))
        return {"wall_s": time.perf_counter() - started, "steps_s": time.perf_counter() - started}


def main() -> None:
    """Do the case that the arguments name."""
    case, count, on, workers, *rest = sys.argv[1:]
    Path("flows.py").write_text(FLOWS)
    if case == "wide":
        found = run("wide", {"count": int(count)}, on=on, workers=int(workers))
    elif on == "plain":
        found = plain(int(count), int(rest[0]), int(workers))
    else:
        arguments = {"count": int(count), "rounds": int(rest[0])}
        found = run("busy", arguments, on=on, workers=int(workers), forget=True)
    print(json.dumps({**found, "cpus": os.cpu_count()}))


if __name__ == "__main__":
    main()
