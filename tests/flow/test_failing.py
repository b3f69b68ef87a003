"""What goes wrong in flows: said where it is, killed whole, resumed after."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.errors import InvalidInputError, UserCodeError
from headwater.flow import wire
from headwater.project import LocalProject, open_project
from headwater.track import get_run

from .playing import CHAIN, outcomes, run, write


def test_a_failing_step_shows_the_users_traceback_and_the_others_finish(local_project: LocalProject) -> None:
    write(
        local_project,
        """
        @step
        def good(x):
            return x

        @step
        def bad(x):
            return {}["missing"]

        @step
        def after(x):
            return x

        @flow
        def main():
            return [bad(1), good(2), after(bad(3))]
        """,
    )
    outcome = run(local_project)
    again = run(local_project)

    assert outcome.status == "failed" and outcome.run.error.startswith("step 'bad' failed: KeyError")
    assert outcomes(outcome) == ["failed", "ran", "failed", "skipped"]
    assert 'return {}["missing"]' in outcome.run.traceback and "headwater/flow" not in outcome.run.traceback
    assert "flows.py" in outcome.run.traceback
    assert outcomes(again)[1] == "remembered"
    with pytest.raises(UserCodeError, match="KeyError"):
        _ = outcome.value


def test_a_flow_that_raises_is_a_failed_run_with_its_own_lines(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "@flow\ndef main():\n    return 1 / 0\n")
    outcome = run(sqlite_project)

    assert outcome.status == "failed" and outcome.run.error == "ZeroDivisionError: division by zero"
    assert "return 1 / 0" in outcome.run.traceback and "running.py" not in outcome.run.traceback


def test_a_flow_may_catch_a_failing_step(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def bad():
            raise ValueError("no")

        @flow
        def main():
            try:
                return bad().result()
            except Exception as error:
                return type(error).__name__
        """,
    )
    outcome = run(sqlite_project)

    assert outcome.status == "done" and outcome.value == "UserCodeError"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return one(lambda: 1)", "does not fit in a pickle"),
        ("x = []; x.append(x); return one(x)", "holds itself"),
        ("import threading; return one(threading.Lock())", "does not fit in a pickle"),
        ("k = 3\n    def inner(): return k\n    return one(inner)", "closed over k. Define it at the top level"),
        ("import threading; return one({'a': [threading.Lock()]})", "of step 'one'['a'][0] is a _thread"),
        ("return one()", "missing the argument 'x'"),
        ("return one(1, z=2)", "unexpected keyword argument 'z'"),
    ],
)
def test_an_argument_that_cannot_be_used_is_said_where_the_call_is(
    sqlite_project: LocalProject, body: str, message: str
) -> None:
    write(sqlite_project, f"@step\ndef one(x):\n    return x\n\n@flow\ndef main():\n    {body}\n")
    outcome = run(sqlite_project)

    assert outcome.status == "failed" and message in outcome.run.error


