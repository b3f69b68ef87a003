"""Flows as a user meets them: remembered, explained, failing, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import InvalidInputError, NotFoundError, UserCodeError
from headwater.flow import Outcome, execute_flow, explain, get_tasks, list_flows, load_result, run_flow, show_flow
from headwater.project import LocalProject, Project, open_project
from headwater.track import get_run, list_runs, read_log

HEAD = "from headwater.flow import step, flow, DataRef, active_run\n"


def write(project: Project, text: str, name: str = "flows.py") -> None:
    assert project.root is not None
    path = project.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((HEAD if name == "flows.py" else "") + textwrap.dedent(text))


def run(project: Project, flow: str = "main", **arguments: Any) -> Outcome:
    return execute_flow(project, flow, arguments)


def outcomes(outcome: Outcome) -> list[str]:
    return [task.outcome for task in outcome.tasks]


MODELS = """
    class Model:
        def __init__(self, k):
            self.k = k

        def predict(self, x):
            return x SIGN self.k
"""

CHAIN = """
    @step
    def double(x):
        print("doubling", x)
        return x * 2

    @step
    def join(a, b):
        return [a, b]

    @flow
    def main(x=1):
        return join(double(x), double(x + 1))
"""


def test_a_flow_runs_once_and_is_remembered_after(local_project: LocalProject) -> None:
    write(local_project, CHAIN)
    first = run(local_project)
    again = run(local_project)
    other = run(local_project, x=2)

    assert first.value == again.value == [2, 4]
    assert outcomes(first) == ["ran", "ran", "ran"]
    assert outcomes(again) == ["remembered"] * 3
    assert other.value == [4, 6] and outcomes(other) == ["remembered", "ran", "ran"]
    assert "nothing it depends on changed" in again.tasks[0].why
    assert get_run(local_project, again.run.id).params == {}
    assert [task.outcome for task in get_tasks(local_project, first.run.id)] == ["ran"] * 3


def test_the_lineage_goes_from_the_run_to_results_and_their_inputs(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    outcome = run(sqlite_project)
    last = outcome.tasks[-1]
    with sqlite_project.ledger.read() as tx:
        run_edges = dict.fromkeys(parent for role, parent in tx.edges_of(f"run:{outcome.run.id}") if role == "task")
        results = tx.edges_of(f"result:{last.result}")

    assert set(run_edges) == {f"task:{task.id}" for task in outcome.tasks}
    assert sorted(parent for _, parent in results) == sorted(f"result:{t.result}" for t in outcome.tasks[:2])


def test_lines_that_a_step_prints_are_kept_with_its_task(local_project: LocalProject) -> None:
    write(local_project, CHAIN)
    outcome = run(local_project)
    lines = read_log(local_project, outcome.run.id, task=outcome.tasks[0].id)

    assert [(line.text, line.level) for line in lines] == [("doubling 1", "out")]


def test_every_rerun_says_why(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "K = 1\n\ndef normalise(x):\n    return x + K\n", "helpers.py")
    text = """
        import helpers

        @step(env=["HW_TEST_MODE"])
        def one(x, depth=1):
            return helpers.normalise(x) * depth

        @flow
        def main(x=1, depth=6):
            return one(x, depth=depth)
    """
    write(sqlite_project, text)

    def why(**arguments: Any) -> str:
        return run(sqlite_project, **arguments).tasks[0].why

    assert why() == "ran: no result of this call is remembered yet"
    assert why(depth=8) == "ran again: the argument depth is 8, was 6"
    write(sqlite_project, "K = 1\n\ndef normalise(x):\n    return x - K\n", "helpers.py")
    assert why(depth=8) == "ran again: helpers.normalise changed (helpers.py:3)"
    os.environ["HW_TEST_MODE"] = "fast"
    try:
        assert why(depth=8) == "ran again: the environment variable HW_TEST_MODE changed"
    finally:
        del os.environ["HW_TEST_MODE"]
    assert why(depth=8).startswith("remembered from ")


def test_explaining_is_exact_up_to_the_first_miss(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    run(sqlite_project)
    same = explain(sqlite_project, "main")
    changed = explain(sqlite_project, "main", {"x": 2})

    assert [task.outcome for task in same.tasks] == ["remembered"] * 3 and same.would_run == 0
    assert [task.outcome for task in changed.tasks] == ["remembered", "would run", "unknown"]
    assert changed.tasks[1].why == "would run again: the argument x is 3, was 2"
    assert changed.tasks[2].why == "depends on double"
    assert len(list_runs(sqlite_project).runs) == 1


def test_explaining_stops_where_the_flow_needs_a_value(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def count():
            return 3

        @step
        def each(i):
            return i

        @flow
        def main():
            return [each(i) for i in range(count().result())]
        """,
    )
    before = explain(sqlite_project, "main")
    outcome = run(sqlite_project)

    assert before.stopped_at == "count" and len(before.tasks) == 1
    assert outcome.value == [0, 1, 2]


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


