"""Options of steps: retries, timeouts, what they may take of the machine, and that some may fail."""

from __future__ import annotations

import itertools
import re
import sys
import time
from pathlib import Path

import pytest

from headwater.flow import execute_flow, get_tasks, step
from headwater.flow.attempts import pause_before_next
from headwater.flow.guarding import MemoryGuard
from headwater.flow.processes import processes
from headwater.flow.steps import Options
from headwater.project import LocalProject

from .playing import outcomes, run, write

COUNTING = """
    import pathlib

    def count(path):
        mark = pathlib.Path(path)
        number = int(mark.read_text()) + 1 if mark.exists() else 1
        mark.write_text(str(number))
        return number

    class Flaky(Exception):
        pass

    @step(retries=3, backoff_s=0.05, retry_on=[Flaky, ConnectionError], impure=True)
    def named(path, error):
        if count(path) < 3:
            raise {"flaky": Flaky, "reset": ConnectionResetError, "value": ValueError}[error]("not yet")
        return "third"

    @step(retries=3, backoff_s=0.05, impure=True)
    def any_error(path):
        if count(path) < 2:
            raise ValueError("not yet")
        return "second"

    @step(retries=3, backoff_s=0.05, impure=True)
    def unkeepable(path):
        count(path)
        return lambda: 1

    @flow
    def main(which, path, error="flaky"):
        return {"named": lambda: named(path, error), "any": lambda: any_error(path),
                "unkeepable": lambda: unkeepable(path)}[which]()
"""


def test_a_step_runs_again_after_an_error_that_it_names_and_each_attempt_is_kept(local_project: LocalProject) -> None:
    write(local_project, COUNTING)
    assert local_project.root is not None
    outcome = run(local_project, which="named", path=str(local_project.root / "a"), error="reset")

    assert outcome.value == "third"
    [task] = get_tasks(local_project, outcome.run.id)
    assert [each.error for each in task.attempts] == ["ConnectionResetError: not yet"] * 2
    assert 0.025 <= task.attempts[0].waited_s <= 0.05 < 2 * task.attempts[1].waited_s <= 0.2


def test_an_error_that_is_not_named_ends_the_step_at_once(sqlite_project: LocalProject) -> None:
    write(sqlite_project, COUNTING)
    assert sqlite_project.root is not None
    mark = sqlite_project.root / "a"
    outcome = run(sqlite_project, which="named", path=str(mark), error="value")

    assert outcome.status == "failed" and mark.read_text() == "1"
    assert run(sqlite_project, which="any", path=str(sqlite_project.root / "b")).value == "second"


def test_a_refusal_is_not_tried_again(sqlite_project: LocalProject) -> None:
    write(sqlite_project, COUNTING)
    assert sqlite_project.root is not None
    mark = sqlite_project.root / "a"
    outcome = run(sqlite_project, which="unkeepable", path=str(mark))

    assert "does not fit in a pickle" in outcome.run.error and mark.read_text() == "1"


def test_pauses_double_differ_between_tasks_and_end() -> None:
    options = Options(retries=9, backoff_s=2.0)
    answer = {"error": "x", "kinds": ["ValueError"]}
    pauses = [pause_before_next(options, failed, answer, "one") for failed in range(1, 11)]

    assert pauses[-1] is None
    assert all(2**n <= pause <= 2 ** (n + 1) for n, pause in enumerate(pauses[:-1]) if pause is not None)
    assert pauses[0] != pause_before_next(options, 1, answer, "another")
    assert pause_before_next(options, 1, {"killed": "x", "kinds": ["MemoryError"]}, "one") is None


@pytest.mark.parametrize("options", [{"retries": -1}, {"timeout_s": 0}, {"cores": 0}, {"retry_on": [3]}])
def test_options_that_mean_nothing_are_refused_where_they_are_written(options: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=f"retry_on|{next(iter(options))}"):
        step(**options)  # type: ignore[call-overload]  # wrong on purpose


TREE = """
    import subprocess, sys, time

    @step(timeout_s=1.0)
    def slow(path):
        spawn(path)
        time.sleep(60)

    @step
    def leaves(path):
        spawn(path)
        return "done"

    def spawn(path):
        # Two that left for sessions of their own: a child, and a grandchild whose parent is gone.
        code = "import os, subprocess, sys\\n" \\
               "one = subprocess.Popen(['sleep', '61'], start_new_session=True)\\n" \\
               "open(sys.argv[1], 'a').write(f'{one.pid} ')"
        one = subprocess.Popen(["sleep", "62"], start_new_session=True)
        with open(path, "a") as file:
            file.write(f"{one.pid} ")
        subprocess.run([sys.executable, "-c", code, path], check=True, start_new_session=True)

    @flow
    def main(which, path):
        return slow(path) if which == "slow" else leaves(path)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="trees of processes are found through /proc")
@pytest.mark.parametrize("which", ["slow", "leaves"])
def test_a_step_ends_with_all_that_it_started_in_whatever_session(sqlite_project: LocalProject, which: str) -> None:
    write(sqlite_project, TREE)
    assert sqlite_project.root is not None
    path = sqlite_project.root / "pids"
    outcome = run(sqlite_project, which=which, path=str(path))
    pids = [int(each) for each in path.read_text().split()]
    time.sleep(0.1)
    alive = [pid for pid in pids if (found := processes().get(pid)) and found.state != "Z"]

    assert outcomes(outcome) == ["killed" if which == "slow" else "ran"]
    assert len(pids) == 2 and alive == []


GREEDY = """
    import subprocess, sys, time

    HOLD = "import time; held = bytearray(%d << 20); time.sleep(30)"

    @step(memory_mib=100)
    def hungry():
        held = bytearray(300 << 20)
        time.sleep(30)

    @step(memory_mib=100)
    def child_is_hungry():
        subprocess.run([sys.executable, "-c", HOLD % 300])

    @step(memory_mib=200)
    def modest():
        held = bytearray(60 << 20)
        time.sleep(0.5)
        return len(held)

    @step
    def without_end():
        held = []
        while True:
            held.append(bytearray(20 << 20))
            time.sleep(0.02)

    @flow
    def main(which):
        return globals()[which]()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured through /proc")
