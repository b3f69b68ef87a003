"""A flow of 200 tasks in a process of its own, what may be killed of it, and what must hold when it was run again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from headwater.project import LocalProject
from headwater.track import list_runs

TASKS = 200
FLOW = """
    import time

    @step
    def begin(x):
        return list(range(x, x + 100))

    @step
    def double(item, all_of):
        time.sleep(0.002)
        return {"item": item * 2, "length": len(all_of)}

    @step
    def pair(first, second):
        return first["item"] + second["item"]

    @step
    def add(parts):
        return sum(parts)

    @flow
    def main(x=1):
        first = begin(x)
        doubled = [double(item, first) for item in first.result()]
        pairs = [pair(doubled[i], doubled[(i + 1) % 100]) for i in range(90)]
        sums = [add(pairs[i * 10:i * 10 + 10]) for i in range(8)]
        return add(sums)
"""

DRIVER = """
import sys
from headwater.project import open_project
from headwater.flow import execute_flow
with open_project(sys.argv[1]) as project:
    outcome = execute_flow(project, "main", workers=2)
sys.exit(0 if outcome.status == "done" else 1)
"""


class Disturbed:
    """Runs the flow again and again and kills something of it at random moments, until it has ended well."""

    def __init__(self, project: LocalProject, seed: int) -> None:
        assert project.root is not None
        self.folder = project.root
        self.chance = random.Random(seed)
        self.kills: list[str] = []

    def start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(each for each in sys.path if each)
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(self.folder)],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def until_done(self, kills: int, longest_s: float) -> None:
        """Kill the driver or a worker ``kills`` times, each in a run of its own; then let a run end."""
        for _ in range(kills):
            process = self.start()
            time.sleep(0.25 + self.chance.random() * longest_s)
            self.kill_something(process)
            if process.wait(120) == 0:
                return
        process = self.start()
        assert process.wait(120) == 0

    def kill_something(self, driver: subprocess.Popen[bytes]) -> None:
        workers = [pid for pid in worker_pids(self.folder) if pid != driver.pid]
        if workers and self.chance.random() < 0.5:
            self.kills.append("worker")
            os.kill(self.chance.choice(workers), signal.SIGKILL)
        else:
            self.kills.append("driver")
            driver.kill()


def worker_pids(folder: Path) -> list[int]:
    """Return the processes that run steps of a project's flows: workers, and the children that they forked."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"headwater.flow.worker" in path.read_bytes() and os.readlink(path.parent / "cwd") == str(folder):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def require_each_once(project: LocalProject, digest: str, tasks: int = TASKS) -> None:
    """Raise AssertionError unless each task's result is there exactly once and the last is that of ``digest``."""
    with project.ledger.read() as tx:
        twice = tx.all("SELECT step, COUNT(*) AS n FROM results GROUP BY static_key, step HAVING COUNT(*) > 1")
        results = tx.value("SELECT COUNT(*) FROM results")
    assert not twice, f"{len(twice)} tasks have several results"
    assert results == tasks, f"{results} results for {tasks} tasks"
    assert last_output(project) == digest, "the result is not that of an undisturbed run"


def last_output(project: LocalProject) -> str:
    """Return the digest of what the last step of the newest run gave."""
    run = list_runs(project, limit=1).runs[0]
    assert run.status == "done"
    with project.ledger.read() as tx:
        sql = "SELECT r.output FROM tasks t JOIN results r ON r.id = t.result WHERE t.run = ? ORDER BY t.position DESC"
        return str(tx.value(f"{sql} LIMIT 1", (run.id,)))
