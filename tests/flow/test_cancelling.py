"""Nested flows, and ending a run before its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import ConflictError, InvalidInputError
from headwater.flow import Outcome, cancel_run, execute_flow, get_tasks
from headwater.flow.interrupting import Interruption
from headwater.flow.processes import processes
from headwater.project import LocalProject, open_project
from headwater.track import get_run, track

from .playing import outcomes, run, write

NESTED = """
    @step
    def double(x):
        return 2 * x

    @flow
    def inner(x):
        return double(double(x))

    @flow(name="outer")
    def main():
        first = inner(1)
        return [first, inner(2), double(10)]
"""


def test_a_flow_called_in_a_flow_joins_its_run_under_its_name(local_project: LocalProject) -> None:
    write(local_project, NESTED)
    outcome = execute_flow(local_project, "outer")
    again = execute_flow(local_project, "inner", {"x": 2})

    assert outcome.value == [4, 8, 20]
    assert [task.within for task in get_tasks(local_project, outcome.run.id)] == ["inner"] * 2 + ["inner#2"] * 2 + [""]
    assert outcomes(again) == ["remembered", "remembered"]


def test_a_handle_as_a_condition_says_to_wait_for_the_value(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "@step\ndef good():\n    return True\n\n"
          "@flow\ndef main(wait):\n    h = good()\n    return 1 if (h.result() if wait else h) else 2\n")  # fmt: skip

    assert "bool needs the value of step 'good'" in run(sqlite_project, wait=False).run.error
    assert run(sqlite_project, wait=True).value == 1


SLEEPY = """
    import subprocess, sys, time

    @step
    def quick(x):
        return x

    @step
    def slow(path):
        child = subprocess.Popen(["sleep", "63"], start_new_session=True)
        open(path, "w").write(str(child.pid))
        time.sleep(60)

    @step
    def after(x):
        return x

    @flow
    def main(path, busy=False):
        quick(1).result()
        waiting = after(slow(path))
        if busy:
            time.sleep(60)
        return waiting
"""


class Running:
    """A flow that runs in another thread, or in a process of its own, until it is cancelled."""

    def __init__(self, project: LocalProject, **arguments: Any) -> None:
        assert project.root is not None
        self.path = project.root / "pid"
        self.outcome: Outcome | None = None
        self.project = project
        self.thread = threading.Thread(target=self._run, args=(arguments,))
        self.thread.start()

    def _run(self, arguments: dict[str, Any]) -> None:
        self.outcome = execute_flow(self.project, "main", {"path": str(self.path), **arguments})

    def pid(self) -> int:
        for _ in range(400):
            if self.path.exists() and self.path.read_text():
                return int(self.path.read_text())
            time.sleep(0.05)
        raise AssertionError("the step did not start")

    def ended(self) -> Outcome:
        self.thread.join(20)
        assert self.outcome is not None
        return self.outcome


def running_id(project: LocalProject) -> str:
    with project.ledger.read() as tx:
        return str(tx.value("SELECT id FROM runs WHERE status = 'running'"))


def living(pid: int) -> bool:
    found = processes().get(pid)
    return found is not None and found.state != "Z"


@pytest.mark.parametrize("busy", [False, True])
def test_a_cancelled_run_ends_within_two_seconds_with_its_processes(local_project: LocalProject, busy: bool) -> None:
    write(local_project, SLEEPY.replace("time.sleep(60)\n        return", "[time.sleep(0.05) for _ in range(1200)]\n"
                                        "        return"))  # fmt: skip
    flow = Running(local_project, busy=busy)
    pid = flow.pid()
    identifier = running_id(local_project)
    started = time.monotonic()
    found = cancel_run(local_project, identifier, "wrong data")
    took = time.monotonic() - started
    outcome = flow.ended()

    assert found.status == "cancelled" == outcome.status and took < 3
    assert found.error.startswith("cancelled by ") and found.error.endswith(": wrong data")
    assert outcomes(outcome) == ["ran", "cancelled", "skipped"] and not living(pid)
    with pytest.raises(ConflictError, match="has ended already: cancelled"):
        cancel_run(local_project, identifier)


def test_a_run_that_is_not_of_a_flow_is_not_cancelled(sqlite_project: LocalProject) -> None:
    with track(sqlite_project, "fit") as tracked, pytest.raises(InvalidInputError, match="of kind 'track'"):
        cancel_run(sqlite_project, tracked.id)


@pytest.mark.parametrize("how", ["operation", "ctrl-c"])
def test_a_flow_asleep_in_another_process_is_cancelled_too(sqlite_project: LocalProject, how: str) -> None:
    write(sqlite_project, SLEEPY)
    assert sqlite_project.root is not None
    path = sqlite_project.root / "pid"
    code = (
        "import sys; from headwater.project import open_project; from headwater.flow import execute_flow\n"
        "with open_project(sys.argv[1]) as p: execute_flow(p, 'main', {'path': sys.argv[2], 'busy': True})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(sqlite_project.root), str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(400):
        if path.exists() and path.read_text():
            break
        time.sleep(0.05)
    identifier = running_id(sqlite_project)
    started = time.monotonic()
    with open_project(sqlite_project.root, actor="zoe") as other:
        if how == "ctrl-c":
            process.send_signal(signal.SIGINT)
            process.wait(20)
        else:
            cancel_run(other, identifier)
            process.wait(20)
        found = get_run(other, identifier)

    assert time.monotonic() - started < 4
    assert found.status == "cancelled"
    assert found.error == "cancelled by zoe" if how == "operation" else found.error.endswith(": Ctrl-C")
    assert not living(int(path.read_text()))


def test_without_an_interruption_a_busy_flow_goes_on(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: a flow that is cancelled only where it waits for a step."""
    monkeypatch.setattr(Interruption, "interrupt", lambda self: None)
    busy = SLEEPY.replace("time.sleep(60)\n        return", "[time.sleep(0.05) for _ in range(60)]\n        return")
    write(sqlite_project, busy)
    flow = Running(sqlite_project, busy=True)
    flow.pid()
    found = cancel_run(sqlite_project, running_id(sqlite_project), wait_s=2.0)
    flow.ended()

    assert found.status == "running"


def test_what_a_cancelled_run_finished_is_remembered(sqlite_project: LocalProject) -> None:
    write(sqlite_project, SLEEPY)
    flow = Running(sqlite_project)
    flow.pid()
    cancel_run(sqlite_project, running_id(sqlite_project))
    flow.ended()
    write(sqlite_project, SLEEPY.replace("time.sleep(60)\n\n    @step", "return 3\n\n    @step"))
    again = run(sqlite_project, path=str(Path(str(sqlite_project.root)) / "pid"))

    assert outcomes(again) == ["remembered", "ran", "ran"] and again.value == 3