@pytest.mark.parametrize("which", ["hungry", "child_is_hungry"])
def test_a_step_that_takes_more_memory_than_it_asked_for_is_stopped_by_name(
    sqlite_project: LocalProject, which: str
) -> None:
    write(sqlite_project, GREEDY)
    started = time.monotonic()
    outcome = run(sqlite_project, which=which)

    assert outcomes(outcome) == ["killed"] and time.monotonic() - started < 20
    said = re.match(rf"step '{which}' killed: it used (\d+) MiB of its 100 MiB and was stopped", outcome.run.error)
    assert said is not None and int(said[1]) > 100
    assert outcome.tasks[0].peak_bytes > 100 << 20


def test_a_step_within_its_memory_runs_and_its_peak_is_kept(sqlite_project: LocalProject) -> None:
    write(sqlite_project, GREEDY)
    outcome = run(sqlite_project, which="modest")

    assert outcome.value == 60 << 20
    assert outcome.tasks[0].peak_bytes > 60 << 20


@pytest.mark.parametrize(
    ("machine_mib", "free_mib", "said"),
    [(1000, 900, "80% of the machine's 1000 MiB"), (100_000, 100, "about to run out")],
)
def test_a_step_that_allocates_without_end_is_stopped_and_not_the_machine(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch, machine_mib: int, free_mib: int, said: str
) -> None:
    monkeypatch.setattr("headwater.flow.guarding.memory_bytes", lambda: machine_mib << 20)
    monkeypatch.setattr("headwater.flow.guarding.available_bytes", lambda: free_mib << 20)
    write(sqlite_project, GREEDY)
    outcome = run(sqlite_project, which="without_end")

    assert outcomes(outcome) == ["killed"] and "step 'without_end'" in outcome.run.error and said in outcome.run.error


def test_a_guard_that_looks_at_the_root_alone_misses_its_children(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: what the tests above catch."""
    monkeypatch.setattr("headwater.flow.guarding.resident_bytes", lambda pid, known: known[pid].resident_bytes)
    write(sqlite_project, GREEDY.replace("sleep(30)", "sleep(1)"))

    assert run(sqlite_project, which="child_is_hungry").status == "done"
    assert MemoryGuard(1 << 30).look([]) == []


def test_more_than_the_machine_has_is_a_clear_error(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step(cores=4096)
        def wide():
            return 1

        @step(gpus=64)
        def graphic():
            return 1

        @flow
        def main(which):
            return wide() if which == "wide" else graphic()
        """,
    )

    assert "asks for 4096 cores" in run(sqlite_project, which="wide").run.error
    assert "step 'graphic' failed: " in run(sqlite_project, which="graphic").run.error


def test_steps_that_take_all_cores_do_not_run_together(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import os, time

        @step(cores=2)
        def alone(x):
            began = time.time()
            time.sleep(0.2)
            return began, time.time(), os.environ["OMP_NUM_THREADS"]

        @flow
        def main():
            return [alone(x) for x in range(3)]
        """,
    )
    times = sorted(execute_flow(sqlite_project, "main", workers=2).value)

    assert all(first[1] <= second[0] for first, second in itertools.pairwise(times))
    assert {each[2] for each in times} == {"2"}


OPTIONAL = """
    @step(optional=True)
    def may_fail(x):
        if x < 0:
            raise ValueError("negative")
        return x

    @step
    def after(x):
        return x + 1

    @flow
    def main(x=-1):
        found = may_fail(x)
        later = after(found)
        return [found.failed, found.result(default="none"), later.failed, later.result(default=0), found, after(5)]
"""


def test_an_optional_step_may_fail_and_what_depends_on_it_is_skipped(local_project: LocalProject) -> None:
    write(local_project, OPTIONAL)
    outcome = run(local_project)
    well = run(local_project, x=1)

    assert outcome.value == [True, "none", True, 0, None, 6]
    assert outcomes(outcome) == ["failed", "skipped", "ran"]
    assert outcome.warnings == ("the optional step 'may_fail' failed: ValueError: negative",)
    assert well.value == [False, 1, False, 2, 1, 6] and well.warnings == ()


def test_an_optional_step_fails_in_a_flow_called_by_itself_as_well(
    sqlite_project: LocalProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(sqlite_project, "@step(optional=True)\ndef bad():\n    raise ValueError('no')\n\n"
          "@flow\ndef main():\n    h = bad()\n    return h.failed, h.result(default=3)\n", "alone.py")  # fmt: skip
    assert sqlite_project.root is not None
    path = sqlite_project.root / "alone.py"
    path.write_text("from headwater.flow import step, flow\n" + path.read_text())
    monkeypatch.syspath_prepend(str(Path(sqlite_project.root)))
    import alone  # type: ignore[import-not-found]  # written above

    assert alone.main() == (True, 3)