def test_a_handle_refuses_to_be_taken_for_its_value(sqlite_project: LocalProject) -> None:
    for use in ("if h: pass", "h == 1", "list(h)", "h + 1", "h[0]", "len(h)", "f'{h}'"):
        write(sqlite_project, f"@step\ndef one():\n    return 1\n\n@flow\ndef main():\n    h = one()\n    {use}\n")
        outcome = run(sqlite_project)

        assert outcome.status == "failed", use
        assert "handle.result()" in outcome.run.error, use


def test_handles_travel_inside_lists_and_dicts(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def one(x):
            return (x, {"k": x})

        @step
        def gather(items, *, named):
            return [items, named]

        @flow
        def main():
            parts = one.map([1, 2])
            return gather(parts, named={"last": parts[-1], 3: "three"})
        """,
    )
    outcome = run(sqlite_project)

    assert outcome.value == [[(1, {"k": 1}), (2, {"k": 2})], {"last": (2, {"k": 2}), 3: "three"}]
    assert outcomes(run(sqlite_project)) == ["remembered"] * 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return one(lambda: 1)", "does not fit in a pickle"),
        ("x = []; x.append(x); return one(x)", "holds itself"),
        ("import threading; return one(threading.Lock())", "does not fit in a pickle"),
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


def test_steps_may_recurse_have_lambda_defaults_and_import_in_circles(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "import b\n\ndef f(n):\n    return 1 if n == 0 else b.g(n - 1) + 1\n", "a.py")
    write(sqlite_project, "import a\n\ndef g(n):\n    return a.f(n) * 2\n", "b.py")
    write(
        sqlite_project,
        """
        import a

        @step
        def factorial(n, then=lambda x: x + 1):
            return then(0) if n < 2 else n * factorial(n - 1)

        @step
        def circle(n):
            return a.f(n)

        @flow
        def main():
            return [factorial(5), circle(3)]
        """,
    )
    first = run(sqlite_project)

    assert first.value == [120, 15]
    assert outcomes(run(sqlite_project)) == ["remembered"] * 2
    write(sqlite_project, "import a\n\ndef g(n):\n    return a.f(n) * 3\n", "b.py")
    assert outcomes(run(sqlite_project)) == ["remembered", "ran"]


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


def test_an_object_of_the_projects_own_class_brings_its_code_into_the_key(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        MODELS.replace("SIGN", "*"),
        "models.py",
    )
    write(
        sqlite_project,
        """
        import models

        @step
        def fit():
            from models import Model
            return Model(3)

        @step
        def use(model, x):
            return model.predict(x)

        @flow
        def main():
            return [use(fit(), 2), use(models.Model(5), 2)]
        """,
    )
    assert run(sqlite_project).value == [6, 10]
    write(
        sqlite_project,
        MODELS.replace("SIGN", "+"),
        "models.py",
    )
    again = run(sqlite_project)

    assert again.value == [5, 7]


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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, "killed"), (signal.SIGINT, "killed")])
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


def test_what_a_key_cannot_see_is_warned_of(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import random, time
        from datetime import datetime
        from pathlib import Path

        @step
        def clock():
            return [time.time(), datetime.now().year]

        @step
        def dice():
            return random.random()

        @step(seed=1)
        def seeded():
            return random.random()

        @step
        def reader():
            return Path(__file__).with_name("notes.txt").read_text()

        @step(impure=True)
        def impure():
            return time.time()

        @flow
        def main():
            return [clock(), dice(), seeded(), reader(), impure()]
        """,
    )
    write(sqlite_project, "hello", "notes.txt")
    outcome = run(sqlite_project)
    clock, dice, seeded, reader, impure = outcome.tasks

    assert clock.warnings[0].startswith("flows.py:9: time.time() reads the clock")
    assert "datetime.datetime.now() reads the clock" in clock.warnings[1]
    assert dice.warnings[0].startswith("flows.py:13: random.random() is random without a seed")
    assert "it read the file notes.txt" in reader.warnings[0]
    assert seeded.warnings == impure.warnings == ()
    again = run(sqlite_project)
    assert outcomes(again) == ["remembered"] * 4 + ["ran"]
    assert again.tasks[0].warnings == clock.warnings


def test_a_strict_step_fails_on_what_it_does_not_declare(sqlite_project: LocalProject) -> None:
    write(sqlite_project, "hello", "notes.txt")
    write(
        sqlite_project,
        """
        from pathlib import Path

        def read():
            return Path(__file__).with_name("notes.txt").read_text()

        @step(strict=True)
        def careless():
            return read()

        @step(strict=True, files=["notes.txt"])
        def careful():
            return read()

        @flow
        def main():
            return [careful(), careless()]
        """,
    )
    outcome = run(sqlite_project)

    assert outcomes(outcome) == ["ran", "failed"]
    assert "the step is strict, and it read the file notes.txt" in outcome.tasks[1].error


