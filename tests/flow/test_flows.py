"""Flows as a user meets them: run, remembered, listed, logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import NotFoundError, UserCodeError
from headwater.flow import execute_flow, get_tasks, list_flows, load_result, run_flow, show_flow
from headwater.project import LocalProject, Project
from headwater.track import get_run, list_runs, read_log

from .playing import CHAIN, HEAD, MODELS, outcomes, run, write


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