def test_an_argument_too_large_to_hand_on_says_what_to_do(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.flow.arguments.MOST_ARGUMENT_BYTES", 3 << 20)
    write(
        sqlite_project,
        """
        @step
        def one(x):
            return len(x)

        @step
        def many(n):
            return list(range(n))

        @flow
        def main(by_hand):
            return one(list(range(900_000)) if by_hand else many(900_000))
        """,
    )
    outcome = run(sqlite_project, by_hand=True)

    assert "the argument 'x' of step 'one' holds" in outcome.run.error
    assert "pass that step's handle" in outcome.run.error
    assert run(sqlite_project, by_hand=False).value == 900_000


def test_a_result_that_cannot_be_kept_names_the_attribute(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import threading

        class Holder:
            def __init__(self):
                self.lock = threading.Lock()

        @step
        def one():
            return {"a": [Holder()]}

        @step
        def handle():
            return two()

        @step
        def two():
            return 2

        @flow
        def main(which="one"):
            return one() if which == "one" else handle()
        """,
    )
    outcome = run(sqlite_project)

    assert "the result of step 'one'" in outcome.run.error and "attribute 'lock'" in outcome.run.error
    assert run(sqlite_project, which="handle").value == 2  # inside a step another step is the plain function


def test_a_step_inside_a_function_says_where_it_has_to_be(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @flow
        def main():
            @step
            def inner():
                return 1
            return inner()
        """,
    )
    outcome = run(sqlite_project)

    assert "at the top level of a Python file" in outcome.run.error


def test_a_damaged_result_is_noticed_and_computed_again(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def big():
            import random
            return random.Random(7).randbytes(5_120_000)

        @step
        def size(data, extra):
            return len(data) + extra

        @flow
        def main(extra=0):
            return size(big(), extra)
        """,
    )
    first = run(sqlite_project)
    assert first.value == 5_120_000 and sqlite_project.root is not None
    folder = sqlite_project.root
    sqlite_project.close()
    for path in (folder / ".headwater" / "cache").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.unlink()
    for path in (folder / ".headwater" / "objects").rglob("*"):
        if path.is_file() and path.stat().st_size > 100_000:
            path.chmod(0o600)
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 0xFF
            path.write_bytes(data)
    with open_project(folder) as again:
        outcome = run(again, extra=1)
        assert outcome.value == 5_120_001
        assert outcomes(outcome) == ["ran", "ran"]
        assert "damaged" in outcome.tasks[0].why
        assert outcomes(run(again, extra=1)) == ["remembered", "remembered"]


def test_a_killed_worker_fails_its_step_only(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import os, signal, pathlib

        @step
        def dies(x):
            os.kill(os.getpid(), signal.SIGKILL)

        @step(retries=1, impure=True)
        def dies_once(path):
            mark = pathlib.Path(path)
            if not mark.exists():
                mark.write_text("x")
                os.kill(os.getpid(), signal.SIGKILL)
            return "second"

        @step
        def lives(x):
            return x

        @flow
        def main(path):
            return [dies(1), lives(2), dies_once(path)]
        """,
    )
    assert sqlite_project.root is not None
    outcome = run(sqlite_project, path=str(sqlite_project.root / "mark"))

    assert outcomes(outcome) == ["killed", "ran", "ran"]
    assert outcome.status == "failed" and "SIGKILL" in outcome.tasks[0].error


def test_many_killed_at_once_each_fail_by_themselves(sqlite_project: LocalProject) -> None:
    """What a worker says of one dead child must not be taken, or waited for, as what it says of another."""
    write(
        sqlite_project,
        """
        import os, signal

        @step
        def dies(x):
            os.kill(os.getpid(), signal.SIGKILL)

        @flow
        def main():
            return [dies(x) for x in range(120)]
        """,
    )
    outcome = run(sqlite_project)

    assert outcomes(outcome) == ["killed"] * 120
    assert all("SIGKILL" in task.error for task in outcome.tasks)


def test_a_worker_whose_run_is_gone_ends_without_a_word(tmp_path: Path) -> None:
    ours, its = socket.socketpair()
    snapshot = tmp_path / "snapshot"
    snapshot.write_bytes(msgspec.msgpack.encode([]))
    setup = {"root": str(tmp_path), "work": str(tmp_path), "snapshot": str(snapshot), "also": {}, "strict": False}
    with its:
        worker = subprocess.Popen(
            [sys.executable, "-m", "headwater.flow.worker", str(its.fileno())],
            pass_fds=[its.fileno()],
            stderr=subprocess.PIPE,
        )
    # It will refuse this snapshot, and find nobody to say so to.
    wire.send(ours, {**setup, "digest": "another", "modules": []})
    ours.close()

    _, said = worker.communicate(timeout=30)
    assert (worker.returncode, said) == (0, b"")


def test_a_step_that_runs_too_long_is_ended_with_its_children(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import subprocess, sys

        @step(timeout_s=0.5)
        def slow(path):
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            open(path, "w").write(str(child.pid))
            child.wait()

        @flow
        def main(path):
            return slow(path)
        """,
    )
    assert sqlite_project.root is not None
    path = sqlite_project.root / "child.txt"
    started = time.monotonic()
    outcome = run(sqlite_project, path=str(path))

    assert time.monotonic() - started < 20
    assert outcomes(outcome) == ["killed"] and "timeout of 0.5 s" in outcome.tasks[0].error
    assert not Path(f"/proc/{path.read_text()}").exists() or _is_zombie(int(path.read_text()))


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


SLOW = """
    import time, os

    @step
    def quick(x):
        return x

    @step
    def slow(x):
        time.sleep(120)

    @flow
    def main():
        quick(1).result()
        return slow(2)
"""


def _start(project: LocalProject) -> subprocess.Popen[bytes]:
    code = (
        "import sys; from headwater.project import open_project; from headwater.flow import execute_flow\n"
        "with open_project(sys.argv[1]) as p: execute_flow(p, 'main')"
    )
    path = os.pathsep.join(each for each in sys.path if each)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(project.root)],
        env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait_for_task(project: LocalProject) -> str:
    for _ in range(300):
        with project.ledger.read() as tx:
            row = tx.one("SELECT run FROM tasks WHERE outcome = 'ran'")
        if row is not None:
            return str(row.run)
        time.sleep(0.05)
    raise AssertionError("the flow did not start")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, "killed"), (signal.SIGINT, "cancelled")])
def test_a_killed_flow_is_shown_as_killed_and_resumes(
    sqlite_project: LocalProject, number: signal.Signals, status: str
) -> None:
    write(sqlite_project, SLOW)
    process = _start(sqlite_project)
    identifier = _wait_for_task(sqlite_project)
    assert get_run(sqlite_project, identifier).status == "running"
    time.sleep(0.3)
    process.send_signal(number)
    process.wait(20)
    time.sleep(0.3)

    assert get_run(sqlite_project, identifier).status == status
    write(sqlite_project, SLOW.replace("time.sleep(120)", "return x"))
    again = run(sqlite_project)
    assert outcomes(again) == ["remembered", "ran"] and again.value == 2
    assert not _workers_left(sqlite_project)


def _workers_left(project: LocalProject) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"headwater.flow.worker" in path.read_bytes():
                cwd = os.readlink(path.parent / "cwd")
                if cwd == str(project.root):
                    found.append(str(path))
        except OSError:
            continue
    return found


def test_wrong_arguments_name_the_right_ones(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)

    with pytest.raises(InvalidInputError, match="It takes x"):
        run(sqlite_project, depth=3)


def test_a_worker_that_dies_before_a_step_is_handed_to_it_is_replaced(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.flow.pool import Pool

    write(sqlite_project, CHAIN)
    launch = Pool._launch
    killed: list[int] = []

    def dies_first(self: Pool, process: Any, *given: Any) -> None:
        if not killed:
            killed.append(process.process.pid)
            process.process.kill()
            process.process.wait()
        launch(self, process, *given)

    monkeypatch.setattr(Pool, "_launch", dies_first)
    signal.alarm(60)  # the test fails, and does not hang, where the dead worker is asked for ever
    try:
        outcome = run(sqlite_project)
    finally:
        signal.alarm(0)

    assert (outcome.status, len(killed)) == ("done", 1)