def test_a_connection_is_warned_of(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import socket

        @step
        def connect():
            with socket.socket() as s:
                s.settimeout(0.2)
                try:
                    s.connect(("127.0.0.1", 9))
                except OSError:
                    return "refused"

        @flow
        def main():
            return connect()
        """,
    )
    outcome = run(sqlite_project)

    assert outcome.value == "refused" and "it connected to 127.0.0.1:9" in outcome.tasks[0].warnings[0]


def test_the_same_flow_twice_at_once_is_fine(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    assert sqlite_project.root is not None
    code = (
        "import sys; from headwater.project import open_project; from headwater.flow import execute_flow\n"
        "with open_project(sys.argv[1]) as p: print(execute_flow(p, 'main').value)"
    )
    path = os.pathsep.join(each for each in sys.path if each)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(sqlite_project.root)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]

    assert [each.communicate(timeout=60)[0].strip() for each in both] == [b"[2, 4]"] * 2
    assert {each.status for each in list_runs(sqlite_project).runs} == {"done"}


def test_the_same_call_twice_in_a_run_is_executed_once(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import time

        @step
        def slow(x):
            time.sleep(0.2)
            return x

        @flow
        def main():
            return slow.map([1, 1, 1])
        """,
    )
    outcome = run(sqlite_project)

    assert sorted(outcomes(outcome)) == ["ran", "remembered", "remembered"] and outcome.value == [1, 1, 1]


def test_flows_are_listed_from_their_source_alone(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        'import nowhere_at_all\n@step\ndef s():\n    ...\n@flow\ndef main(x: int, y=2):\n    "Say."\n    s()\n',
    )
    (info,) = list_flows(sqlite_project)

    assert (info.ref, info.description, info.steps) == ("flows:main", "Say.", ("s",))
    assert [(p.name, p.annotation, p.default, p.required) for p in info.parameters] == [
        ("x", "int", "", True),
        ("y", "", "2", False),
    ]
    assert show_flow(sqlite_project, "main") == info
    with pytest.raises(NotFoundError, match="flows:main"):
        show_flow(sqlite_project, "other")
    with pytest.raises(UserCodeError, match="nowhere_at_all"):
        run(sqlite_project, x=1)


def test_wrong_arguments_name_the_right_ones(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)

    with pytest.raises(InvalidInputError, match="It takes x"):
        run(sqlite_project, depth=3)


def test_a_flow_runs_through_any_project(project: Project, project_folder: Path) -> None:
    (project_folder / "flows.py").write_text(HEAD + textwrap.dedent(CHAIN))
    done = run_flow(project, "main", {"x": 3})

    assert done.status == "done" and done.kind == "flow" and done.flow == "flows:main"
    assert [task.outcome for task in get_tasks(project, done.id)] == ["ran"] * 3
    assert [flow.name for flow in list_flows(project)] == ["main"]


def test_a_result_is_loaded_by_its_task(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    outcome = run(sqlite_project)

    assert load_result(sqlite_project, f"task:{outcome.tasks[-1].id}") == [2, 4]
    assert load_result(sqlite_project, f"result:{outcome.tasks[0].result}") == 2


def test_a_step_logs_to_its_run(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        @step
        def fit(depth):
            for i in range(3):
                active_run().log(step=i, loss=1.0 / (i + 1))
            active_run().artefact(b"report", "report.txt")
            return depth

        @flow
        def main():
            return fit(3)
        """,
    )
    outcome = run(sqlite_project)
    found = get_run(sqlite_project, outcome.run.id)

    assert outcome.status == "done", outcome.run.traceback
    assert found.metrics["loss"].points == 3 and found.metrics["loss"].last == pytest.approx(1 / 3)
    assert [artefact.name for artefact in found.artefacts] == ["report.txt"]


def test_steps_run_in_parallel(sqlite_project: LocalProject) -> None:
    write(
        sqlite_project,
        """
        import time

        @step
        def wait(i):
            time.sleep(0.5)
            return i

        @flow
        def main(n=6):
            return wait.map(range(n))
        """,
    )
    started = time.monotonic()
    outcome = execute_flow(sqlite_project, "main", workers=6)

    assert outcome.value == list(range(6))
    assert time.monotonic() - started < 6 * 0.5


def test_a_flow_is_testable_without_a_project(tmp_path: Path) -> None:
    from headwater.flow import flow, step

    @step
    def double(x: int) -> int:
        return x * 2

    @flow
    def main(x: int) -> Any:
        handle = double(double(x))
        return handle.result()

    assert double(4) == 8
    assert main(3) == 12


def test_runs_of_flows_in_two_threads_do_not_mix(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    found: dict[int, Any] = {}

    def go(x: int) -> None:
        found[x] = run(sqlite_project, x=x).value

    threads = [threading.Thread(target=go, args=(x,)) for x in (10, 20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == {10: [20, 22], 20: [40, 42]}


def test_the_code_of_a_run_is_kept(sqlite_project: LocalProject) -> None:
    write(sqlite_project, CHAIN)
    outcome = run(sqlite_project)
    with sqlite_project.ledger.read() as tx:
        manifest = tx.value("SELECT manifest FROM snapshots WHERE digest = ?", (outcome.run.code,))
    listed = dict(json.loads(sqlite_project.objects.get(manifest)))

    assert sqlite_project.objects.get(listed["flows.py"]).decode().endswith("return join(double(x), double(x + 1))\n")
